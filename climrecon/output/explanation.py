"""An explanation: what each observation contributes to a value, as maps in netCDF and as numbers in JSON.

Shapes: N months that the estimate depends on, H x W cells of the method's grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.fields import Influence, Steps
from climrecon.files import NETCDF_HEADER, atomic_path
from climrecon.geography import regions_of
from climrecon.grid import Grid
from climrecon.output.axes import FILL, add_grid, add_time_axis, add_variable
from climrecon.output.product import NetworkInfo
from climrecon.scores.table import plain
from climrecon.settings.targets import Target
from climrecon.variables import VARIABLES

#: Rows of tables.
MOST_ROWS = 12
#: Land fraction from which a cell is land, and below which it has islands at most that the mask of ten minutes lacks.
LAND, SEA = 0.5, 0.005


@dataclass(frozen=True)
class Block:
    """Observed cells that were left out together: those of a block, or of a continent or ocean basin.

    Attributes
    ----------
    place:
        Its ends, e.g. ``0-20N, 180W-160W``, or its name.
    cells:
        Flat indices of its cells, observed or not.
    observed:
        Number of its observations in the month.
    contribution, change:
        Sum of its observations' contributions, and change of the value that they make: with less without them.
    reduction:
        By how much they reduce the variance of the value, given all others; None without a Gaussian model.
    """

    place: str
    cells: IntArray
    observed: int
    contribution: float
    change: float
    reduction: float | None


@dataclass(frozen=True)
class Worth:
    """What observations are worth under the Gaussian model of a method, in squared units of the variable.

    Attributes
    ----------
    variance:
        Of the value given the observations.
    prior:
        Of the value about the month's mean, before any observation.
    reductions:
        (H, W) by how much each observation reduces the variance, given all others; NaN where nothing was observed.
    gains:
        (H, W) by how much an observation of each cell without one would reduce it; NaN elsewhere.
    error_sd:
        The typical error of an observation that ``gains`` assume.
    """

    variance: float
    prior: float
    reductions: FloatArray
    gains: FloatArray
    error_sd: float


@dataclass(frozen=True)
class Explained:
    """One method's value of one month, explained.

    Attributes
    ----------
    values, mask:
        (N, H, W) observations.
    land:
        (H, W) land fraction.
    weights:
        (H, W) of the cells in the value.
    estimate, stated_sd:
        The value of the reconstruction and its standard deviation, None where the method states none.
    blocks, regions:
        With observations in the month; no regions on a regional grid.
    agreement:
        Rank correlation of the blocks' contributions and changes, and share of the contributions, by size, whose sign is
        that of the change.
    """

    info: NetworkInfo
    target: Target
    variable: str
    grid: Grid
    time: Steps
    position: int
    values: FloatArray
    mask: BoolArray
    land: FloatArray
    weights: FloatArray
    influence: Influence
    estimate: float
    stated_sd: float | None
    blocks: Sequence[Block]
    regions: Sequence[Block]
    agreement: tuple[float, float]
    worth: Worth | None
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def contributions(self) -> FloatArray:
        """(H, W) of the month itself; NaN where nothing was observed."""
        return np.where(self.mask[self.position], self.influence.contributions[self.position], np.nan)

    @property
    def month(self) -> str:
        """The month's label."""
        return self.time.labels()[self.position]

    @property
    def completeness_error(self) -> float | None:
        """Difference of the sum of all parts to the value, as a share of it; None where they need not agree."""
        found = self.influence
        if found.how == "occlusion":
            return None
        off = abs(found.contributions.sum() + found.at_climatology - found.value)
        return float(off / abs(found.value)) if found.value else 0.0

    @property
    def months(self) -> list[dict[str, Any]]:
        """Each month's observations, the sum of their contributions, and its share of all contributions by size."""
        size = np.abs(self.influence.contributions).sum(axis=(1, 2))
        shares = size / (size.sum() or 1.0)
        sums, counts = self.influence.contributions.sum(axis=(1, 2)), self.mask.sum(axis=(1, 2))
        rows = zip(self.time.labels(), counts, sums, shares, strict=True)
        return [{"month": m, "observed": int(n), "contribution": float(c), "share": float(s)} for m, n, c, s in rows]

    @cached_property
    def changes(self) -> FloatArray:
        """(H, W) change that each block makes, in all its cells; NaN in blocks without an observation."""
        return self.on_map(self.blocks, [block.change for block in self.blocks])

    def on_map(self, groups: Sequence[Block], values: Sequence[float]) -> FloatArray:
        """(H, W) a value for each group, in all its cells; NaN elsewhere."""
        found = np.full(self.grid.shape, np.nan)
        for group, value in zip(groups, values, strict=True):
            found.reshape(-1)[group.cells] = value
        return found

    def strongest(self) -> list[dict[str, Any]]:
        """The observations that contribute most."""
        cells = np.flatnonzero(self.mask[self.position])
        size = np.abs(self.contributions.reshape(-1)[cells])
        weights, without = self.influence.weights, self.worth
        rows = []
        for cell in cells[np.argsort(-size, kind="stable")[:MOST_ROWS]]:
            at = np.unravel_index(int(cell), self.grid.shape)
            rows.append(
                {
                    **self._place(at),
                    "observation": float(self.values[self.position][at]),
                    "weight": None if weights is None else float(weights[self.position][at]),
                    "contribution": float(self.contributions[at]),
                    "variance_reduction": None if without is None else plain(without.reductions[at]),
                }
            )
        return rows

    def wanted(self) -> list[dict[str, Any]]:
        """The cells without an observation where one would reduce the variance most."""
        if self.worth is None:
            return []
        gains = self.worth.gains.reshape(-1)
        cells = np.flatnonzero(gains > 0.0)
        best = cells[np.argsort(-gains[cells], kind="stable")[:MOST_ROWS]]
        places = [np.unravel_index(int(cell), self.grid.shape) for cell in best]
        return [
            {
                **self._place(at),
                "variance_reduction": float(self.worth.gains[at]),
                "stddev": float(np.sqrt(max(self.worth.variance - self.worth.gains[at], 0.0))),
            }
            for at in places
        ]

    def _place(self, at: tuple[Any, ...]) -> dict[str, Any]:
        row, column = at
        cell = Grid(self.grid.lat_edges[row : row + 2], self.grid.lon_edges[column : column + 2])
        land = float(self.land[at])
        surface = "land" if land >= LAND else "sea or small islands" if land < SEA else "sea and land"
        return {"cell": cell.extent(), "surface": surface}

    def content(self) -> dict[str, Any]:
        """Numbers for JSON and the report."""
        found, worth = self.influence, self.worth
        return {
            "title": self.info.title,
            "sha256": self.info.sha256,
            "how": found.how,
            "steps": found.steps,
            "value": found.value,
            "estimate": self.estimate,
            "at_climatology": found.at_climatology,
            "completeness_error": self.completeness_error,
            "stated_stddev": self.stated_sd,
            "stddev": None if worth is None else float(np.sqrt(worth.variance)),
            "prior_stddev": None if worth is None else float(np.sqrt(worth.prior)),
            "typical_error": None if worth is None else worth.error_sd,
            "months": self.months,
            "agreement": dict(zip(("rank_correlation", "same_sign"), map(plain, self.agreement), strict=True)),
            "blocks": _rows("block", self.blocks)[:MOST_ROWS],
            "regions": _rows("region", self.regions),
            "observations": self.strongest(),
            "wanted": self.wanted(),
            "notes": list(self.notes),
        }


