"""Reconstruct observations: the stages in order."""

from __future__ import annotations

import getpass
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import Array, FloatArray
from climrecon.arrays import write_arrays
from climrecon.errors import ClimReconError, InputDataError, OutputError
from climrecon.fields import Observations
from climrecon.files import sha256_of
from climrecon.methods.by_chunks import no_skill
from climrecon.output.error_budget import ErrorBudget
from climrecon.output.product import Product, status_of
from climrecon.preprocess import FileGrid, PrepareRequest, read_observations, rebase_complete
from climrecon.settings import RunSettings, Site
from climrecon.tasks.inputs import Inputs
from climrecon.tasks.methods import Method, load_method, on_method_grid
from climrecon.tasks.reconstruct.apply import OwnFields, complete_fields, on_own_grid
from climrecon.tasks.reconstruct.ensemble import Ensemble, applied, errors_in, open_ensemble, prepare_ensemble
from climrecon.tasks.reconstruct.observed_cells import observed_cell_sd, with_kept
from climrecon.tasks.reconstruct.results import write_results
from climrecon.workflow.fingerprint import fingerprint
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.output_folder import staged
from climrecon.workflow.progress import Reporter

#: Version of this stage: raised whenever equal inputs and settings give another result.
STAGE_VERSION = 11
DEFAULT_FOLDER = Path("climrecon-result")


def reconstruct_observations(
    settings: RunSettings, site: Site, reporter: Reporter, about: dict[str, Any], inputs: Inputs
) -> Outcome:
    """Reconstruct in one go; results appear in the output folder together or not at all."""
    started = datetime.now(UTC)
    reporter.stage(f"Loading {settings.network}")
    method = load_method(settings.network, settings, site)
    beside = methods_beside(settings, site)
    folder = settings.outputdir or DEFAULT_FOLDER
    with staged(folder) as stage, ExitStack() as stack:
        reporter.stage(f"Reading {', '.join(path.name for path in inputs.main)}")
        observations = read_observations(
            inputs.main, request_of(settings, inputs), uncorrelated=inputs.uncorrelated
        )
        for note in observations.source.notes:
            reporter.note(note)
        ensemble, errors, observations = _ensemble(
            stack.enter_context(TemporaryDirectory(prefix=".ensemble-", dir=stage)),
            settings, inputs, observations, method, reporter,
        )  # fmt: skip
        on_network = on_method_grid(observations, method, stage)
        for note in on_network.source.notes[len(observations.source.notes) :]:
            reporter.note(note)
        adapted = method.reconstructor.calibrate(on_network)
        if adapted:
            reporter.note(adapted)
        reporter.stage(f"Reconstructing {len(observations.time)} months with {method.info.name}")
        complete = complete_fields(
            method.reconstructor,
            on_network,
            members=settings.realisations,
            seed=settings.seed,
            scratch=stage,
            reporter=reporter,
            ensemble=ensemble.on_network if ensemble else (),
        )
        back = FileGrid(observations.grid, on_network.grid, observations.source, stage)
        own = on_own_grid(complete, back.own_grid)
        product = product_of(
            settings, observations, own, method, on_network, back, reporter, adapted, ensemble, errors
        )
        run = run_of(settings, observations, method, about, started)
        outcome = write_results(stage, folder, product, settings, run, inputs, beside, reporter)
        (stage / "realisations.npy").unlink(missing_ok=True)
    return outcome


def _ensemble(
    scratch: str,
    settings: RunSettings,
    inputs: Inputs,
    observations: Observations,
    method: Method,
    reporter: Reporter,
) -> tuple[Ensemble | None, ErrorBudget, Observations]:
    """The ensemble with its files in ``scratch``, the errors that are in, and observations that name its files."""
    about = prepare_ensemble(
        inputs,
        request_of(settings, inputs),
        settings.obs_members,
        observations,
        method,
        Path(scratch),
        keep_observed=settings.keep_observed,
        seed=settings.seed,
        sha256=sha256_of,
        write=_write,
        reporter=reporter,
    )
    errors = errors_in(about)
    reporter.note(errors.describe())
    ensemble = open_ensemble(Path(scratch), about, check=False)
    return ensemble, errors, applied(observations, about, ensemble)


def _write(path: Path, arrays: Mapping[str, Array], about: Mapping[str, Any]) -> None:
    try:
        write_arrays(path, arrays, about)
    except Exception as error:  # safetensors raises its own error for what the system says
        raise OutputError(
            f"{path.name} could not be written to {path.parent}: {error}",
            "Free some space, or choose another outputdir.",
        ) from error


def methods_beside(settings: RunSettings, site: Site) -> list[Method]:
    """What the result is compared with."""
    return [load_method(name, settings, site) for name in settings.other_networks if name != settings.network]


