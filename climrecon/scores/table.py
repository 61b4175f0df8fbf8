"""Scores of several methods on the same records, from their sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np

from climrecon.array_types import FloatArray, IntArray
from climrecon.fields import Months, Steps
from climrecon.frequency import MONTH, YEAR
from climrecon.grid import NINO34
from climrecon.scores import paired
from climrecon.scores.masked_truth import LEVELS, REGIONS, Sums
from climrecon.scores.series import NINETY, annual_means, series_scores

#: Edges of the observed share of the area by which months are grouped.
COVERAGE_EDGES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)


def score_methods(
    sums: Mapping[str, Sequence[Sums]], reference: str | None, times: Sequence[Steps] | None = None
) -> dict[str, dict[str, Any]]:
    """All scores of each method.

    Parameters
    ----------
    sums:
        Method -> its sums of each record, see :func:`climrecon.scores.masked_truth.sums_of`.
    reference:
        The method to which paired differences are taken; None for none.
    times:
        Time axis of each record; None: the ``index`` of its sums counts months.

    Returns
    -------
    Method -> ``cells`` (area-weighted, over the cells that were missing), ``regions`` (monthly, or as the frequency is,
    and annual; of several records the mean of each record's score), ``decades``, ``coverage``, ``reliability``,
    ``paired``. Numbers that are not defined are None.
    """
    table = {}
    times = times or [Months(part["index"]) for part in next(iter(sums.values()))]
    decades = np.concatenate([time.year // 10 * 10 for time in times])
    count = f"n_{times[0].plural}"
    for name, parts in sums.items():
        table[name] = {
            "cells": cell_scores(parts),
            "regions": {name: _region(parts, name, times) for name in _regions(parts)},
            "decades": _grouped(parts, decades, "{:.0f}s", count),
            "coverage": _by_coverage(parts, count),
            "reliability": _reliability(parts),
            "paired": {} if reference in (None, name) else _paired(parts, sums[str(reference)], times),
        }
    return {name: plain(scores, lambda value: round(value, 4)) for name, scores in table.items()}


def _regions(parts: Sequence[Sums]) -> list[str]:
    """Names of the regions that all records have, the whole of the grid first."""
    return [name for name in REGIONS if all(f"{name}/truth" in part for part in parts)]


def joined(parts: Sequence[Sums], key: str) -> FloatArray:
    """The arrays ``key`` of all records, one after the other."""
    return np.concatenate([part[key] for part in parts])


def cell_scores(
    parts: Sequence[Sums], chosen: Any = slice(None), levels: Sequence[float] = (0.5, 0.9)
) -> dict[str, float]:
    """RMSE, bias, CRPS and coverage of intervals over the cells of the ``chosen`` months."""
    weight = joined(parts, "weight")[chosen].sum()
    scores = {
        "rmse": float(np.sqrt(joined(parts, "squares")[chosen].sum() / weight)),
        "bias": float(joined(parts, "errors")[chosen].sum() / weight),
    }
    if all("totals" in part for part in parts):
        truth, ranks = joined(parts, "totals")[chosen].sum(), joined(parts, "rank_r")[chosen]
        scores["total_ratio"] = float(1.0 + joined(parts, "errors")[chosen].sum() / truth)
        scores["rank_r"] = float(np.nanmean(ranks)) if np.isfinite(ranks).any() else float("nan")
    if all("noise" in part for part in parts):
        less = joined(parts, "squares")[chosen].sum() - joined(parts, "noise")[chosen].sum()
        scores["rmse_less_noise"] = float(np.sqrt(max(less, 0.0) / weight))
    if all("logs" in part for part in parts):
        scores["log_score"] = float(joined(parts, "logs")[chosen].sum() / weight)
    if all("crps" in part for part in parts):
        scores["crps"] = float(joined(parts, "crps")[chosen].sum() / weight)
        inside = joined(parts, "inside")[chosen].sum(axis=0) / weight
        scores |= {f"covers_{100 * level:.0f}": float(inside[LEVELS.index(level)]) for level in levels}
    return scores


def _region(parts: Sequence[Sums], name: str, times: Sequence[Steps]) -> dict[str, dict[str, float]]:
    """Scores of the steps and of annual means; of years these are the same."""
    each, annual = [], []
    for part, time in zip(parts, times, strict=True):
        both = np.stack([part[f"{name}/estimate"], part[f"{name}/truth"]])
        years, means = annual_means(both, time)
        when = time.index / 12.0 if time.frequency == MONTH else time.in_years
        each.append(_series(both, when, part.get(f"{name}/sd")))
        annual.append(_series(means, years.astype(float), part.get(f"{name}/annual_sd")))
    if times[0].frequency == YEAR:
        return {"annual": _mean(each)}
    return {times[0].frequency.adjective: _mean(each), "annual": _mean(annual)}


def _series(both: FloatArray, when: FloatArray, sd: FloatArray | None) -> dict[str, float]:
    """Scores of an estimated series and the truth's (2, N); with ``sd`` (N,), coverage of the 90 % interval too."""
    row = series_scores(both[0], both[1], when)
    if sd is not None:
        error = both[0] - both[1]
        known = np.isfinite(error) & np.isfinite(sd)
        row["covers_90"] = float((np.abs(error) <= NINETY * sd)[known].mean()) if known.any() else float("nan")
    return row


def _mean(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means over the records in which a score is defined."""
    found = {}
    for key in rows[0]:
        known = [row[key] for row in rows if key in row and isfinite(row[key])]
        found[key] = float(np.mean(known)) if known else float("nan")
    return found


def _grouped(parts: Sequence[Sums], numbers: FloatArray | IntArray, label: str, count: str) -> list[dict[str, Any]]:
    """RMSE, CRPS and coverage of the steps of each group: ``numbers`` has a number for each of all records."""
    weight = joined(parts, "weight")
    rows = []
    for number in np.unique(numbers):
        chosen = (numbers == number) & (weight > 0)
        if chosen.any():
            head = {"label": label.format(number), "from": float(number), count: int(chosen.sum())}
            rows.append({**head, **cell_scores(parts, chosen, (0.9,))})
    return rows


def _by_coverage(parts: Sequence[Sums], count: str) -> list[dict[str, Any]]:
    edges = np.array(COVERAGE_EDGES)
    position = np.searchsorted(edges, joined(parts, "coverage"), side="right") - 1
    rows = _grouped(parts, edges[np.clip(position, 0, len(edges) - 2)], "from {:.1f}", count)
    for row in rows:
        upper = edges[np.searchsorted(edges, row["from"]) + 1]
        row["label"] = f"{100 * row['from']:.0f}-{100 * upper:.0f} %"
    return rows


def _reliability(parts: Sequence[Sums]) -> dict[str, Any] | None:
    """Nominal and actual coverage of central intervals, and the histogram of probability transforms (sums to 1)."""
    if not all("inside" in part for part in parts):
        return None
    actual = joined(parts, "inside").sum(axis=0) / joined(parts, "weight").sum()
    histogram = np.sum([part["histogram"] for part in parts], axis=0)
    return {
        "nominal": list(LEVELS),
        "actual": [float(v) for v in actual],
        "histogram": [float(v) for v in histogram / histogram.sum()],
    }


def _paired(parts: Sequence[Sums], reference: Sequence[Sums], times: Sequence[Steps]) -> dict[str, Any]:
    """Differences to the reference: RMSE, CRPS and log score of cells, RMSE of annual means of the grid and of Nino 3.4.

    They are tested by years; where there are few years, by blocks of cells, if the sums have some.
    """
    of_steps = [time.year for time in times]
    years = [np.unique(one) for one in of_steps]
    in_blocks = by_blocks(parts, times)
    of_years = [len(one) for one in years]
    units = [len(part["block/weight"]) for part in parts] if in_blocks else of_years

    def by_unit(of: Sequence[Sums], key: str) -> FloatArray:
        if in_blocks:
            return joined(of, f"block/{key}")
        sums = [
            np.array([part[key][own == year].sum() for year in found])
            for part, own, found in zip(of, of_steps, years, strict=True)
        ]
        return np.concatenate(sums)

    weight = by_unit(parts, "weight")
    found: dict[str, Any] = {
        "rmse": paired.difference(by_unit(parts, "squares"), by_unit(reference, "squares"), weight, units)
    }
    for name, key in (("crps", "crps"), ("log_score", "logs")):
        if all(key in part for part in (*parts, *reference)):
            both = (by_unit(parts, key), by_unit(reference, key))
            found[name] = paired.difference(*both, weight, units, root=False)
    names = _regions(parts)
    series = [(f"{name}_annual_rmse", name, True) for name in names[:1]]
    for key, region, annual in (*series, ("nino34_rmse", NINO34.name, False)):
        if region not in names:
            continue
        squares = [_regional_squares(of, region, annual, times) for of in (parts, reference)]
        found[key] = paired.difference(squares[0][0], squares[1][0], squares[0][1], of_years)
    return found


def by_blocks(parts: Sequence[Sums], times: Sequence[Steps]) -> bool:
    """Whether differences are tested by blocks of cells: there are sums of blocks, and few years."""
    years = sum(len(np.unique(time.year)) for time in times)
    return years < paired.FEWEST and all("block/weight" in part for part in parts)


def _regional_squares(
    parts: Sequence[Sums], region: str, annual: bool, times: Sequence[Steps]
) -> tuple[FloatArray, FloatArray]:
    """Squared errors of a region's series summed by year, and how many there are; whole years if ``annual``."""
    sums, counts = [], []
    for part, time in zip(parts, times, strict=True):
        error = part[f"{region}/estimate"] - part[f"{region}/truth"]
        year = time.year
        for one in np.unique(year):
            errors = error[year == one]
            errors = errors[np.isfinite(errors)]
            whole = len(errors) >= time.frequency.per_year
            sums.append((errors.mean() ** 2 if whole else 0.0) if annual else float((errors**2).sum()))
            counts.append(float(whole if annual else len(errors)))
    return np.array(sums), np.array(counts)


def plain(value: Any, rounded: Callable[[float], float] = float) -> Any:
    """Numbers as JSON takes them: ``rounded``, and None where they are not defined."""
    if isinstance(value, dict):
        return {key: plain(one, rounded) for key, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(one, rounded) for one in value]
    if isinstance(value, float | np.floating):
        return rounded(float(value)) if isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
