"""Fields of the products of a comparison on the common base period, frequency and grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.special import ndtri

from climrecon.array_types import FloatArray
from climrecon.datasets import USER, is_data_set
from climrecon.errors import InputDataError
from climrecon.fields import Observations, Steps
from climrecon.frequency import MONTH, YEAR
from climrecon.grid import Grid
from climrecon.netcdf.opening import opened
from climrecon.netcdf.times import find_time, read_axis
from climrecon.preprocess import PrepareRequest, read_observations, to_network_grid
from climrecon.preprocess.chunks import read_chunk
from climrecon.preprocess.climatology import anomalies_of
from climrecon.preprocess.field import frequency_within, grid_within
from climrecon.preprocess.uncertainty import aligned
from climrecon.scores.series import annual_means
from climrecon.settings import RunSettings
from climrecon.tasks.compare.products import SERIES, Member, Product, stated_name
from climrecon.variables import VARIABLES

_NINETY_FIVE = float(ndtri(0.975))


def request_for(product: Product, settings: RunSettings, scratch: Path | None = None) -> PrepareRequest:
    """How the files of a product are read: whole, since its base period may lie outside of ``period``.

    A product that is called as a data set is of it, whatever else its files state.
    """
    frequency = settings.frequency
    if frequency == YEAR:
        frequency = frequency_within(product.files[0], settings.variable, stated_name(product.files[0], settings))
    return PrepareRequest(
        variable=settings.variable,
        frequency=frequency,
        values=settings.values,
        reference_period=settings.reference_period.years,
        obs_variable=stated_name(product.files[0], settings),
        data_set=product.name if is_data_set(product.name) else "",
        grid=settings.grid or "",
        domain=settings.domain,
        allow_infilled=True,
        allow_complete=True,
        scratch=scratch,
    )


def common_grid(products: tuple[Product, ...], settings: RunSettings) -> Grid:
    """The coarsest grid of the products, by the mean size of its cells, within all regional products.

    Raises
    ------
    InputDataError
        If a file is no product, or the products share no region.
    """
    grids = []
    for product in products:
        with product.named():
            request = request_for(product, settings)
            grid = grid_within(product.files[0], request)
            # Reading the file states why there is none.
            grids.append(grid or read_observations(product.files[:1], request).grid)
    common = max(grids, key=lambda one: float(np.diff(one.lat_edges).mean() * np.diff(one.lon_edges).mean()))
    for product, grid in zip(products, grids, strict=True):
        if not grid.is_global:
            found = _within(common, grid)
            if found is None:
                raise InputDataError(
                    f"The product {product.name} ({grid.extent()}) has no region in common with the other ones.",
                    "Leave it out.",
                )
            common = found
    return common


def _within(grid: Grid, region: Grid) -> Grid | None:
    """The cells of ``grid`` with their centre in ``region``; None without any."""
    (south, north), (west, east) = region.lat_edges[[0, -1]], region.lon_edges[[0, -1]]
    rows = np.flatnonzero((grid.lat >= south) & (grid.lat <= north))
    edges = grid.lon_edges
    if not region.wraps:
        turns = (-360.0, 0.0, 360.0)
        starts = np.concatenate([edges[:-1] + turn for turn in turns])
        ends = np.concatenate([edges[1:] + turn for turn in turns])
        middle = 0.5 * (starts + ends)
        columns = np.flatnonzero((middle >= west) & (middle <= east))
        if (
            not len(columns)
            or (np.diff(columns) != 1).any()
            or not np.allclose(starts[columns[1:]], ends[columns[:-1]])
        ):
            return None
        edges = np.append(starts[columns], ends[columns[-1]])
    return Grid(grid.lat_edges[rows[0] : rows[-1] + 2], edges) if len(rows) else None


def read_mean(product: Product, settings: RunSettings, scratch: Path) -> Observations:
    """The mean of a product as its files hold it; of members alone their mean, where all have a value.

    Raises
    ------
    InputDataError
        If the files cannot be used.
    """
    request = request_for(product, settings, scratch)
    found = read_observations(product.main or product.files[:1], request)
    notes = tuple(note.replace(USER, "the name of the product") for note in found.source.notes)
    found = replace(found, source=replace(found.source, notes=notes))
    if product.main:
        return found
    total = np.asarray(found.values, np.float64)
    for member in product.members[1:]:
        total += _member_values(member, request, found)
    values = (total / len(product.members)).astype(np.float32)
    note = f"the field is the mean of {len(product.members)} members"
    source = replace(found.source, notes=(*found.source.notes, note))
    return replace(found, values=values, mask=np.isfinite(values), source=source)


def _member_values(member: Member, request: PrepareRequest, like: Observations) -> FloatArray:
    """(T, H, W) anomalies of a member on the time axis of ``like``; absolute values less their own climatology."""
    named = replace(request, obs_variable=member.variable or request.obs_variable)
    chunk = read_chunk(member.path, named, member.realisation)
    values = chunk.values
    if not chunk.anomaly and VARIABLES[request.variable].kind == "anomaly":
        values = anomalies_of(values, chunk.time, request.reference_period)
    return aligned(values, chunk.time, chunk.axes.grid, like, member.path.name)


def member_fields(
    product: Product, raw: Observations, settings: RunSettings, grid: Grid, scratch: Path
) -> Iterator[Observations]:
    """The members one by one, prepared as the mean ``raw`` is."""
    request = request_for(product, settings, scratch)
    for member in product.members:
        values = _member_values(member, request, raw)
        yield prepared(replace(raw, values=values, mask=np.isfinite(values)), settings, grid, scratch)


def prepared(observations: Observations, settings: RunSettings, grid: Grid, scratch: Path) -> Observations:
    """On the common base period, frequency and grid, within ``period``; the given values are overwritten.

    A field that refers to the base period by its own statement is taken as it is. Others are less their climatology over
    that period, cell by cell, so that cells with too few years of it are lost.

    Raises
    ------
    InputDataError
        If the product does not cover the base period, or no step is left.
    """
    wanted, found = settings.reference_period.years, observations
    if found.reference_period != wanted and VARIABLES[found.variable].kind == "anomaly":
        values = anomalies_of(found.values, found.time, wanted, out=found.values)
        mask = np.isfinite(values)
        lost = 100.0 * (1.0 - mask.sum() / found.mask.sum())
        note = f"re-based to {wanted[0]}-{wanted[1]} cell by cell" + (
            f"; {lost:.1f} % of the values are lost with cells that have too few years of it" if lost > 0.05 else ""
        )
        source = replace(found.source, notes=(*found.source.notes, note))
        found = replace(found, values=values, mask=mask, reference_period=wanted, source=source)
    if settings.frequency == YEAR and found.time.frequency != YEAR:
        years, values = annual_means(np.moveaxis(found.values, 0, -1), found.time)
        values = np.ascontiguousarray(np.moveaxis(values, -1, 0))
        found = replace(found, values=values, mask=np.isfinite(values), obs_sd=None, time=Steps(years, YEAR))
    if settings.period is not None:
        found = found.select(np.asarray(settings.period.holds(found.time.months)))
    if not len(found.time) or not found.mask.any():
        raise InputDataError(f"No value lies in {settings.period or 'whole years'}.", "Choose another period.")
    return to_network_grid(found, grid, scratch)


def stated_sd(product: Product, time: Steps) -> FloatArray | None:
    """(T,) standard deviation of the global mean by the stated limits of its 95 % interval, NaN where there are none.

    None if the product has no such file, or one of another frequency.
    """
    if product.series is None:
        return None
    match = SERIES.search(product.series.name)
    frequency = MONTH if match and match[1].lower() == "monthly" else YEAR
    if frequency != time.frequency:
        return None
    with opened(product.series) as file:
        named = {one.name.rpartition("_")[2]: one for one in file.variables.values() if one.ndim == 1}
        if not {"lower", "upper"} <= named.keys():
            held = ", ".join(file.variables)
            raise InputDataError(
                f"{product.series.name} holds {held}; limits NAME_lower and NAME_upper are expected.",
                "Remove the file from the product's folder.",
            )
        index = read_axis(file, find_time(file, named["lower"])[1], frequency).index
        width: FloatArray = np.ma.filled(np.ma.asarray(named["upper"][:] - named["lower"][:], float), np.nan)
    found = np.full(len(time), np.nan)
    _, ours, theirs = np.intersect1d(time.index, index, return_indices=True)
    found[ours] = width[theirs] / (2.0 * _NINETY_FIVE)
    return found
