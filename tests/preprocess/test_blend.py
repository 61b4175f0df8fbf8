"""Blended model fields: weights by hand, ocean grids, units, and what is refused."""

import netCDF4
import numpy as np
import observation_files as files
import pytest

from climrecon.errors import InputDataError
from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.preprocess import prepare_member
from climrecon.preprocess.blend import blend, prepare_blended
from climrecon.preprocess.field import members_within

INDEX = files.month_numbers(1961, 360)
YEARS = (1961, 1990)
TEN = Grid.regular(18, 36)


def ten_degrees(folder, name, values, units, *, stem=None, index=INDEX, bounds=True):
    path = folder / f"{stem or name}_Amon_M_historical_r1i1p1_196101-199012.nc"
    return files.write(
        path, values, index, name=name, lat=TEN.lat, lon=TEN.lon, fill=1e20, time_bounds=bounds,
        attributes={"units": units, **({"standard_name": "sea_ice_area_fraction"} if name == "sic" else {})},
    )  # fmt: skip


def constant(folder, name, values, units):
    path = folder / f"{name}_fx_M_historical_r0i0p0.nc"
    with netCDF4.Dataset(path, "w") as file:
        for axis, where, unit in (("lat", TEN.lat, "degrees_north"), ("lon", TEN.lon, "degrees_east")):
            file.createDimension(axis, len(where))
            file.createVariable(axis, "f8", (axis,)).units = unit
            file[axis][:] = where
        file.createVariable(name, "f4", ("lat", "lon"), fill_value=1e20).units = units
        file[name][:] = values
    return path


