"""The products of a comparison: their files, and their fields on the common base period and grid."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import ndtri

from climrecon.array_types import FloatArray
from climrecon.catalogue.roles import MAIN, MEMBER, member_number, role_of
from climrecon.datasets import is_data_set
from climrecon.errors import InputDataError
from climrecon.fields import Observations, Steps
from climrecon.files import FOLDER, why_unreadable
from climrecon.frequency import MONTH, YEAR
from climrecon.grid import Grid
from climrecon.netcdf.coordinates import member_count
from climrecon.netcdf.forms import files_at, is_zarr, readable
from climrecon.netcdf.names import NETCDF, plain_name
from climrecon.netcdf.opening import opened
from climrecon.netcdf.times import find_time, read_axis
from climrecon.output.netcdf import NO_MEANS_OVER_TIME
from climrecon.preprocess import PrepareRequest, read_observations, to_network_grid
from climrecon.preprocess.chunks import read_chunk
from climrecon.preprocess.climatology import anomalies_of
from climrecon.preprocess.field import find_variable, frequency_within, grid_within
from climrecon.preprocess.uncertainty import aligned
from climrecon.scores.series import annual_means
from climrecon.settings import RunSettings
from climrecon.variables import VARIABLES
from climrecon.workflow.manifest import FILE_NAME as MANIFEST
from climrecon.workflow.manifest import read_manifest

#: Longest name of a product that is called as its file.
_LONGEST = 40
#: ``HadCRUT.5.0.2.0.analysis.summary_series.global.monthly.nc``: mean, and limits of its 95 % interval.
_SERIES = re.compile(r"summary_series[._-]global[._-](monthly|annual)", re.IGNORECASE)
#: Ending of the name of the realisations in a result of climrecon.
_REALISATION = "_realisation"
_NINETY_FIVE = float(ndtri(0.975))


@dataclass(frozen=True)
class Member:
    """A member or realisation: its file, and which one of a variable that holds several; None: the file holds one."""

    path: Path
    variable: str = ""
    realisation: int | None = None


@dataclass(frozen=True)
class Product:
    """A product.

    Attributes
    ----------
    main, members:
        Files of its mean, () where it is that of the members; and its members.
    series:
        A file of the series of its global mean with confidence limits, as the Met Office publishes them, or None.
    """

    name: str
    main: tuple[Path, ...]
    members: tuple[Member, ...] = ()
    series: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file once, those of the field first."""
        further = (*(one.path for one in self.members), *([self.series] if self.series else []))
        return tuple(dict.fromkeys((*self.main, *further)))

    @property
    def kind_of_members(self) -> str:
        """``members``, or ``realisations`` of a result of climrecon."""
        return "realisations" if self.members and self.members[0].variable.endswith(_REALISATION) else "members"

    @contextmanager
    def named(self) -> Iterator[None]:
        """Problems within name the product."""
        try:
            yield
        except InputDataError as error:
            raise InputDataError(f"The product {self.name} cannot be compared: {error.message}", error.hint) from error


def find_products(settings: RunSettings) -> tuple[Product, ...]:
    """The products that ``settings`` name.

    Raises
    ------
    InputDataError
        If there are fewer than two, or a file or folder is none.
    """
    places = dict(settings.product_paths)
    if settings.products_folder:
        for path in _entries(settings.products_folder, "products_folder"):
            name = plain_name(path.name)
            for ending in (*NETCDF, ".zip"):
                name = name.removesuffix(ending)
            name = name.lstrip("_ ")[:_LONGEST] or "product"
            if name in places:
                raise InputDataError(
                    f"Two products are called {name!r}: {places[name]} and {path}.",
                    "Name them with products=NAME=FILE.",
                )
            places[name] = path
    if len(places) < 2:
        raise InputDataError(
            f"{len(places)} product{'' if len(places) == 1 else 's'} found; a comparison needs two.",
            "Name more with products=NAME=FILE,NAME=FILE, or a products_folder with more netCDF files.",
        )
    return tuple(_product(name, path, settings.variable) for name, path in places.items())


