"""The numbers of a comparison, as ``comparison.json`` holds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from climrecon.array_types import FloatArray, IntArray
from climrecon.frequency import YEAR
from climrecon.scores.scores import correlation
from climrecon.scores.series import annual_means
from climrecon.scores.table import plain
from climrecon.scores.trends import DRAWS, Trend, drawn, rank_probabilities, slope, trend
from climrecon.settings import Period, RunSettings
from climrecon.settings.periods import parse_period
from climrecon.tasks.compare.together import Together, cut
from climrecon.variables import VARIABLES

#: Ranks of years that have a probability.
RANKS = 10
COMMON, OWN = "common", "own"


@dataclass(frozen=True)
class Series:
    """Series of a product, on its own and on the common coverage.

    Attributes
    ----------
    own, common:
        (K, T) monthly (or annual) area mean and indices; on the product's steps, and on the common ones.
    own_members, common_members:
        (M, K, T) the same of the members; None without any.
    covered:
        (T,) share of the area that its own values cover.
    own_sd:
        (T,) stated standard deviation of the area mean; None if there is none.
    """

    own: FloatArray
    common: FloatArray
    covered: FloatArray
    own_members: FloatArray | None = None
    common_members: FloatArray | None = None
    own_sd: FloatArray | None = None


@dataclass(frozen=True)
class Annual:
    """Whole years of an area mean.

    (Y,) values and shares of the area, (M, Y) members or None, and (Y,) standard deviation or None.
    """

    years: IntArray
    values: FloatArray
    covered: FloatArray
    members: FloatArray | None
    sd: FloatArray | None

    def within(self, first: int, last: int) -> Annual:
        """The years from ``first`` to ``last`` with a value."""
        keep = (self.years >= first) & (self.years <= last) & np.isfinite(self.values)
        members = None if self.members is None else self.members[:, keep]
        sd = None if self.sd is None else self.sd[keep]
        return Annual(self.years[keep], self.values[keep], self.covered[keep], members, sd)


def annual(together: Together, series: Sequence[Series], coverage: str) -> list[Annual]:
    """The annual area mean of each product on ``own`` or ``common`` coverage."""
    found = []
    for product, one in zip(together.products, series, strict=True):
        own = coverage == OWN
        time = product.time if own else together.time
        years, values = annual_means((one.own if own else one.common)[0], time)
        covered = annual_means(one.covered if own else together.covered, time)[1]
        of_members = one.own_members if own else one.common_members
        members = None if of_members is None else annual_means(of_members[:, 0], time)[1]
        # How errors persist within a year is not stated: the mean of the monthly ones takes them as fully persistent.
        stated = annual_means(one.own_sd, time)[1] if own and one.own_sd is not None else None
        sd = stated if members is None or len(members) < 2 else members.std(axis=0, ddof=1)
        found.append(Annual(years, values, covered, members, sd))
    return found


def numbers(together: Together, series: Sequence[Series], settings: RunSettings) -> dict[str, Any]:
    """Series, trends, ranks, events and differences of pairs."""
    names = [one.name for one in together.products]
    means = {coverage: dict(zip(names, annual(together, series, coverage), strict=True)) for coverage in (COMMON, OWN)}
    return {
        "annual_means": {
            coverage: {name: _series_of(one) for name, one in rows.items()} for coverage, rows in means.items()
        },
        "trends": [entry for coverage in means for entry in _trends(means[coverage], settings.trend_periods, coverage)],
        "ranks": _ranks(means, settings) if VARIABLES[settings.variable].ranked_years else [],
        "events": list(_events(together, series)),
        "pairs": [_pair(together, means[COMMON], *pair) for pair in combinations(range(len(names)), 2)],
    }


def _series_of(one: Annual) -> dict[str, Any]:
    row = {"years": one.years, "values": one.values, "sd": one.sd}
    return {key: plain(values, lambda value: round(value, 5)) for key, values in row.items()}


def _trends(rows: Mapping[str, Annual], periods: Sequence[Period], coverage: str) -> Iterator[dict[str, Any]]:
    for period in periods:
        first, last = period.years
        entry: dict[str, Any] = {"coverage": coverage, "asked": f"{first}-{last}", "products": {}, "differences": {}}
        used = {name: cut(period, one.within(first, last).years) for name, one in rows.items()}
        for name, one in rows.items():
            span = used[name]
            if span is None:
                found = len(one.within(first, last).years)
                entry["products"][name] = {"period": None, "years": found}
                continue
            chosen = one.within(*span)
            fitted = trend(chosen.years, chosen.values)
            entry["products"][name] = {"period": f"{span[0]}-{span[1]}", "cut": span != (first, last), **_trend(fitted)}
            if chosen.members is not None and len(chosen.members) > 1:
                slopes = slope(chosen.years, chosen.members)
                low, high = np.quantile(slopes, [0.05, 0.95])
                entry["products"][name]["members"] = {
                    "n": len(slopes), "mean": float(slopes.mean()), "sd": float(slopes.std(ddof=1)),
                    "interval": [float(low), float(high)],
                }  # fmt: skip
        if coverage == COMMON:
            entry["differences"] = _trend_differences(rows, period)
        yield entry


def _trend_differences(rows: Mapping[str, Annual], period: Period) -> dict[str, Any]:
    """Trends of each product less the first one: of the series of differences, in which common variability cancels."""
    (first, reference), *others = rows.items()
    found = {}
    for name, one in others:
        both = np.isfinite(one.values) & np.isfinite(reference.values)
        years = one.years[both]
        if (span := cut(period, years)) is None:
            continue
        inside = (years >= span[0]) & (years <= span[1])
        fitted = trend(years[inside], (one.values - reference.values)[both][inside])
        apart = fitted.interval and not fitted.interval[0] <= 0.0 <= fitted.interval[1]
        found[name] = {"less": first, "significant": None if apart is None else bool(apart), **_trend(fitted)}
    return found


def _trend(fitted: Trend) -> dict[str, Any]:
    row = asdict(fitted)
    return {**row, "interval": None if fitted.interval is None else list(fitted.interval)}


def _ranks(means: Mapping[str, Mapping[str, Annual]], settings: RunSettings) -> list[dict[str, Any]]:
    found = []
    for coverage, rows in means.items():
        for name, one in rows.items():
            known = one.within(0, 9999)
            order = np.argsort(-known.values, kind="stable")[:RANKS]
            draws, source = _draws(known, settings.seed)
            table = None if draws is None else rank_probabilities(draws, RANKS)
            years = [
                {
                    "rank": rank + 1,
                    "year": int(known.years[at]),
                    "value": float(known.values[at]),
                    "sd": None if known.sd is None else float(known.sd[at]),
                    "covered": round(float(known.covered[at]), 4),
                    "probability": None if table is None else float(table[at, rank]),
                    "probabilities": None if table is None else [round(float(one), 4) for one in table[at]],
                }
                for rank, at in enumerate(order)
            ]
            found.append({"coverage": coverage, "product": name, "from": source, "n": len(known.years), "years": years})
    return found


def _draws(known: Annual, seed: int) -> tuple[FloatArray | None, str]:
    """Equally likely series, and where they come from."""
    if known.members is not None and len(known.members) > 1:
        return known.members, f"{len(known.members)} members"
    if known.sd is not None and np.isfinite(known.sd).all():
        return drawn(known.values, known.sd, seed), f"{DRAWS} draws with the stated standard deviation"
    return None, ""


def _events(together: Together, series: Sequence[Series]) -> Iterator[dict[str, Any]]:
    """Means of the indices in their events: of years there are none."""
    for number, index in enumerate(together.indices, 1):
        for event, months in index.events:
            if together.time.frequency == YEAR:
                continue
            period = parse_period(months)
            row: dict[str, Any] = {"index": index.title, "event": event, "months": str(period), "products": {}}
            for product, one in zip(together.products, series, strict=True):
                inside = np.asarray(period.holds(product.time.index))
                wanted = period.end - period.start + 1 if period.start is not None and period.end is not None else 0
                values = one.own[number, inside]
                if inside.sum() < wanted or not np.isfinite(values).all():
                    row["products"][product.name] = None
                    continue
                members = None if one.own_members is None else one.own_members[:, number, inside].mean(axis=1)
                covered = together.coverage(np.isfinite(product.values[np.flatnonzero(inside)]))[number]
                row["products"][product.name] = {
                    "value": float(values.mean()),
                    "sd": None if members is None or len(members) < 2 else float(members.std(ddof=1)),
                    "covered": float(covered.mean()),
                }
            if any(row["products"].values()):
                yield row


def _pair(together: Together, rows: Mapping[str, Annual], first: int, second: int) -> dict[str, Any]:
    """Agreement of two products on the common cells, of annual means and of all cells and steps."""
    names = [together.products[number].name for number in (first, second)]
    one, other = (rows[name].values for name in names)
    known = np.isfinite(one) & np.isfinite(other)
    one, other = one[known], other[known]
    sums = np.zeros(6)
    for part in range(0, len(together.time), 120):
        steps = slice(part, part + 120)
        mask = together.mask[steps]
        weights = (mask * together.grid.area)[mask]
        a, b = (together.products[n].values[together.rows[n][steps]][mask].astype(np.float64) for n in (first, second))
        sums += [weights.sum(), weights @ a, weights @ b, weights @ (a * a), weights @ (b * b), weights @ (a * b)]
    total, *moments = sums.tolist()
    mean_a, mean_b, aa, bb, ab = (one / total for one in moments)
    spread = np.sqrt(max(aa - mean_a**2, 0.0) * max(bb - mean_b**2, 0.0))
    covariance = ab - mean_a * mean_b
    row = {
        "first": names[0],
        "second": names[1],
        "years": known.sum(),
        "annual_mean_difference": (other - one).mean(),
        "annual_rms_difference": np.sqrt(((other - one) ** 2).mean()),
        "annual_r": correlation(one, other),
        "annual_r_detrended": correlation(one, other, detrended=True),
        "cells_rms_difference": np.sqrt(max(aa - 2.0 * ab + bb, 0.0)),
        "cells_r": covariance / spread if spread > 0 else None,
        "cell_steps": together.mask.sum(),
    }
    return {key: plain(value) for key, value in row.items()}
