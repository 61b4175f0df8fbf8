"""From complete fields to the product: observed cells kept, with their error, re-based, with status and notes.

Structural uncertainty is what other networks on the same observations show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import FloatArray
from climrecon.errors import ClimReconError, InputDataError
from climrecon.fields import Observations, Steps
from climrecon.grid import Grid
from climrecon.memory import blocks_of, new_array
from climrecon.methods import checked
from climrecon.methods.by_chunks import no_skill, reconstruct
from climrecon.output.product import Product, Structural, status_of
from climrecon.output.structural import structural_rows
from climrecon.preprocess import FileGrid, rebase_complete
from climrecon.preprocess.climatology import Climatology
from climrecon.settings import RunSettings
from climrecon.tasks.methods import LoadedMethod, assumed_error, notes_on_choice, on_method_grid
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
    mask, grid, time = observations.mask, observations.grid, observations.time
    analysis, infilled = fields.mean, fields.mean
    kept = members = None
    if settings.keep_observed:
        kept = observed_cell_sd(observations, on_network, method, back)
        if ensemble is not None and fields.observational is not None:
            members = ensemble.spread()
        infilled = new_array(mask.shape, np.result_type(observations.values, analysis), scratch)
        for part in blocks_of(observations.values, mask, analysis, infilled):
            infilled[part] = np.where(mask[part], observations.values[part], analysis[part])
    notes = [
        *notes_on_choice(settings, observations.grid),
        *observations.source.notes,
        *([prepared.calibration] if prepared.calibration else []),
    ]
    shift, wanted = _shift(infilled, observations, settings, reporter, notes)
    if shift is not None:
        notes.append(
            f"reconstructed on the data's own base {_years(observations.reference_period)}, "
            f"the complete field re-based to {_years(wanted)}"
        )
    outside_in = _outside(observations, shift, method, back)

    def array_like(field: FloatArray | None) -> FloatArray | None:
        return None if field is None else new_array(mask.shape, np.float32, scratch)

    done, analysed = (
        new_array(mask.shape, observations.values.dtype, scratch),
        new_array(mask.shape, np.float32, scratch),
    )
    stddev, observational = array_like(fields.stddev), array_like(fields.observational)
    status = new_array(mask.shape, np.int8, scratch)
    beyond, steps_beyond = 0, np.zeros(len(time), bool)
    for part in blocks_of(
        infilled, analysis, done, analysed, status, mask, kept, stddev, fields.stddev, fields.prior_stddev
    ):
        offset = None if shift is None else shift.at(time[part])
        one, filled = analysis[part], infilled[part]
        if offset is not None:
            one, filled = (one - offset).astype(np.float32), filled - offset
        unskilled = outside = None
        if fields.stddev is not None and fields.prior_stddev is not None:
            unskilled = no_skill(fields.stddev[part], fields.prior_stddev[part])
        if outside_in is not None:
            outside = outside_in(one, time[part], offset)
            there = outside & ~mask[part]
            beyond += int(there.sum())
            steps_beyond[part] = there.any(axis=(1, 2))
        done[part] = grid.known(filled.astype(done.dtype, copy=False))
        analysed[part] = grid.known(one)
        status[part] = status_of(mask[part], unskilled, outside, grid.exists)
        if stddev is not None and fields.stddev is not None:
            total = fields.stddev[part]
            if kept is not None:
                own = kept[part] if members is None else np.hypot(kept[part], members[part])
                total = np.where(mask[part], own, total)
            stddev[part] = grid.known(total.astype(np.float32, copy=False))
        if observational is not None and fields.observational is not None:
            spread = fields.observational[part]
            if members is not None:
                spread = np.where(mask[part], members[part], spread)
            observational[part] = grid.known(spread.astype(np.float32, copy=False))
    if beyond:
        notes.append(
            f"{beyond} reconstructed cells in {int(steps_beyond.sum())} {time.plural} lie outside the "
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
        infilled=done,
        analysis=analysed,
        stddev=stddev,
        status=status,
        reference_period=wanted,
        network=method.info,
        region_sd=dict(fields.region_sd),
        realisations=realisations if fields.realisations is not None else None,
        n_realisations=settings.realisations,
        shift=shift,
        keep_observed=settings.keep_observed,
        notes=tuple(notes),
        observational=observational,
        errors=prepared.record.errors,
        kept_sd=kept if settings.native_grid else None,
    )


#: Which cells of (T, H, W) re-based analyses of some steps lie beyond a range, with the climatology that was taken off.
Outside = Callable[[FloatArray, Steps, FloatArray | None], NDArray[np.bool_]]


def _outside(
    observations: Observations, shift: Climatology | None, method: LoadedMethod, back: FileGrid
) -> Outside | None:
    """Cells beyond the range of the network's training months; None where the network states no range.

    The range refers to the card's reference period; anomalies on another base are not compared with it.
    """
    loaded = method.network
    if loaded is None or loaded.training_range is None:
        return None
    base = loaded.card.reference_period
    as_it_was = observations.reference_period == base and shift is not None
    if not as_it_was and (shift is not None or observations.reference_period not in (None, base)):
        return None
    native = replace(
        loaded.training_range, **{key: back.to_native_grid(value) for key, value in vars(loaded.training_range).items()}
    )

    def outside(analysis: FloatArray, time: Steps, offset: FloatArray | None) -> NDArray[np.bool_]:
        values = analysis if offset is None else analysis + offset  # as it was before it was re-based
        return native.outside(values, time.month)

    return outside


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
        return back.to_native_grid(used).astype(np.float32, copy=False)
    default = assumed_error(method, observations.variable)
    sd, mask, kept = (
        observations.obs_sd,
        observations.mask,
        new_array(observations.mask.shape, np.float32, back.scratch),
    )
    for part in blocks_of(kept, sd, mask):
        errors = np.zeros(kept[part].shape) if sd is None else sd[part]
        known = np.isfinite(errors) & (errors > 0)
        if default is None and not known[mask[part]].all():
            raise InputDataError(
                f"No error of observed cells of {observations.variable} is stated, and none is known to assume.",
                "Use keep_observed=false.",
            )
        kept[part] = np.where(known, errors, np.float32(default or np.nan))
    return kept


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

    Baselines have learned nothing that another choice could have changed; they stay in the figures, and with
    :func:`with_baselines` in tables.
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


def with_baselines(product: Product, others: Sequence[LoadedMethod], scratch: Path, reporter: Reporter) -> Product:
    """The product with complete fields by those of ``others`` that are baselines."""
    fields = {}
    for method in others:
        if method.network is None:
            steps = product.observations.time.counted()
            reporter.stage(f"Reconstructing {steps} with {method.info.name} too, for the series")
            fields[method.info.name], _ = _infilled(product, method, scratch, reporter)
    return replace(product, baselines=fields)


def _infilled(product: Product, method: LoadedMethod, scratch: Path, reporter: Reporter) -> tuple[FloatArray, str]:
    """(T, H, W) as a run with ``method`` alone gives them; and a note on its calibration."""
    observations = product.observations
    on_network = on_method_grid(observations, method, scratch)
    calibration = method.reconstructor.calibrate(on_network)
    mean = np.empty(on_network.values.shape, np.float32)
    for months, estimate in reconstruct(
        method.reconstructor, on_network, progress=reporter.step, mean_alone=method.network is None
    ):
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
        for row in structural_rows(product)
    ]
