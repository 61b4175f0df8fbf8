"""Model fields in any layout and with any time axis give cdo what the plain file gives, to the bit."""

from pathlib import Path

import netCDF4
import numpy as np
import observation_files as files
import pytest

from climrecon.grid import FIVE_DEGREES
from climrecon.preprocess import prepare_member
from climrecon.preprocess.blend import prepare_blended
from climrecon.preprocess.field import members_within

INDEX = files.month_numbers(1961, 360)
ROWS, COLUMNS = 6, 12
UNITS = "days since 1850-01-01"
MIDDLES = files.days_since(INDEX, UNITS, "noleap")
EDGES = files.month_edges(INDEX, UNITS, "noleap")
AXES = {"lat": np.linspace(-75, 75, ROWS), "lon": np.arange(COLUMNS) * 30.0}


def fields(seed: int) -> np.ndarray:
    season = 10 * np.cos(2 * np.pi * (INDEX % 12) / 12)[:, None, None]
    return (280 + season + np.random.default_rng(seed).normal(0, 1, (360, ROWS, COLUMNS))).astype(np.float32)


FIRST, SECOND = fields(1), fields(2)


def write(path: Path, values: np.ndarray, dims: tuple[str, ...], times="middles", labels=None, name="tas") -> Path:
    """``values`` in the order of ``dims``; ``labels`` of the members, ``times`` a way of writing them."""
    dimension = "valid_time" if times == "valid_time" else "time"
    dims = tuple(dimension if one == "time" else one for one in dims)
    with netCDF4.Dataset(path, "w") as file:
        for one, size in zip(dims, values.shape, strict=True):
            file.createDimension(one, size)
        for one, degrees in AXES.items():
            axis = file.createVariable(one, "f8", (one,))
            axis.units = "degrees_north" if one == "lat" else "degrees_east"
            axis[:] = degrees
        if times == "text":
            dates = [f"{month // 12}-{month % 12 + 1:02d}-15" for month in INDEX]
            file.createVariable("time", str, ("time",))[:] = np.array(dates, object)
        elif dimension in dims:
            time = file.createVariable(dimension, "f8", (dimension,))
            time.units, time.calendar = UNITS, "noleap"
            time[:] = EDGES[:, 1] if times == "ends" else MIDDLES
            if times == "years":
                time.units = "year A.D."
                time[:] = (INDEX + 0.5) / 12
            if times == "ends":
                file.createDimension("two", 2)
                file.createVariable("time_bound", "f8", ("time", "two"))[:] = EDGES
        if labels is not None:
            (along,) = {*dims} - {dimension, *AXES, "height"}
            label = file.createVariable(along, str if isinstance(labels[0], str) else "i4", (along,))
            label[:] = np.array(labels, object if isinstance(labels[0], str) else int)
            if not isinstance(labels[0], str):
                label.standard_name = "realization"
        variable = file.createVariable(name, "f4", dims, fill_value=1e20)
        variable.units = "K"
        variable[:] = values
    return path


def prepared(path: Path, scratch: Path, realisation: int | None = None) -> np.ndarray:
    values, months = prepare_member([path], FIVE_DEGREES, (1961, 1990), scratch, realisation=realisation)
    np.testing.assert_array_equal(months.index, INDEX)
    assert not list(scratch.glob("cdo-*"))
    return values


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    folder = tmp_path_factory.mktemp("plain")
    return [
        prepared(write(folder / f"{n}.nc", values, ("time", "lat", "lon")), folder)
        for n, values in enumerate((FIRST, SECOND))
    ]


@pytest.mark.parametrize("times", ["valid_time", "text", "years", "ends"])
def test_any_time_axis(tmp_path: Path, plain: list[np.ndarray], times: str) -> None:
    path = write(tmp_path / "x.nc", FIRST, ("time", "lat", "lon"), times)
    np.testing.assert_array_equal(prepared(path, tmp_path), plain[0])


@pytest.mark.parametrize("dims", [("lat", "lon", "time"), ("lon", "lat", "time"), ("lat", "time", "lon")])
def test_any_order_of_dimensions(tmp_path: Path, plain: list[np.ndarray], dims: tuple[str, ...]) -> None:
    order = [("time", "lat", "lon").index(one) for one in dims]
    path = write(tmp_path / "x.nc", FIRST.transpose(order), dims)
    np.testing.assert_array_equal(prepared(path, tmp_path), plain[0])


