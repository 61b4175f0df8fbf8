"""Gaps and errors that a network is trained with: those of a data set of observations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.catalogue.roles import COVARIANCE, MEMBER, UNCORRELATED, member_number, role_of
from climrecon.data.made_up_masks import FIRST, LAST, MADE_UP, made_up_masks
from climrecon.data.masks import MaskSource, harmonic_smoother, hold_out_masks
from climrecon.data.noise import NoiseSource, complete_levels, rarity_of
from climrecon.datasets import Stated, canonical_variable, release_of
from climrecon.errors import InputDataError
from climrecon.fields import Months, Observations, Source
from climrecon.files import ABSENT, FOLDER, why_unreadable
from climrecon.frequency import MONTH
from climrecon.geography import is_land
from climrecon.grid import Grid
from climrecon.netcdf.forms import members_in
from climrecon.netcdf.names import NETCDF
from climrecon.netcdf.opening import opened
from climrecon.preprocess import PrepareRequest, read_member, read_observations, to_network_grid
from climrecon.preprocess.error_covariance import month_in_name, read_error_stddev
from climrecon.preprocess.plausibility import check_member
from climrecon.preprocess.regrid import remap_with_gaps
from climrecon.settings import Period, RunSettings, Site
from climrecon.tasks.inputs import Inputs, of_file, resolve
from climrecon.variables import VARIABLES
from climrecon.workflow.progress import Reporter

REGIONAL_KM, SLOW_KM = 1500.0, 5000.0
#: Members for an ensemble's spread: fewest, and most, beyond which it gets no better.
FEWEST_MEMBERS, MOST_MEMBERS = 10, 50
#: Error covariances, spread over time, that are read: each is a matrix of cells by cells.
MOST_COVARIANCES = 36


@dataclass(frozen=True)
class Coverage:
    """Masks and errors to train with, and the masks that score.

    Attributes
    ----------
    scoring:
        Label -> (H, W) mask, of months never trained with (unless ``caveats`` name an exception).
    """

    masks: MaskSource
    noise: NoiseSource
    scoring: dict[str, NDArray[np.bool_]]
    label: str
    caveats: tuple[str, ...] = ()


def mask_inputs(settings: RunSettings, site: Site, reporter: Reporter) -> Inputs:
    """Whose gaps are trained with: the files or made-up coverage of ``masks``, else the observations of the run.

    Raises
    ------
    InputDataError, NoDataError
        If there are none.
    """
    named = settings.masks
    if not named:
        return resolve(settings, site, reporter)
    path = Path(named).expanduser()
    why = why_unreadable(path)
    if why == ABSENT and named in MADE_UP:
        if settings.frequency != MONTH:
            raise InputDataError(
                f"masks={named} is made-up coverage of months; the run is of {settings.frequency.adjective} means "
                f"(time_frequency={settings.frequency.name}).",
                f"Name a file of {settings.frequency.adjective} observations whose gaps are taken, masks=FILE.",
            )
        return Inputs(main=(), made_up=named)
    if why is None and not members_in(path):
        return _with_error_files(path)
    if "/" in named or named.endswith(NETCDF) or why not in (ABSENT, FOLDER):
        return of_file(path, "masks, which takes the name of a data set too", reporter)
    changed = {"model": named, "obs_file": None, "given": settings.given | {"model"}}
    return resolve(settings.model_copy(update=changed), site, reporter)


def _with_error_files(path: Path) -> Inputs:
    """The file, and the error files and members of the same data set and version in its folder."""
    own = release_of(Stated(path.name))
    others = [
        other
        for other in sorted(path.parent.iterdir())
        if other.name.endswith(NETCDF) and own and own.version and other != path
        if release_of(Stated(other.name)) == own
    ]
    by_role = {
        role: tuple(other for other in others if role_of(other.name) == role)
        for role in (UNCORRELATED, COVARIANCE, MEMBER)
    }
    members = sorted(by_role[MEMBER], key=lambda other: member_number(other.name))
    return Inputs(
        main=(path,),
        members=tuple(members),
        uncorrelated=by_role[UNCORRELATED][0] if by_role[UNCORRELATED] else None,
        error_covariance=by_role[COVARIANCE],
    )


def coverage_files(inputs: Inputs) -> list[tuple[str, Path]]:
    """The files that masks and errors are made of, each with its role."""
    found = [("main", path) for path in inputs.main]
    if inputs.uncorrelated:
        found.append((UNCORRELATED, inputs.uncorrelated))
    found += [(MEMBER, path) for path in _chosen(inputs.members, MOST_MEMBERS, FEWEST_MEMBERS)]
    found += [(COVARIANCE, path) for path in _chosen(inputs.error_covariance, MOST_COVARIANCES)]
    return found


def _chosen(paths: Sequence[Path], most: int, fewest: int = 1) -> list[Path]:
    """So many of ``paths`` at most, spread evenly; none where there are fewer than ``fewest``."""
    if len(paths) < fewest:
        return []
    return [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, most).astype(int))]


def fingerprint_of_gaps(inputs: Inputs, sha256: Callable[[Path], str]) -> list[str]:
    """What stands for gaps and errors in a fingerprint, made-up ones by their name; ``sha256`` of a file."""
    made_up = [f"gaps {inputs.made_up}"] if inputs.made_up else []
    return made_up + [f"gaps {role} {sha256(path)}" for role, path in coverage_files(inputs)]


def read_gaps(settings: RunSettings, inputs: Inputs, grid: Grid, *, errors: bool = False) -> Observations:
    """Observations whose gaps count: made-up ones on ``grid``, or those of files on theirs.

    A file may hold another variable than the run's: the gaps of its own count, and no errors.

    Parameters
    ----------
    errors:
        Whether stated errors are read too.

    Raises
    ------
    InputDataError
        If the files cannot be used.
    """
    request = inputs.request(settings)
    if not inputs.made_up:
        request = replace(request, variable=_variable_in(inputs.main[0], request))
        errors = errors and request.variable == settings.variable
        return read_observations(inputs.main, request, uncorrelated=inputs.uncorrelated if errors else None)
    index = np.arange(FIRST, LAST + 1)
    index = index[Period(*request.period).holds(index)]
    if not len(index):
        raise InputDataError(
            f"masks={inputs.made_up} is made for {Months(np.array([FIRST, LAST])).span()}; the period has no such month.",
            "Choose another period.",
        )
    mask = made_up_masks(inputs.made_up, grid, settings.seed, index)
    source = Source(inputs.made_up, "", (), (), settings.variable)
    values = np.where(mask, 0.0, np.nan).astype(np.float32)
    return Observations(settings.variable, values, mask, None, Months(index), grid, None, source)


def _variable_in(path: Path, request: PrepareRequest) -> str:
    """The variable wanted, or the only other one that a file holds observations of."""
    with opened(path) as file:
        held = {canonical_variable(one.name, one.__dict__) for one in file.variables.values() if one.ndim >= 3}
    others = [name for name, one in VARIABLES.items() if name in held and one.observable]
    return others[0] if len(others) == 1 and not request.obs_variable else request.variable


def read_coverage(settings: RunSettings, inputs: Inputs, grid: Grid, scratch: Path, reporter: Reporter) -> Coverage:
    """Read the observations that ``inputs`` name, and make sources of masks and errors of them.

    Raises
    ------
    InputDataError
        If the files cannot be used.
    """
    request = inputs.request(settings)
    reporter.stage(f"Reading the gaps of {inputs.label}")
    seen = read_gaps(settings, inputs, grid, errors=True)
    if seen.variable != settings.variable:
        reporter.note(f"{inputs.label} holds {seen.variable}: its gaps alone are taken for {settings.variable}")
        inputs = Inputs(main=inputs.main)
    on_grid = to_network_grid(seen, grid, scratch)
    train, test = hold_out_masks(on_grid.time)
    sea = ~is_land(grid)
    regional, slow = harmonic_smoother(grid, REGIONAL_KM), harmonic_smoother(grid, SLOW_KM)
    masks = MaskSource.of_observations(on_grid.mask[train], sea, grid, regional)
    own = None
    if on_grid.obs_sd is not None:
        own = complete_levels(on_grid.obs_sd[train], on_grid.mask[train])
    systematic = _systematic(inputs.members, request, seen, reporter)
    used = set(on_grid.time.index[train].tolist())
    # Covariances of months are none of other means.
    covariances = inputs.error_covariance if settings.frequency == MONTH else ()
    partial = _partial(covariances, seen, grid, used, scratch, reporter)
    noise = NoiseSource(
        regional,
        slow,
        area=grid.area.reshape(-1),
        own=own,
        rarity=None if own is not None or seen.variable != settings.variable else rarity_of(on_grid.mask[train]),
        systematic=systematic,
        partial=partial,
        size=VARIABLES[settings.variable].in_methods(1.0) * VARIABLES[settings.variable].error_like(1.0),
        units=VARIABLES[settings.variable].units_in_methods,
    )
    labels = on_grid.time[test].labels()
    scoring = {label: mask for label, mask in zip(labels, on_grid.mask[test], strict=True) if 0 < mask.mean() < 1}
    caveats = []
    if np.isin(test, train).any():
        caveats.append(f"There are {on_grid.time.counted()} of gaps only: the masks that score were trained with too.")
    return Coverage(masks, noise, scoring, seen.source.label, tuple(caveats))


def _systematic(
    members: Sequence[Path], request: PrepareRequest, like: Observations, reporter: Reporter
) -> NDArray[np.floating[Any]] | None:
    """(T,) standard deviation over an ensemble of its mean over the observed area, K; None if it is small."""
    chosen = _chosen(members, MOST_MEMBERS, FEWEST_MEMBERS)
    if not chosen:
        return None
    reporter.stage(f"Reading {len(chosen)} members for the size of systematic errors")
    weights = np.where(like.mask, like.grid.area, 0.0)
    covered = weights.sum(axis=(1, 2))
    means = []
    for number, path in enumerate(chosen, 1):
        values = read_member(path, request, like)
        reason, doubt = check_member(values, like, VARIABLES[like.variable])
        if reason or doubt:
            reporter.warning(f"{path.name} {reason} and is not used" if reason else f"{path.name} {doubt}")
        if reason:
            continue
        means.append((np.nan_to_num(values) * weights).sum(axis=(1, 2)) / np.maximum(covered, 1e-9))
        reporter.step(number, len(chosen))
    if len(means) < FEWEST_MEMBERS:
        return None
    spread = np.std(means, axis=0, ddof=1)
    return np.asarray(spread[covered > 0])


def _partial(
    paths: Sequence[Path], like: Observations, grid: Grid, used: set[int], scratch: Path, reporter: Reporter
) -> NDArray[np.float32] | None:
    """(M, P) sizes of the partly correlated errors, in order of time; None where no covariances are given.

    Parameters
    ----------
    used:
        Months that are trained with, since 0000-01: those that score are not read.
    """
    named = {path: month_in_name(path) for path in paths}
    chosen = _chosen([path for path in paths if named[path] is None or named[path] in used], MOST_COVARIANCES)
    if not chosen:
        return None
    reporter.stage(f"Reading {len(chosen)} error covariances for the size of partly correlated errors")
    found = []
    for number, path in enumerate(chosen, 1):
        found.append(read_error_stddev(path, like))
        reporter.step(number, len(chosen))
    months = [month for month, _ in found]
    levels = np.stack([found[i][1] for i in np.argsort(months)])
    if not grid.same_as(like.grid):
        levels, _ = remap_with_gaps(levels, np.isfinite(levels), like.grid, grid, scratch)
    if not np.isfinite(levels).any():
        return None
    return complete_levels(levels, np.isfinite(levels))