def run_of(
    settings: RunSettings,
    observations: Observations,
    method: Method,
    about: dict[str, Any],
    started: datetime,
) -> dict[str, Any]:
    """What manifest and provenance say of the run; its fingerprint says nothing of how it was done."""
    digest = fingerprint(
        "reconstruct",
        STAGE_VERSION,
        [*observations.source.sha256, *(digest for _, digest in method.info.inputs)],
        settings.fingerprinted("reconstruct"),
        method.identity,
    )
    return {
        "id": str(about.get("id") or secrets.token_hex(6)),
        "user": str(about.get("user") or _user()),
        "started": started,
        "fingerprint": digest,
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run as a number without a name
        return ""


def request_of(settings: RunSettings, inputs: Inputs) -> PrepareRequest:
    """How the observations are read."""
    return PrepareRequest(
        variable=settings.variable,
        values=settings.values,
        period=settings.period or (None, None),
        reference_period=settings.reference_period.years,
        facets=inputs.facets,
    )


def product_of(
    settings: RunSettings,
    observations: Observations,
    own: OwnFields,
    method: Method,
    on_network: Observations,
    back: FileGrid,
    reporter: Reporter,
    adapted: str,
    ensemble: Ensemble | None,
    errors: ErrorBudget,
) -> Product:
    """Keep observed cells, re-base; ``on_network`` are the observations as the method saw them."""
    mask = observations.mask
    analysis = own.mean
    infilled = np.where(mask, observations.values, analysis) if settings.keep_observed else analysis
    stddev, observational, unskilled = own.stddev, own.observational, None
    if stddev is not None and own.prior_stddev is not None:
        unskilled = no_skill(stddev, own.prior_stddev)
    kept = None
    if settings.keep_observed:
        kept = total = observed_cell_sd(observations, on_network, method, back)
        if ensemble is not None and observational is not None:
            members = ensemble.spread()
            total, observational = np.hypot(kept, members), np.where(mask, members, observational)
        stddev = None if stddev is None else np.where(mask, total, stddev)
    wanted = settings.reference_period.years
    shift = _shift(infilled, observations, wanted, reporter)
    notes = [*observations.source.notes, *([adapted] if adapted else [])]
    if shift is not None:
        offset = shift[observations.time.month - 1]
        infilled, analysis = infilled - offset, (analysis - offset).astype(np.float32)
        notes.append(
            f"reconstructed on the data's own base {_years(observations.reference_period)}, "
            f"the complete field re-based to {_years(wanted)}"
        )

    outside = _outside(analysis, observations, shift, method, back)
    if outside is not None and (outside & ~mask).any():
        beyond = outside & ~mask
        notes.append(
            f"{int(beyond.sum())} reconstructed cells in {int(beyond.any(axis=(1, 2)).sum())} months lie outside the "
            "range of the network's training months by more than two standard deviations"
        )

    def realisations() -> Iterator[FloatArray]:
        assert own.realisations is not None
        draws = own.realisations()
        if kept is not None:
            draws = with_kept(draws, observations, kept, ensemble, settings.seed)
        for drawn in draws:
            yield (drawn if shift is None else drawn - shift[observations.time.month - 1]).astype(np.float32)

    return Product(
        observations=observations,
        infilled=infilled.astype(observations.values.dtype, copy=False),
        analysis=analysis,
        stddev=None if stddev is None else stddev.astype(np.float32, copy=False),
        status=status_of(mask, unskilled, outside),
        reference_period=wanted,
        network=method.info,
        region_sd=own.region_sd,
        realisations=realisations if own.realisations is not None else None,
        n_realisations=settings.realisations,
        shift=shift,
        keep_observed=settings.keep_observed,
        notes=tuple(notes),
        observational=None if observational is None else observational.astype(np.float32, copy=False),
        errors=errors,
    )


def _outside(
    analysis: FloatArray,
    observations: Observations,
    shift: FloatArray | None,
    method: Method,
    back: FileGrid,
) -> NDArray[np.bool_] | None:
    """Cells beyond what the network's training months reached; None where it says nothing of that.

    The range refers to the card's reference period; anomalies on another base are not compared with it.
    """
    loaded = method.loaded
    if loaded is None or loaded.training_range is None:
        return None
    base = loaded.card.reference_period
    values = analysis
    if observations.reference_period == base and shift is not None:
        values = analysis + shift[observations.time.month - 1]  # as it was before it was re-based
    elif shift is not None or observations.reference_period not in (None, base):
        return None
    own = replace(
        loaded.training_range,
        **{key: back.own_grid(value) for key, value in vars(loaded.training_range).items()},
    )
    return own.outside(values, observations.time.month)


def _years(period: tuple[int, int] | None) -> str:
    return "unknown" if period is None else f"{period[0]}-{period[1]}"


def _shift(
    infilled: FloatArray, observations: Observations, wanted: tuple[int, int], reporter: Reporter
) -> FloatArray | None:
    """Climatology to take off so that the result refers to ``wanted``; None if it does already."""
    base = observations.reference_period
    if base == wanted:
        return None
    if base is None:
        reporter.warning(f"the data does not say what its anomalies refer to; taken as {_years(wanted)}")
        return None
    try:
        return rebase_complete(infilled, observations.time, wanted)
    except ClimReconError as error:
        raise InputDataError(
            f"The anomalies refer to {_years(base)} and cannot be re-based to {_years(wanted)}: {error.message}",
            f"Use reference_period={_years(base)}, or a period that covers {_years(wanted)}.",
        ) from error