@pytest.mark.parametrize(
    ("dims", "labels"),
    [
        (("member", "time", "lat", "lon"), None),
        (("time", "member", "lat", "lon"), [1, 2]),
        (("ens_mem", "time", "lat", "lon"), [1, 2]),
        (("my_runs", "time", "lat", "lon"), [1, 2]),
        (("member_id", "time", "lat", "lon"), ["r1i1p1f1", "r2i1p1f1"]),
        (("time", "case", "lat", "lon"), ["r1i1p1f1", "r2i1p1f1"]),
        (("time", "height", "member", "lat", "lon"), None),
        (("lat", "lon", "time", "realization"), [1, 2]),
    ],
)
def test_members_along_any_dimension(tmp_path: Path, plain: list[np.ndarray], dims: tuple[str, ...], labels) -> None:
    both = np.stack([FIRST, SECOND])[None]
    (along,) = {*dims} - {"time", "lat", "lon", "height"}
    order = [("height", along, "time", "lat", "lon").index(one) for one in dims if one != "height"]
    values = both[0].transpose([position - 1 for position in order])
    if "height" in dims:
        values = np.expand_dims(values, dims.index("height"))
    path = write(tmp_path / "x.nc", values, dims, labels=labels)
    assert members_within(path) == 2
    for number in range(2):
        np.testing.assert_array_equal(prepared(path, tmp_path, number), plain[number])


def test_files_that_cdo_can_read_are_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from climrecon.preprocess import cdo

    monkeypatch.setattr(cdo, "_copy", lambda *given: pytest.fail("a second copy"))
    prepared(write(tmp_path / "a.nc", FIRST, ("time", "lat", "lon"), "ends"), tmp_path)
    prepared(write(tmp_path / "b.nc", np.stack([FIRST, SECOND], 1), ("time", "member", "lat", "lon")), tmp_path, 1)


def test_files_of_one_member_whose_other_variables_differ(tmp_path: Path, plain: list[np.ndarray]) -> None:
    """cdo joins files of equal variables alone."""
    path = write(tmp_path / "whole.nc", FIRST, ("time", "lat", "lon"))
    parts = []
    for number, rows in enumerate((slice(200, None), slice(0, 200))):
        part = tmp_path / f"{number}.nc"
        with netCDF4.Dataset(path) as source, netCDF4.Dataset(part, "w") as file:
            for name, size in (("time", len(INDEX[rows])), ("lat", ROWS), ("lon", COLUMNS)):
                file.createDimension(name, size)
            for variable in source.variables.values():
                copy = file.createVariable(variable.name, variable.dtype, variable.dimensions)
                copy.setncatts({k: v for k, v in variable.__dict__.items() if k != "_FillValue"})
                copy[:] = variable[rows] if "time" in variable.dimensions else variable[:]
            if number:
                file.createVariable("psl", "f4", ("time", "lat", "lon"))[:] = 1e5
        parts.append(part)
    values, months = prepare_member(parts, FIVE_DEGREES, (1961, 1990), tmp_path)
    np.testing.assert_array_equal(months.index, INDEX)
    np.testing.assert_array_equal(values, plain[0])


def test_ice_stamped_at_the_end_of_its_months(tmp_path: Path) -> None:
    """Its calendar months are taken by cdo, which knows no bounds."""
    seasons = np.broadcast_to((INDEX % 12)[:, None, None] * 8.0, FIRST.shape).astype(np.float32)
    results = []
    for times in ("middles", "ends"):
        one = {"tas": [write(tmp_path / f"tas{times}.nc", FIRST, ("time", "lat", "lon"), times)]}
        one["tos"] = [write(tmp_path / f"tos{times}.nc", SECOND, ("time", "lat", "lon"), times, name="tos")]
        ice = write(tmp_path / f"sic{times}.nc", seasons, ("time", "lat", "lon"), times, name="sic")
        land = write(tmp_path / f"land{times}.nc", np.zeros_like(FIRST[0]), ("lat", "lon"), times="none", name="sftlf")
        for path in (ice, land):
            with netCDF4.Dataset(path, "a") as file:
                file[path.name[:3] if path == ice else "sftlf"].units = "%"
        results.append(prepare_blended({**one, "sic": [ice], "sftlf": [land]}, FIVE_DEGREES, (1961, 1990), tmp_path))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1].index, results[1][1].index)