def curvilinear(folder, values, lat, lon, corners):
    """tos on an ocean grid: two-dimensional coordinates, with the corners of its cells or without."""
    path = folder / "tos_Omon_M_historical_r1i1p1_196101-199012.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", None), ("j", lat.shape[0]), ("i", lat.shape[1]), ("vertices", 4)):
            file.createDimension(name, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = "days since 1850-01-01", "standard"
        time[:] = files.days_since(INDEX, time.units, "standard")
        for name, centre, unit in (("lat", lat, "degrees_north"), ("lon", lon, "degrees_east")):
            variable = file.createVariable(name, "f8", ("j", "i"))
            variable.units, variable.standard_name = unit, {"lat": "latitude", "lon": "longitude"}[name]
            variable[:] = centre
            if corners:
                variable.bounds = f"{name}_vertices"
                signs = {"lat": (-5, -5, 5, 5), "lon": (-5, 5, 5, -5)}[name]
                file.createVariable(f"{name}_vertices", "f8", ("j", "i", "vertices"))[:] = np.stack(
                    [np.clip(centre + s, -90, 90) if name == "lat" else centre + s for s in signs], -1
                )
        tos = file.createVariable("tos", "f4", ("time", "j", "i"), fill_value=1e20)
        tos.units, tos.coordinates = "degC", "lat lon"
        tos[:] = np.ma.masked_invalid(values)
    return path


@pytest.fixture(scope="module")
def archive():
    """Air and sea whose anomalies are known: year times 0.02 K, and half of it."""
    year = (INDEX // 12 - 1961)[:, None, None] * np.ones((1, 18, 36))
    season = 5.0 * np.cos(2 * np.pi * (INDEX % 12) / 12)[:, None, None]
    land = np.zeros((18, 36))
    land[:, :12] = 1.0
    land[:, 12:18] = 0.25
    ice = np.zeros((360, 18, 36))
    ice[:, 0] = 80.0
    ice[:180, 17] = 100.0  # an edge that moves: ice in the first half of the period alone
    sea = 292.0 + season + 0.01 * year
    return {
        "tas": 285.0 + season + 0.02 * year,
        "tos": np.where(land == 1.0, np.nan, sea),
        "sic": np.where(land == 1.0, np.nan, ice),
        "sftlf": land,
    }


def expected(land=0.0, ice=0.0):
    slope = (1 - land) * (1 - ice) * 0.01 + (1 - (1 - land) * (1 - ice)) * 0.02
    return slope * (INDEX // 12 - 1975.5)


def test_weights_by_hand():
    air, sea = np.full((2, 1, 3), 2.0), np.array([[[1.0, np.nan, 1.0]], [[1.0, 1.0, 1.0]]])
    ice = np.zeros((12, 1, 3))
    ice[1, 0, 2] = 0.5
    land = np.array([[0.25, 0.0, 0.0]])
    out = blend(air, sea, land, ice, np.array([1, 2]))
    # A cell whose sea is unknown in one month is air in all: its anomalies refer to one climatology.
    np.testing.assert_allclose(out[:, 0], [[1.25, 2.0, 1.0], [1.25, 2.0, 1.5]])


@pytest.mark.parametrize("ocean", ["regular", "corners", "centres"])
def test_a_member_is_blended_as_observations_are(tmp_path, archive, ocean):
    paths = {name: [ten_degrees(tmp_path, name, archive[name], "K")] for name in ("tas", "tos")}
    if ocean != "regular":
        lon, lat = np.meshgrid(TEN.lon, TEN.lat)
        paths["tos"] = [curvilinear(tmp_path, archive["tos"] - 273.15, lat, lon, ocean == "corners")]
    paths["sic"] = [ten_degrees(tmp_path, "sic", archive["sic"], "%")]
    paths["sftlf"] = [constant(tmp_path, "sftlf", 100 * archive["sftlf"], "%")]
    values, months = prepare_blended(paths, FIVE_DEGREES, YEARS, tmp_path)
    np.testing.assert_array_equal(months.index, INDEX)
    assert np.isfinite(values).all()
    row = 18
    np.testing.assert_allclose(values[:, row, 10], expected(land=1.0), atol=2e-3)
    np.testing.assert_allclose(values[:, row, 30], expected(land=0.25), atol=2e-3)
    np.testing.assert_allclose(values[:, row, 60], expected(), atol=2e-3)
    np.testing.assert_allclose(values[:, 0, 60], expected(ice=0.8), atol=2e-3)
    # The edge that moves: no step where the ice goes, the mean ice of the period holds in all years.
    np.testing.assert_allclose(values[:, 35, 60], expected(ice=0.5), atol=2e-3)


def test_shares_and_percent_are_told_apart(tmp_path, archive):
    paths = {name: [ten_degrees(tmp_path, name, archive[name], "K")] for name in ("tas", "tos")}
    paths["sic"] = [ten_degrees(tmp_path, "sic", archive["sic"] / 100, "1")]
    paths["sftlf"] = [constant(tmp_path, "sftlf", np.where(archive["sftlf"] == 0, np.nan, archive["sftlf"]), "1")]
    values, _ = prepare_blended(paths, FIVE_DEGREES, YEARS, tmp_path)
    np.testing.assert_allclose(values[:, 18, 30], expected(land=0.25), atol=2e-3)
    np.testing.assert_allclose(values[:, 0, 60], expected(ice=0.8), atol=2e-3)
    paths["sftlf"] = [constant(tmp_path, "sftlf", archive["sftlf"] * 300, "%")]
    with pytest.raises(InputDataError, match="land fraction of 300"):
        prepare_blended(paths, FIVE_DEGREES, YEARS, tmp_path)
    with pytest.raises(InputDataError, match="no sic of this member"):
        prepare_blended({**paths, "sic": []}, FIVE_DEGREES, YEARS, tmp_path)


def test_wrong_units_among_right_ones(tmp_path, archive):
    first = ten_degrees(tmp_path, "tas", archive["tas"][:180], "K", stem="a", index=INDEX[:180])
    second = ten_degrees(tmp_path, "tas", archive["tas"][180:] - 273.15, "degC", stem="b", index=INDEX[180:])
    with pytest.raises(InputDataError, match=r"different units: a_Amon.*: K; b_Amon.*: degC"):
        prepare_member([first, second], FIVE_DEGREES, YEARS, tmp_path)
    fahrenheit = ten_degrees(tmp_path, "tas", archive["tas"] * 1.8 - 459.67, "K", stem="c")
    with pytest.raises(InputDataError, match="not clear whether tas"):
        prepare_member([fahrenheit], FIVE_DEGREES, YEARS, tmp_path)
    shifted = ten_degrees(tmp_path, "tas", archive["tas"] + 273.15, "K", stem="d")
    with pytest.raises(InputDataError, match="no temperature on Earth"):
        prepare_member([shifted], FIVE_DEGREES, YEARS, tmp_path)
    celsius = ten_degrees(tmp_path, "tas", archive["tas"] - 273.15, "degC", stem="e")
    values, _ = prepare_member([celsius], FIVE_DEGREES, YEARS, tmp_path)
    np.testing.assert_allclose(values[:, 18, 60], expected(land=1.0), atol=2e-3)


def test_months_may_be_absent_and_gaps_are_refused_or_kept_out(tmp_path, archive):
    keep = np.ones(360, dtype=bool)
    keep[100:103] = False
    holed = ten_degrees(tmp_path, "tas", archive["tas"][keep], "K", index=INDEX[keep], bounds=False)
    _, months = prepare_member([holed], FIVE_DEGREES, YEARS, tmp_path)
    np.testing.assert_array_equal(months.index, INDEX[keep])
    gappy = archive["tas"].copy()
    gappy[7, 3, 3] = np.nan
    path = ten_degrees(tmp_path, "tas", gappy, "K", stem="gappy")
    with pytest.raises(InputDataError, match="4 values in 1 months are missing"):
        prepare_member([path], FIVE_DEGREES, YEARS, tmp_path)
    values, _ = prepare_member([path], FIVE_DEGREES, YEARS, tmp_path, gaps=True)
    assert np.isnan(values).sum() == 4


def test_several_members_in_one_file(tmp_path, archive):
    path = tmp_path / "air.2m.mon.mean.nc"
    both = np.stack([archive["tas"], archive["tas"] + np.linspace(0, 3, 360)[:, None, None]], 1).astype("f4")
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", None), ("ensemble_member", 2), ("lat", 18), ("lon", 36)):
            file.createDimension(name, size)
        for name, where, units in (
            ("time", files.days_since(INDEX, "days since 1850-01-01", "standard"), "days since 1850-01-01"),
            ("ensemble_member", np.arange(2), "1"),
            ("lat", TEN.lat, "degrees_north"),
            ("lon", TEN.lon, "degrees_east"),
        ):
            file.createVariable(name, "f8", (name,)).units = units
            file[name][:] = where
        air = file.createVariable("air", "f4", ("time", "ensemble_member", "lat", "lon"))
        air.units = "degK"
        air[:] = both
    assert members_within(path) == 2
    first, second = (prepare_member([path], FIVE_DEGREES, YEARS, tmp_path, realisation=n)[0] for n in (0, 1))
    np.testing.assert_allclose(first[:, 18, 60], expected(land=1.0), atol=2e-3)
    assert 0.5 < (second - first).std() < 1.2
