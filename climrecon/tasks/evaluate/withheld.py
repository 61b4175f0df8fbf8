"""``task=evaluate`` with ``withhold``: observed cells withheld in folds, reconstructed by several methods, and scored.

Stages: each method reconstructs the months of every fold from the observations that are kept, and estimates its own
numbers from these alone; then the scores are collected. Each fold of each method is kept in ``cachedir``, so that a
stopped evaluation goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from climrecon.array_types import Array, FloatArray
from climrecon.arrays import is_whole, open_arrays, read_arrays, write_arrays
from climrecon.errors import InputDataError
from climrecon.fields import Observations
from climrecon.geography import regions_of
from climrecon.grid import Grid
from climrecon.methods import checked
from climrecon.methods.by_chunks import reconstruct
from climrecon.preprocess import read_observations
from climrecon.preprocess.field import grid_within
from climrecon.scores.ensembles import draw_sums
from climrecon.scores.masked_truth import MaskedTruth, Sums
from climrecon.scores.structure import structure_sums
from climrecon.scores.table import by_blocks
from climrecon.scores.withheld import REGIONS, SPAN, Folds, Predictions, block_size, folds_of, withheld_sums
from climrecon.settings import RunSettings, Site
from climrecon.tasks.evaluate.plan import VERSION as SCORES_VERSION
from climrecon.tasks.evaluate.plan import check_grid, in_months, methods_of, trained_on
from climrecon.tasks.evaluate.results import BY_YEARS, Assessed, described, write_assessed
from climrecon.tasks.inputs import resolve
from climrecon.tasks.methods import LoadedMethod, assumed_error, method_grid, on_method_grid, with_fitting_network
from climrecon.tasks.network_store import cache_folder
from climrecon.training.store import MemberStore
from climrecon.variables import VARIABLES
from climrecon.workflow.disk_space import megabytes
from climrecon.workflow.fingerprint import fingerprint
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Quiet, Reporter
from climrecon.workflow.run_info import RunInfo
from climrecon.workflow.stage import Stage

#: Version of the folds in the cache: raised whenever equal inputs and settings give others.
VERSION = 1
COUNTED = "Only observed cells that were withheld count, area-weighted, each once."
IN_WORDS = {
    "cells": "single cells of single {1}",
    "blocks": "blocks of {0:g} degrees of single {1}",
    "regions": "a continent or an ocean basin in all {1}",
    "spans": f"a continent or an ocean basin for {SPAN} months",
}
#: Streams of random numbers: the folds, and the errors that realisations get.
_FOLDS, _ERRORS = 41, 42


class CrossValidation:
    """One evaluation on withheld observations: its observations, folds and methods, and its stages.

    Raises
    ------
    UsageError, NoDataError, InputDataError, NetworkError
        For whatever can be known before anything long begins.
    """

    def __init__(self, settings: RunSettings, site: Site, run: RunInfo) -> None:
        self.inputs = resolve(settings, site, Quiet())
        settings = with_fitting_network(settings, grid_within(self.inputs.main[0], self.inputs.request(settings)))
        self.settings, self.run = settings, run
        self.methods, self.order = methods_of(settings, site)
        cache = cache_folder(settings.cachedir)
        self.store, self.folder = MemberStore(cache / "reconstruction"), cache / "evaluation"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the methods."""
        return tuple(self.methods)

    def stages(self) -> tuple[Stage, ...]:
        """The stages of this run, in order."""
        if self.settings.dryrun:
            return (Stage("dryrun", self.dry_run),)
        return (Stage("assess", self.assess, len(self.methods), self.is_assessed), Stage("collect", self.collect))

    @cached_property
    def observations(self) -> Observations:
        """The observations on the grid that all methods work on, where the variable exists.

        Raises
        ------
        InputDataError
            If they cannot be used, or their error is not known.
        NetworkError
            If methods work on different grids.
        """
        with self.store.scratch() as scratch:
            inputs = self.inputs
            found = read_observations(
                inputs.main, inputs.request(self.settings, scratch), uncorrelated=inputs.uncorrelated
            )
            own = found.grid
            chosen = [one for one in self.methods.values() if method_grid(own, one) is not None]
            found = on_method_grid(found, chosen[0], scratch) if chosen else found
        for name, method in self.methods.items():
            check_grid(name, method, found.grid)
        return replace(found, grid=own) if own.same_as(found.grid) else found

    @cached_property
    def folds(self) -> Folds:
        """The cells that each fold withholds.

        Raises
        ------
        InputDataError
            If there are fewer than two folds: nothing would be left to reconstruct from.
        """
        settings, seen = self.settings, self.observations
        seed = int(np.random.SeedSequence(settings.seed, spawn_key=(_FOLDS,)).generate_state(1)[0])
        folds = folds_of(seen.mask, seen.time, seen.grid, settings.withhold, settings.folds, seed)
        if len(folds) < 2:
            only = f"all in {folds.labels[0]}" if settings.withhold == REGIONS and len(folds) else "too few"
            raise InputDataError(
                f"withhold={settings.withhold}: the observations of {seen.source.label} are {only}; without them nothing "
                "is left to reconstruct from.",
                "Use withhold=cells or blocks.",
            )
        return folds

    @property
    def in_words(self) -> str:
        """What is withheld at once."""
        seen = self.observations
        return IN_WORDS[self.settings.withhold].format(round(block_size(seen.grid), 1), seen.time.plural)

    def path(self, name: str, fold: int | None = None) -> Path:
        """File of what a method estimates in a fold, or in all."""
        settings = {**self.settings.fingerprinted("evaluate"), "facets": self.inputs.facets}
        inputs = [f"{n:05d} {self.store.sha256(path)}" for n, path in enumerate(self.inputs.observations)]
        digest = fingerprint("withheld", VERSION, inputs, settings, self.methods[name].identity)
        part = "all" if fold is None else f"fold-{fold:03d}"
        return self.folder / digest[:32] / f"{part}.safetensors"

    def is_assessed(self, part: int) -> bool:
        """Whether a method has been applied to all folds."""
        return is_whole(self.path(self.names[part]))

    def assess(self, part: int, reporter: Reporter) -> None:
        """Let one method reconstruct every fold, and keep what it estimates at the withheld cells."""
        name, folds = self.names[part], self.folds
        paths = [self.path(name, fold) for fold in range(len(folds))]
        for fold, path in enumerate(paths):
            if is_whole(path):
                continue
            counted = self.observations.time.counted()
            without = f"{folds.labels[fold]}, " if self.settings.withhold == REGIONS else ""
            reporter.stage(f"Reconstructing {counted} with {name} without {without}fold {fold + 1} of {len(folds)}")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_arrays(path, self._estimated(self.methods[name], fold, reporter), {})
        parts = [dict(open_arrays(path, check=True)[0]) for path in paths]
        write_arrays(self.path(name), self._joined(parts), {})
        for path in paths:
            path.unlink(missing_ok=True)

    def _estimated(self, method: LoadedMethod, fold: int, reporter: Reporter) -> dict[str, Array]:
        """Estimates (N,) at the cells that a fold withholds, and sums of realisations and scales."""
        seen, hidden, settings = self.observations, self.folds.withheld(fold), self.settings
        kept = self.folds.kept(replace(seen, grid=replace(seen.grid, exists=None)), fold)
        # What is estimated from the data comes from the observations that are kept.
        if calibration := method.reconstructor.calibrate(kept):
            reporter.note(calibration)
        error_sd = self._error_sd(method, kept)
        found: dict[str, list[Any]] = {}
        for months, estimate in reconstruct(method.reconstructor, kept, progress=reporter.step):
            here, errors, values = hidden[months], error_sd[months], seen.values[months]
            cells: dict[str, Any] = {"mean": estimate.mean[here], "error_sd": errors[here]}
            if estimate.stddev is not None:
                cells["stddev"] = estimate.stddev[here]
            cells |= _scales("estimate", estimate.mean, here, seen.grid)
            if settings.realisations > 1 and estimate.sample is not None:
                seed = method.reconstructor.capabilities.seed_at(settings.seed, months.start)
                draws = estimate.sample(settings.realisations, seed)
                rng = np.random.default_rng([settings.seed, _ERRORS, fold, months.start])
                draws = draws + errors * rng.standard_normal(draws.shape, np.float32)
                sums = draw_sums(draws, np.where(here, values, 0.0), here, seen.grid.area)
                cells |= {f"draws/{key}": value for key, value in sums.items()}
                cells |= _scales("draws", draws[0], here, seen.grid)
            for key, one in cells.items():
                found.setdefault(key, []).append(one)
        return {key: np.concatenate(parts).astype(parts[0].dtype, copy=False) for key, parts in found.items()}

    def _error_sd(self, method: LoadedMethod, kept: Observations) -> FloatArray:
        """(T, H, W) error of the observations: as the method estimates or states it, else as the data set states it."""
        shape = kept.values.shape
        used = checked.observation_sd(method.reconstructor, kept.obs_sd, shape)
        if used is None:
            used = _stated(kept.obs_sd, shape, assumed_error(method, self.settings.variable) or 0.0)
        return used.astype(np.float32, copy=False)

    def _joined(self, parts: list[dict[str, Array]]) -> dict[str, Array]:
        """All folds in one: (T, H, W) cells in the order of the folds' cells, sums one after the other or added."""
        number, found = self.folds.number, {}
        order = np.argsort(np.concatenate([np.flatnonzero(number == fold) for fold in range(len(parts))]))
        for key in parts[0]:
            joined = np.concatenate([part[key] for part in parts])
            found[key] = joined if "/" in key else joined[order]
        return found

    def collect(self, part: int, reporter: Reporter) -> Outcome:
        """Score all methods, and write the results."""
        seen, folds, settings = self.observations, self.folds, self.settings
        scored = folds.number >= 0
        arrays = {name: read_arrays(self.path(name)) for name in self.names}
        truth = np.where(scored, seen.values, np.nan)
        time, variable = seen.time, VARIABLES[settings.variable]
        known = MaskedTruth(seen.source.label, truth, np.zeros_like(scored), time, seen.grid, variable)
        noise, errors = self._noise(arrays[self.order[0]], scored)
        sums: dict[str, list[Sums]] = {}
        for name, found in arrays.items():
            made = Predictions(
                _filled(found["mean"], scored),
                _filled(found["stddev"], scored) if "stddev" in found else None,
                _filled(found["error_sd"], scored),
            )
            draws = {key.removeprefix("draws/"): value for key, value in found.items() if key.startswith("draws/")}
            own = {key: value for key, value in found.items() if key.startswith("estimate/")}
            one = withheld_sums(known, made, noise, draws) | own
            # A month's coverage is that of the data set, whatever a fold withholds of it.
            one["coverage"] = (seen.mask * seen.grid.area).sum(axis=(1, 2))
            sums[name] = [one]
        scales = [self._truth_scales(known, fold) for fold in range(len(folds))]
        of_truth = {key.removeprefix("/"): np.concatenate([one[key] for one in scales]) for key in scales[0]}
        units = BY_YEARS
        if by_blocks(next(iter(sums.values())), [time]):
            units = f"over blocks of {block_size(seen.grid):.3g} degrees"
        about = {
            "title": f"{', '.join(self.names)} on withheld observations of {seen.source.label}",
            "truth": [described(seen.source.label, time, seen.mask, seen.grid)],
            "withheld": {
                "kind": settings.withhold,
                "in_words": self.in_words,
                "folds": list(folds.labels),
                "errors": errors,
                "rules": list(seen.source.warnings),
            },
            "cells": "cells that were withheld",
            "counted": COUNTED,
            "regions": self._by_region(sums),
        }
        identities = sorted(f"{name}:{method.identity}" for name, method in self.methods.items())
        digest = fingerprint(
            "evaluation", SCORES_VERSION, [str(self.path(name).parent.name) for name in self.names], {}, str(identities)
        )
        reference = self.order[1] if len(self.order) > 1 else None
        inputs = [(str(path), self.store.sha256(path)) for path in self.inputs.observations]
        assessed = Assessed(
            settings, self.methods, self.order[0], reference, seen.grid, sums, [time], [of_truth], about,
            self._learned_from(), inputs, digest, units=units,
        )  # fmt: skip
        return write_assessed(assessed, self.run, reporter)

    def _truth_scales(self, known: MaskedTruth, fold: int) -> dict[str, FloatArray]:
        """Sums of a variogram of what a fold withholds."""
        of_fold, values = self.folds.withheld(fold), self.observations.values
        parts = [_scales("", values[block], of_fold[block], known.grid) for block in known.blocks]
        return {key: np.sum([part[key] for part in parts], axis=0) for key in parts[0]}

    def _noise(self, main: Mapping[str, Array], scored: Array) -> tuple[FloatArray, str]:
        """(T, H, W) error of the observations that is taken off all methods' squared errors, and where it comes from."""
        seen, name = self.observations, self.order[0]
        stated, own = seen.obs_sd, _filled(main["error_sd"], scored)
        method = self.methods[name]
        estimated = checked.observation_sd(method.reconstructor, None, seen.values.shape) is not None
        units = VARIABLES[self.settings.variable].units
        origin = f"as {name} estimates it" if estimated else "as it is assumed"
        if stated is not None:
            known = np.isfinite(stated) & (stated > 0)
            share = float(known[scored].mean())
            origin = f"as the data set states it for {100 * share:.0f} % of the cells" + (
                f", else {origin}" if share < 1 else ""
            )
            own = np.where(known, stated, own)
        size = float(np.sqrt((own[scored].astype(np.float64) ** 2).mean()))
        return own, f"its error is {size:.3g} {units} (root mean square), {origin}"

    def _learned_from(self) -> list[str]:
        """Caveats for networks that learned from months of these years, of whatever data set."""
        index = self.observations.time.months
        return [
            f"{name} learned from {', '.join(dict.fromkeys(str(entry['name']) for entry in entries))} in some of these "
            f"{self.observations.time.plural}: if these are the same observations, its scores here are flattered."
            for name, method in self.methods.items()
            if (entries := [one for one in trained_on(method) if in_months(one, index)])
        ]

    def _by_region(self, sums: Mapping[str, list[Sums]]) -> dict[str, dict[str, float]]:
        """Method -> continent or ocean basin -> RMSE, of those with observations."""
        grid = self.observations.grid
        region, names = regions_of(grid)
        found: dict[str, dict[str, float]] = {}
        for name, parts in sums.items():
            squares, counts = (
                np.bincount(region.ravel(), (grid.area * parts[0][key]).ravel(), len(names))
                for key in ("cell_squares", "cell_count")
            )
            found[name] = {
                label: round(float(np.sqrt(one / count)), 4)
                for label, one, count in zip(names, squares, counts, strict=True)
                if count > 0
            }
        return found

    def dry_run(self, part: int, reporter: Reporter) -> Outcome:
        """A summary of the evaluation; writes nothing."""
        seen, folds, settings = self.observations, self.folds, self.settings
        size = sum(path.stat().st_size for path in self.inputs.observations)
        lines = [
            "Would evaluate on withheld observations, and write nothing now (dryrun):",
            f"  observations: {seen.source.label}, {seen.time.counted()} {seen.time.span()}, {seen.grid.describe()}, "
            f"{megabytes(size)}",
            f"  withheld: {self.in_words}, {len(folds)} folds"
            + (f" ({', '.join(folds.labels)})" if settings.withhold == REGIONS else ""),
            f"  methods: {', '.join(self.names)}; differences to {self.order[1] if len(self.order) > 1 else 'none'}",
            f"  each method reconstructs {len(folds) * len(seen.time)} {seen.time.plural}",
            f"  cache: {self.folder}",
        ]
        return Outcome.of_dry_run(lines)


def _stated(stated: FloatArray | None, shape: tuple[int, ...], default: float) -> FloatArray:
    """(T, H, W) errors as stated, ``default`` where there is none."""
    if stated is None:
        return np.full(shape, default, np.float32)
    return np.where(np.isfinite(stated) & (stated > 0), stated, default)


def _scales(name: str, fields: FloatArray, where: Array, grid: Grid) -> dict[str, FloatArray]:
    """(1, B) sums of a variogram over all months; withheld cells fill no circle of latitude, so there are no spectra."""
    sums = structure_sums(fields, where, grid)
    return {f"{name}/{key}": sums[key].sum(axis=0, keepdims=True) for key in ("differences", "pairs")}


def _filled(values: Array, scored: Array) -> FloatArray:
    """(T, H, W) of the (N,) values at the cells that are scored; zero elsewhere."""
    field = np.zeros(scored.shape, np.float32)
    field[scored] = values
    return field