def _rows(key: str, groups: Sequence[Block]) -> list[dict[str, Any]]:
    """The groups, those that contribute most first."""
    return [
        {
            key: one.place,
            "observed": one.observed,
            "contribution": one.contribution,
            "change": one.change,
            "variance_reduction": plain(one.reduction),
        }
        for one in sorted(groups, key=lambda one: -abs(one.contribution))
    ]


def how(content: Mapping[str, Any]) -> str:
    """How the contributions of an :meth:`Explained.content` were found, with their error."""
    if content["how"] == "occlusion":
        return "each left out in turn, since the method offers no gradients"
    kind = {"exact": "exact weights", "gradients": "integrated gradients"}[content["how"]]
    error = 100.0 * content["completeness_error"]
    return f"{kind}, whose sum misses the value by {f'{error:.2f}' if error >= 0.01 else 'under 0.01'} %"


def sign_of(variable: str) -> str:
    """``+`` where values are anomalies and have a sign in texts, else nothing."""
    return "+" if VARIABLES[variable].kind == "anomaly" else ""


def write_maps(path: Path, explained: Explained, attributes: Mapping[str, str], calendar: str) -> None:
    """Write the maps of one method as CF netCDF, in single precision; ``calendar`` is that of the observations' file."""
    one, variable = explained, VARIABLES[explained.variable]
    units = {
        "units": variable.units,
        **({"units_metadata": variable.units_metadata} if variable.units_metadata else {}),
    }
    squared = {"units": f"{variable.units}2"} if variable.units.isalpha() else {"units": f"({variable.units})^2"}
    month, found, worth = one.month, one.influence, one.worth
    exact = {"exact": "exact weights", "gradients": f"integrated gradients, {found.steps} steps"}.get(
        found.how, "the change without each cell, or its share of the change without its block"
    )
    of_months: list[tuple[str, dict[str, str], FloatArray]] = [
        (
            "observation",
            {"long_name": f"observed {'anomaly' if variable.kind == 'anomaly' else 'value'}", **units},
            np.where(one.mask, one.values, np.nan),
        ),
        (
            "contribution",
            {"long_name": f"contribution to the value, {exact}", **units},
            np.where(one.mask, found.contributions, np.nan),
        ),
    ]
    if found.weights is not None:
        name = "weight of the observation in the value" + (", mean of the path" if found.steps else "")
        of_months.append(("weight", {"long_name": name, "units": "1"}, np.where(one.mask, found.weights, np.nan)))
    maps: list[tuple[str, dict[str, str], FloatArray]] = [
        (
            "target_weight",
            {"long_name": f"weight of the cell in the value: {one.target.name}", "units": "1"},
            one.weights,
        ),
        (
            "change_of_block",
            {"long_name": f"value less that without the observations of the block in {month}", **units},
            one.changes,
        ),
    ]
    if one.regions:
        what = f"observations of the continent or ocean basin in {month}"
        of_region = {
            "contribution": ([group.contribution for group in one.regions], f"sum of the contributions of the {what}"),
            "change": ([group.change for group in one.regions], f"value less that without the {what}"),
        }
        maps += [
            (f"{name}_of_region", {"long_name": text, **units}, one.on_map(one.regions, values))
            for name, (values, text) in of_region.items()
        ]
    if worth is not None:
        maps += [
            (
                "variance_reduction",
                {"long_name": "reduction of the value's variance by the observation, given all others", **squared},
                np.where(np.isfinite(worth.reductions), worth.reductions, np.nan),
            ),
            (
                "variance_gain",
                {
                    "long_name": "reduction of the value's variance by an observation with an error of "
                    f"{worth.error_sd:.3g} {variable.units}, where there is none",
                    **squared,
                },
                worth.gains,
            ),
        ]
    with (
        atomic_path(path, NETCDF_HEADER) as temporary,
        netCDF4.Dataset(temporary, "w", format="NETCDF4_CLASSIC") as file,
    ):
        file.setncatts({"Conventions": "CF-1.8", **attributes})
        file.createDimension("time", len(one.time))
        add_time_axis(file, one.time, calendar)
        add_grid(file, one.grid)
        storage = {"fill_value": FILL, "zlib": True}
        for dimensions, fields in ((("time", "lat", "lon"), of_months), (("lat", "lon"), maps)):
            for name, described, values in fields:
                add_variable(file, name, "f4", dimensions, described, np.ma.masked_invalid(values), **storage)
        if one.regions:
            number, names = regions_of(one.grid)
            flags: dict[str, Any] = {
                "long_name": "continent or ocean basin",
                "flag_values": np.arange(len(names), dtype=np.int8),
                "flag_meanings": " ".join(name.lower().replace(" ", "_") for name in names),
            }
            add_variable(file, "region", "i1", ("lat", "lon"), flags, number.astype(np.int8))