def _entries(folder: Path, parameter: str) -> list[Path]:
    """netCDF files, zips and folders in ``folder``, by name."""
    if why_unreadable(folder) != FOLDER:
        raise InputDataError(
            f"{folder} is no folder that can be read: {why_unreadable(folder) or 'it is a file'}.",
            f"Check {parameter}.",
        )
    return sorted(one for one in folder.iterdir() if not one.name.startswith(".") and (_is_data(one) or one.is_dir()))


def _is_data(path: Path) -> bool:
    return plain_name(path.name).lower().endswith((*NETCDF, ".zip")) and path.is_file()


def _product(name: str, path: Path, variable: str) -> Product:
    with Product(name, ()).named():
        files = _files_in(path)
        roles = {one: role_of(one.name) if len(files) > 1 else MAIN for one in files}
        main = tuple(one for one in files if roles[one] == MAIN)
        members = sorted((one for one in files if roles[one] == MEMBER), key=lambda one: member_number(one.name))
        if not main and not members:
            raise InputDataError(f"{path} holds no netCDF file of fields.", "Name the file or folder of a product.")
        series = next((one for one in files if _SERIES.search(one.name)), None)
        if members:
            return Product(name, main, tuple(map(Member, members)), series)
        return Product(name, main, _members_in(main[0], variable) if len(main) == 1 else (), series)


def _files_in(path: Path) -> list[Path]:
    """The netCDF files that a path stands for; of the results of a run its reconstruction."""
    if why_unreadable(path) != FOLDER or is_zarr(path):
        return list(files_at(readable(path, "products")[0]))
    if (path / MANIFEST).exists():
        outputs = read_manifest(path)["outputs"]
        return [path / one["path"] for one in outputs if one["role"] == "reconstruction"]
    return [file for one in _entries(path, "products") if _is_data(one) for file in files_at(one)]


def _members_in(path: Path, variable: str) -> tuple[Member, ...]:
    """The realisations of a result of climrecon, or the members along a dimension of the file's field."""
    with opened(path) as file:
        own = f"{variable}{_REALISATION}"
        if own in file.variables:
            return tuple(Member(path, own, number) for number in range(member_count(file[own])))
        found = find_variable(file, variable)
        count = member_count(found)
        return tuple(Member(path, found.name, number) for number in range(count)) if count > 1 else ()


def request_for(product: Product, settings: RunSettings, scratch: Path | None = None) -> PrepareRequest:
    """How the files of a product are read: whole, since its base period may lie outside of ``period``.

    A product that is called as a data set is of it, whatever else its files state.
    """
    frequency = settings.frequency
    if frequency == YEAR:
        frequency = frequency_within(product.files[0], settings.variable)
    return PrepareRequest(
        variable=settings.variable,
        frequency=frequency,
        values=settings.values,
        reference_period=settings.reference_period.years,
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
    chunk = read_chunk(member.path, replace(request, obs_variable=member.variable), member.realisation)
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
    match = _SERIES.search(product.series.name)
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


@dataclass(frozen=True)
class Origin:
    """Network, data set and version of climrecon of a reconstruction; "" for other products.

    ``cell_sd``: whether the file holds the standard deviation of each cell, from which none of a mean follows;
    ``persistent``: whether the file states how errors of its realisations go on from step to step.
    """

    network: str = ""
    data_set: str = ""
    version: str = ""
    cell_sd: bool = False
    persistent: bool = True


def origin_of(product: Product, variable: str) -> Origin:
    """What made a product that is a result of climrecon."""
    if not product.main:
        return Origin()
    with opened(product.main[0]) as file:
        known = file.__dict__
        if "climrecon_network" not in known:
            return Origin()
        versions = json.loads(known.get("climrecon_versions", "{}"))
        cell_sd = f"{variable}_stddev" in file.variables
        data_set = str(known.get("climrecon_dataset", ""))
        drawn = file.variables.get(f"{variable}{_REALISATION}")
        persistent = drawn is None or NO_MEANS_OVER_TIME not in str(drawn.__dict__.get("comment", ""))
        return Origin(
            str(known["climrecon_network"]), data_set, str(versions.get("climrecon", "")), cell_sd, persistent
        )
