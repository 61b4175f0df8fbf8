"""The products of a comparison: their files, members, and what made them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from climrecon.catalogue.roles import MAIN, MEMBER, member_number, role_of
from climrecon.errors import InputDataError
from climrecon.files import FOLDER, why_unreadable
from climrecon.netcdf.coordinates import member_count
from climrecon.netcdf.forms import files_at, is_zarr, readable
from climrecon.netcdf.names import NETCDF, plain_name
from climrecon.netcdf.opening import opened
from climrecon.output.netcdf import NO_MEANS_OVER_TIME
from climrecon.preprocess.field import find_variable
from climrecon.settings import RunSettings
from climrecon.workflow.manifest import FILE_NAME as MANIFEST
from climrecon.workflow.manifest import read_manifest

#: Longest name of a product that is called as its file.
_LONGEST = 40
#: ``HadCRUT.5.0.2.0.analysis.summary_series.global.monthly.nc``: mean, and limits of its 95 % interval.
SERIES = re.compile(r"summary_series[._-]global[._-](monthly|annual)", re.IGNORECASE)
#: Ending of the name of the realisations in a result of climrecon.
_REALISATION = "_realisation"


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
            hint = error.hint
            if "obs_file=" in (hint or ""):  # of a reconstruction, whose file has no name
                hint = "Call the product as its data set, e.g. products=GISTEMP=FILE; or correct the wrong statement."
            raise InputDataError(f"The product {self.name} cannot be compared: {error.message}", hint) from error


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
    return tuple(_product(name, path, settings) for name, path in places.items())


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


def _product(name: str, path: Path, settings: RunSettings) -> Product:
    with Product(name, ()).named():
        files = _files_in(path)
        roles = {one: role_of(one.name) if len(files) > 1 else MAIN for one in files}
        main = tuple(one for one in files if roles[one] == MAIN)
        members = sorted((one for one in files if roles[one] == MEMBER), key=lambda one: member_number(one.name))
        if not main and not members:
            raise InputDataError(f"{path} holds no netCDF file of fields.", "Name the file or folder of a product.")
        series = next((one for one in files if SERIES.search(one.name)), None)
        if members:
            return Product(name, main, tuple(map(Member, members)), series)
        return Product(name, main, _members_in(main[0], settings) if len(main) == 1 else (), series)


def _files_in(path: Path) -> list[Path]:
    """The netCDF files that a path stands for; of the results of a run its reconstruction."""
    if why_unreadable(path) != FOLDER or is_zarr(path):
        return list(files_at(readable(path, "products")[0]))
    if (path / MANIFEST).exists():
        outputs = read_manifest(path)["outputs"]
        return [path / one["path"] for one in outputs if one["role"] == "reconstruction"]
    return [file for one in _entries(path, "products") if _is_data(one) for file in files_at(one)]


def _members_in(path: Path, settings: RunSettings) -> tuple[Member, ...]:
    """The realisations of a result of climrecon, or the members along a dimension of the file's field."""
    with opened(path) as file:
        own = f"{settings.variable}{_REALISATION}"
        if own in file.variables:
            return tuple(Member(path, own, number) for number in range(member_count(file[own])))
        found = find_variable(file, settings.variable, stated_name(path, settings))
        count = member_count(found)
        return tuple(Member(path, found.name, number) for number in range(count)) if count > 1 else ()


def stated_name(path: Path, settings: RunSettings) -> str:
    """``obs_variable`` where a file holds it; "" where the file decides."""
    if not settings.obs_variable:
        return ""
    with opened(path) as file:
        return settings.obs_variable if settings.obs_variable in file.variables else ""


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
