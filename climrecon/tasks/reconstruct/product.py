"""From complete fields to the product: observed cells kept, with their error, re-based, with status and notes.

Structural uncertainty is what other networks on the same observations show.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import FloatArray
from climrecon.errors import ClimReconError, InputDataError
from climrecon.fields import Observations
from climrecon.grid import Grid
from climrecon.methods import checked
from climrecon.methods.by_chunks import no_skill, reconstruct
from climrecon.output.product import Product, Structural, status_of
from climrecon.output.structural import rows
from climrecon.preprocess import FileGrid, rebase_complete
from climrecon.preprocess.climatology import Climatology
from climrecon.settings import RunSettings
from climrecon.tasks.methods import LoadedMethod, notes_on_choice, on_method_grid
from climrecon.tasks.reconstruct.apply import CompleteFields
from climrecon.tasks.reconstruct.ensemble import Ensemble, EnsembleRecord
from climrecon.variables import VARIABLES
from climrecon.workflow.fingerprint import fingerprint
from climrecon.workflow.progress import Reporter

#: Version of this stage: raised whenever equal inputs and settings give another result.
STAGE_VERSION = 13


@dataclass(frozen=True)
class Prepared:
    """Observations on the method's grid.

    Attributes
    ----------
    grid:
        Of the observations as they were read.
    record, ensemble:
        Of the observations' ensemble; its members, None where there are too few.
    calibration:
        Note on the calibration of the method to the observations, or "".
    """

    on_network: Observations
    grid: Grid
    record: EnsembleRecord
    ensemble: Ensemble | None
    calibration: str = ""


def fingerprint_of(settings: RunSettings, observations: Observations, method: LoadedMethod) -> str:
    """The same for runs with the same result, however they were done."""
    return fingerprint(
        "reconstruct",
        STAGE_VERSION,
        [*observations.source.sha256, *(digest for _, digest in method.info.inputs)],
        settings.fingerprinted("reconstruct"),
        method.identity,
    )


def product_of(
    settings: RunSettings,
    observations: Observations,
    prepared: Prepared,
    fields: CompleteFields,
    method: LoadedMethod,
    scratch: Path,
    reporter: Reporter,
) -> Product:
    """Keep observed cells and re-base; ``fields`` are on the grid of ``observations``."""
    on_network, ensemble = prepared.on_network, prepared.ensemble
    back = FileGrid(observations.grid, on_network.grid, observations.source, scratch)
    mask, grid = observations.mask, observations.grid
    analysis = fields.mean
    infilled = np.where(mask, observations.values, analysis) if settings.keep_observed else analysis
    stddev, observational, unskilled = fields.stddev, fields.observational, None
    if stddev is not None and fields.prior_stddev is not None:
        unskilled = no_skill(stddev, fields.prior_stddev)
    kept = None
    if settings.keep_observed:
        kept = total = observed_cell_sd(observations, on_network, method, back)
        if ensemble is not None and observational is not None:
            members = ensemble.spread()
            total, observational = np.hypot(kept, members), np.where(mask, members, observational)
        stddev = None if stddev is None else np.where(mask, total, stddev)
    notes = [
        *notes_on_choice(settings, observations.grid),
        *observations.source.notes,
        *([prepared.calibration] if prepared.calibration else []),
    ]
    shift, wanted = _shift(infilled, observations, settings, reporter, notes)
    if shift is not None:
        offset = shift.at(observations.time)
        infilled, analysis = infilled - offset, (analysis - offset).astype(np.float32)
        notes.append(
            f"reconstructed on the data's own base {_years(observations.reference_period)}, "
            f"the complete field re-based to {_years(wanted)}"
        )

    outside = _outside(analysis, observations, shift, method, back)
    if outside is not None and (outside & ~mask).any():
        beyond = outside & ~mask
        steps = observations.time[beyond.any(axis=(1, 2))].counted()
        notes.append(
            f"{int(beyond.sum())} reconstructed cells in {steps} lie outside the "
            "range of the network's training months by more than two standard deviations"
        )

    def realisations() -> Iterator[FloatArray]:
        assert fields.realisations is not None
        draws = iter(fields.realisations)
        if kept is not None:
            draws = with_observed_cells(draws, observations, kept, ensemble, settings.seed)
        for drawn in draws:
            rebased = drawn if shift is None else drawn - shift.at(observations.time)
            yield grid.known(rebased.astype(np.float32))

    return Product(
        observations=observations,
        infilled=grid.known(infilled.astype(observations.values.dtype, copy=False)),
        analysis=grid.known(analysis),
        stddev=None if stddev is None else grid.known(stddev.astype(np.float32, copy=False)),
        status=status_of(mask, unskilled, outside, grid.exists),
        reference_period=wanted,
        network=method.info,
        region_sd=dict(fields.region_sd),
        realisations=realisations if fields.realisations is not None else None,
        n_realisations=settings.realisations,
        shift=shift,
        keep_observed=settings.keep_observed,
        notes=tuple(notes),
        observational=None if observational is None else grid.known(observational.astype(np.float32, copy=False)),
        errors=prepared.record.errors,
    )


def _outside(
    analysis: FloatArray, observations: Observations, shift: Climatology | None, method: LoadedMethod, back: FileGrid
) -> NDArray[np.bool_] | None:
    """Cells beyond the range of the network's training months; None where the network states no range.

    The range refers to the card's reference period; anomalies on another base are not compared with it.
    """
    loaded = method.network
    if loaded is None or loaded.training_range is None:
        return None
    base = loaded.card.reference_period
    values = analysis
    if observations.reference_period == base and shift is not None:
        values = analysis + shift.at(observations.time)  # as it was before it was re-based
    elif shift is not None or observations.reference_period not in (None, base):
        return None
    native = replace(
        loaded.training_range, **{key: back.to_native_grid(value) for key, value in vars(loaded.training_range).items()}
    )
    return native.outside(values, observations.time.month)


def _years(period: tuple[int, int] | None) -> str:
    return "unknown" if period is None else f"{period[0]}-{period[1]}"


def _shift(
    infilled: FloatArray, observations: Observations, settings: RunSettings, reporter: Reporter, notes: list[str]
) -> tuple[Climatology | None, tuple[int, int]]:
    """Climatology to take off, None if there is none, and the reference period that the result then has."""
    base, wanted = observations.reference_period, settings.reference_period.years
    if base == wanted:
        return None, wanted
    if base is None:
        reporter.warning(f"the data does not say what its anomalies refer to; taken as {_years(wanted)}")
        return None, wanted
    try:
        return rebase_complete(infilled, observations.time, wanted), wanted
    except ClimReconError as error:
        if "reference_period" not in settings.given:
            notes.append(f"the result refers to {_years(base)}, the data's own base: {error.message}")
            reporter.warning(notes[-1])
            return None, base
        raise InputDataError(
            f"The anomalies refer to {_years(base)} and cannot be re-based to {_years(wanted)}: {error.message}",
            f"Use reference_period={_years(base)}, or a period that covers {_years(wanted)}.",
        ) from error


#: Separates the stream of kept cells' errors from all others of the same seed.
_STREAM = 11


def observed_cell_sd(
    observations: Observations, on_network: Observations, method: LoadedMethod, back: FileGrid
) -> FloatArray:
    """(T, H, W) uncorrelated error of kept cells: as the network uses it, else as stated; never zero.

    Raises
    ------
    InputDataError
        If the data set states no error, and neither the network's card nor the variable's description has a default.
    """
    stated = None if on_network.obs_sd is None else np.where(on_network.mask, on_network.obs_sd, np.nan)
    used = checked.observation_sd(method.reconstructor, stated, on_network.values.shape)
    if used is not None:
        return back.to_native_grid(used).astype(np.float32)
    sd = np.zeros(observations.values.shape) if observations.obs_sd is None else observations.obs_sd
    known = np.isfinite(sd) & (sd > 0)
    default = method.network.card.default_obs_sd if method.network else None
    default = default or VARIABLES[observations.variable].default_obs_sd
    if default is None and not known[observations.mask].all():
        raise InputDataError(
            f"No error of observed cells of {observations.variable} is stated, and none is known to assume.",
            "Use keep_observed=false.",
        )
    return np.where(known, sd, np.float32(default or np.nan)).astype(np.float32)


def with_observed_cells(
    draws: Iterator[FloatArray], observations: Observations, sd: FloatArray, ensemble: Ensemble | None, seed: int
) -> Iterator[FloatArray]:
    """Realisations in which observed cells are kept, each with an error of its own.

    Realisation k has, where cells were observed, the values of member k modulo M (of the observations, without an
    ensemble) and a draw of the uncorrelated error, which depends on seed, realisation and date alone.

    Parameters
    ----------
    draws:
        (T, H, W) of the analysis.
    sd:
        (T, H, W) uncorrelated error.
    """
    transform = VARIABLES[observations.variable].to_methods
    for number, draw in enumerate(draws):
        values = observations.values if ensemble is None else ensemble.own[number % len(ensemble)]
        field = np.array(draw)
        for position, date in enumerate(observations.time.index):
            seen = observations.mask[position]
            rng = np.random.default_rng([seed, _STREAM, number, int(date)])
            white = rng.standard_normal(seen.shape)[seen]
            field[position][seen] = transform.with_error(values[position][seen], sd[position][seen], white)
        yield field


def with_structural(product: Product, others: Sequence[LoadedMethod], scratch: Path, reporter: Reporter) -> Product:
    """The product with complete reconstructions by those of ``others`` that are networks.

    Baselines have learned nothing that another choice could have changed; they stay in the figures alone.
    """
    networks = [method for method in others if method.network is not None]
    if not networks:
        return product
    fields, notes = {}, list(product.notes)
    for method in networks:
        reporter.stage(
            f"Reconstructing {product.observations.time.counted()} with {method.info.name} too, "
            "for what the choice of network changes"
        )
        fields[method.info.name], calibration = _infilled(product, method, scratch, reporter)
        notes += [f"{method.info.name}: {calibration}"] if calibration else []
    structural = Structural(
        fields,
        {method.info.name: _learned_from(method) for method in networks},
        {method.info.name: method.info.sha256 or "" for method in networks},
    )
    return replace(product, structural=structural, notes=tuple(notes))


def _infilled(product: Product, method: LoadedMethod, scratch: Path, reporter: Reporter) -> tuple[FloatArray, str]:
    """(T, H, W) as a run with ``method`` alone gives them; and a note on its calibration."""
    observations = product.observations
    on_network = on_method_grid(observations, method, scratch)
    calibration = method.reconstructor.calibrate(on_network)
    mean = np.empty(on_network.values.shape, np.float32)
    for months, estimate in reconstruct(method.reconstructor, on_network, progress=reporter.step):
        mean[months] = estimate.mean
    back = FileGrid(observations.grid, on_network.grid, observations.source, scratch)
    field: FloatArray = back.to_native_grid(mean).astype(np.float32)
    if product.keep_observed:
        field = np.where(observations.mask, observations.values, field)
    if product.shift is not None:
        shift = rebase_complete(field, observations.time, product.reference_period)
        field = field - shift.at(observations.time)
    return observations.grid.known(field.astype(np.float32)), calibration


def _learned_from(method: LoadedMethod) -> str:
    data = str(method.info.card.get("training", {}).get("data", ""))
    return data or method.info.title


def with_networks(digest: str, structural: Structural | None) -> str:
    """A reconstruction's fingerprint with the networks it is compared with, which change what it holds."""
    if structural is None:
        return digest
    return fingerprint("structural", 1, [digest, *structural.sha256.values()], {}, None)


def structural_lines(product: Product) -> list[str]:
    """For the end of a run: one line for each other network."""
    variable, ours = VARIABLES[product.observations.variable], product.network.name
    units, few, more = variable.units, variable.decimals, variable.decimals + 1
    return [
        f"Structural uncertainty, {row.name} less {ours}: {product.mean_in_words} {row.mean:+.{more}f} {units} on "
        f"average, {row.largest:+.{more}f} {units} at most ({row.when}); cells that were not observed "
        f"{row.cells:.{few}f} {units} (RMS)."
        for row in (rows(product) if product.structural else [])
    ]
