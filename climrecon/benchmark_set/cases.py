"""Cases of a benchmark set: truth that is generated from a seed or read from a file, seen through gaps and errors.

Every case has months or a world of its own. With shared months the dense and clean inputs would hold what the sparse and
noisy ones hide.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from climrecon.array_types import BoolArray, FloatArray
from climrecon.demo.climate import coverage_masks, make_climate
from climrecon.errors import InputDataError
from climrecon.fields import Months, Observations
from climrecon.grid import FIVE_DEGREES
from climrecon.preprocess import PrepareRequest, read_observations, to_network_grid
from climrecon.preprocess.field import members_within
from climrecon.scores.gaps import masks_for
from climrecon.scores.masked_truth import MaskedTruth
from climrecon.scores.suite import CLEAN, NOISE
from climrecon.settings.benchmark import Stretch
from climrecon.settings.periods import Period

#: Years of generated truth: it warms, and is colder than its climatology, as the sparse decades were.
YEARS = "1911-1940"
#: Cases by name: years whose gaps are taken.
GAPS = {"sparse": "1851-1880", "dense": "1951-1980"}
#: Standard deviations of the drawn errors, and the error that is stated, K.
ERRORS = {"clean": (0.0, CLEAN), "noisy": (NOISE, NOISE)}
#: Generated truth is rounded, K: linear algebra of other processors differs in the last digits, and hashes must not.
STEP = 0.001
#: A file, or those of one record.
Files = Path | Sequence[Path]
#: The climatology of generated truth ends here.
_LAST = 1990
_NOISE = 31


@dataclass(frozen=True)
class Case:
    """One case with its truth.

    Attributes
    ----------
    known:
        Truth (T, H, W) K, NaN where unknown, and the mask that it is seen through.
    values:
        (T, H, W) K as observed, NaN where missing.
    noise, stated:
        Standard deviation of the drawn errors, and the stated one, K.
    gaps:
        Origin of the masks, in words.
    """

    name: str
    known: MaskedTruth
    values: FloatArray
    noise: float
    stated: float
    gaps: str


def case_seed(seed: int, name: str) -> int:
    """The seed of one case of a set; of a hidden seed nothing follows from it."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:16])


def case_names(stretches: Sequence[Stretch]) -> list[tuple[str, Stretch, str]]:
    """Name, stretch and kind of errors of each case, in order."""
    return [(f"{stretch.name}-{kind}", stretch, kind) for stretch in stretches for kind in ERRORS]


def generated_truth(seed: int, name: str, time: Months) -> FloatArray:
    """(T, H, W) K of a generated climate, whose El Nino follows no calendar of the real world."""
    whole = Months(np.arange(time.index[0], max(int(time.index[-1]), _LAST * 12 + 11) + 1))
    field = make_climate(whole, case_seed(seed, name), events=False).anomalies[: len(time)]
    return np.asarray(np.round(field / STEP) * STEP, np.float32)


def generated_cases(seed: int, years: Period, stretches: Sequence[Stretch], masks: Files | None) -> list[Case]:
    """Cases of generated truth, a climate each, with generated gaps or those of the file ``masks``."""
    gaps, time = None if masks is None else read_fields(masks), _months_of(years)
    found = []
    for name, stretch, kind in case_names(stretches):
        own = case_seed(seed, name)
        truth = generated_truth(seed, name, time)
        if gaps is None:
            climate = make_climate(_months_of(stretch.period), own, events=False)
            position, has, rule = masks_for(time, climate.time)
            mask, words = coverage_masks(climate, own)[position], f"generated: {rule}"
            _all_seen(has, stretch, rule)
        else:
            mask, words = masks_of(gaps, stretch, time)
        found.append(_case(name, truth, mask, time, kind, seed, words))
    return found


def _months_of(period: Period) -> Months:
    first, last = period.years
    return Months(np.arange(first * 12, last * 12 + 12))


def _all_seen(has: BoolArray, stretch: Stretch, rule: str) -> None:
    if not has.all():
        raise InputDataError(f"--gaps {stretch.name}: {rule}.", "Choose whole years of truth and masks.")


def cases_of_truth(truth: Observations, stretches: Sequence[Stretch], masks: Files, seed: int) -> list[Case]:
    """Cases of given months: successive whole years of them each, so that no case holds months of another.

    Raises
    ------
    InputDataError
        If there are fewer years than cases.
    """
    gaps, names = read_fields(masks), case_names(stretches)
    years = np.unique(truth.time.year)
    if len(years) < len(names):
        raise InputDataError(
            f"The truth holds {len(years)} years; {len(names)} cases need one each at least.",
            "Give more years, or fewer --gaps.",
        )
    found = []
    for (name, stretch, kind), own in zip(names, np.array_split(years, len(names)), strict=True):
        rows = np.isin(truth.time.year, own)
        time = Months(truth.time.index[rows])
        mask, words = masks_of(gaps, stretch, time)
        found.append(_case(name, np.asarray(truth.values[rows], np.float32), mask, time, kind, seed, words))
    return found


def read_fields(files: Files, period: Period | None = None) -> Observations:
    """Monthly anomalies of a file, or of several of one record, on the 5-degree grid, with gaps or without.

    Raises
    ------
    InputDataError
        If the file cannot be used.
    """
    span = (period.start, period.end) if period else (None, None)
    request = PrepareRequest(period=span, allow_complete=True, allow_infilled=True)
    found = read_observations(paths_of(files), request)
    with TemporaryDirectory(prefix="climrecon-") as scratch:
        return to_network_grid(found, FIVE_DEGREES, Path(scratch))


def check_one_member(files: Sequence[Path]) -> None:
    """Refuse a truth of several members: their mean is smoother than any of them.

    Raises
    ------
    InputDataError
        If a file holds several, or cannot be read.
    """
    for path in files:
        if (count := members_within(path)) > 1:
            raise InputDataError(
                f"{path.name} holds {count} members; the truth is one of them.",
                "Write one into a file of its own, e.g. ncks -d member,0 IN OUT.",
            )


def paths_of(files: Files) -> list[Path]:
    """The files, one or several."""
    return [files] if isinstance(files, Path) else list(files)


def masks_of(gaps: Observations, stretch: Stretch, time: Months) -> tuple[BoolArray, str]:
    """(T, H, W) masks of the ``stretch`` of observations, for the months ``time``; and the rule in words.

    Raises
    ------
    InputDataError
        If there are none of these years.
    """
    inside = stretch.period.holds(gaps.time.index)
    if not inside.any():
        raise InputDataError(
            f"The masks hold {gaps.time.span()}, none of {stretch.period} (--gaps {stretch.name}).",
            "Name years of the masks with --gaps NAME=PERIOD.",
        )
    seen = gaps.select(np.asarray(inside))
    position, has, rule = masks_for(time, seen.time)
    _all_seen(has, stretch, rule)
    return seen.mask[position], f"{Path(seen.source.files[0]).name}: {rule}"


def _case(name: str, truth: FloatArray, mask: BoolArray, time: Months, kind: str, seed: int, gaps: str) -> Case:
    noise, stated = ERRORS[kind]
    mask = mask & np.isfinite(truth)
    for what, cells in (("observed", mask), ("missing, so that it could be scored", np.isfinite(truth) & ~mask)):
        if not cells.any():
            raise InputDataError(f"No cell of the case {name} is {what}.", "Choose other --gaps or masks.")
    values = truth
    if noise:
        rng = np.random.default_rng([case_seed(seed, name), _NOISE])
        values = truth + noise * rng.standard_normal(truth.shape)
    seen = np.where(mask, np.round(values / STEP) * STEP, np.nan).astype(np.float32)
    return Case(name, MaskedTruth(name, truth, mask, time, FIVE_DEGREES), seen, noise, stated, gaps)
