"""However a file is laid out, the same observations come out of it, and go back in the file's own order."""

import numpy as np
import observation_files as files
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from climrecon.preprocess import PrepareRequest, file_order, read_observations

ROWS, COLUMNS, MONTHS = 6, 8, 5
LAT = np.arange(-75.0, 90, 30.0)
LON = np.arange(-157.5, 180, 45.0)
TRUTH = files.gappy(11, (MONTHS, ROWS, COLUMNS), 0.4)
INDEX = files.month_numbers(1901, MONTHS)

layouts = st.fixed_dictionaries(
    {
        "north_first": st.booleans(),
        "east_of_greenwich": st.booleans(),
        "turned_by": st.integers(0, COLUMNS - 1),
        "dims": st.permutations(["time", "lat", "lon"]),
        "names": st.sampled_from([("lat", "lon"), ("latitude", "longitude"), ("nav_lat", "nav_lon")]),
        "extra": st.sampled_from([None, "realization", "height"]),
        "packing": st.sampled_from(["f4", "f8", "i2", "i4"]),
        "fill": st.sampled_from([np.nan, -1e30, 1e20, -9999.0]),
        "declared": st.booleans(),
        "units": st.sampled_from(["K", "degC", "deg C", "Celsius", "degrees_C", "kelvin"]),
        "calendar": st.sampled_from(["standard", "noleap", "360_day", "proleptic_gregorian", None]),
        "time": st.sampled_from(
            ["days since 1850-01-01", "hours since 1800-1-1 00:00:0.0", "days since 1901-03-01", "%Y%m", "months"]
        ),
        "order_of_time": st.permutations(range(MONTHS)),
        "fmt": st.sampled_from(["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET"]),
    }
)


def _written(folder, layout):
    """The file, and its (time, lat, lon) values in the order they were written."""
    lat, lon, values = LAT.copy(), LON.copy(), TRUTH.copy()
    if layout["north_first"]:
        lat, values = lat[::-1], values[:, ::-1]
    if layout["east_of_greenwich"]:
        lon = lon % 360.0
    lon, values = np.roll(lon, layout["turned_by"]), np.roll(values, layout["turned_by"], axis=2)
    order = np.array(layout["order_of_time"])
    values, index = values[order], INDEX[order]
    packed = layout["packing"] in ("i2", "i4")
    fill = -9999.0 if packed else layout["fill"]
    calendar = layout["calendar"]
    if layout["time"] == "%Y%m":
        units, times, calendar = ("month as %Y%m.%f", index // 12 * 100 + index % 12 + 1.5, "proleptic_gregorian")
    elif layout["time"] == "months":
        units, times, calendar = "months since 1900-01-01", index - 1900 * 12 + 0.5, "360_day"
    else:
        units = layout["time"]
        times = files.days_since(index, units, calendar or "standard")
    path = files.write(
        folder / "anything.nc",
        values,
        index,
        lat=lat,
        lon=lon,
        lat_name=layout["names"][0],
        lon_name=layout["names"][1],
        dims=layout["dims"],
        extra=layout["extra"],
        kind=layout["packing"],
        scale=0.01 if packed else None,
        offset=1.0 if packed else 0.0,
        fill=fill,
        fill_declared=layout["declared"] or packed,
        attributes={"units": layout["units"], "long_name": "temperature anomaly (base 1961-1990)"},
        time_units=units,
        calendar=calendar,
        times=times,
        fmt=layout["fmt"],
    )
    return path, values


@given(layout=layouts)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_observations_from_any_layout(tmp_path, layout):
    path, written = _written(tmp_path, layout)
    observations = read_observations([path], PrepareRequest())
    np.testing.assert_allclose(observations.values, TRUTH, atol=2e-6)
    np.testing.assert_array_equal(observations.mask, np.isfinite(TRUTH))
    np.testing.assert_array_equal(observations.time.index, INDEX)
    np.testing.assert_allclose(observations.grid.lat, LAT)
    np.testing.assert_allclose(observations.grid.lon, LON)
    assert observations.grid.is_global
    assert observations.reference_period == (1961, 1990)
    in_time = np.argsort(layout["order_of_time"])
    back = file_order(observations.values, observations.source)
    np.testing.assert_allclose(back, written[in_time], atol=2e-6)


@given(
    units=st.sampled_from(["K", "degK", "degC", "degrees C", "Celsius"]),
    values=st.sampled_from(["auto", "absolute"]),
    north_first=st.booleans(),
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_absolute_values_in_any_units_give_the_same_anomalies(tmp_path, units, values, north_first):
    index = files.month_numbers(1961, 360)
    anomaly = np.where(index // 12 % 2 == 0, 1.0, -1.0)[:, None, None] * np.ones((1, ROWS, COLUMNS))
    season = 8.0 * np.sin(2 * np.pi * (index % 12) / 12)[:, None, None]
    absolute = 14.0 - 30.0 * np.sin(np.radians(LAT))[None, :, None] ** 2 + season + anomaly
    absolute[3, 2, 1] = np.nan
    shown = absolute + (273.15 if units in ("K", "degK") else 0.0)
    lat = LAT[::-1] if north_first else LAT
    path = files.write(
        tmp_path / "absolute.nc",
        shown[:, ::-1] if north_first else shown,
        index,
        lat=lat,
        lon=LON,
        fill=1e20,
        attributes={"units": units, "standard_name": "air_temperature"},
    )
    observations = read_observations([path], PrepareRequest(values=values, allow_complete=True))
    elsewhere = np.ones((ROWS, COLUMNS), bool)
    elsewhere[2, 1] = False  # one April of thirty is missing there
    np.testing.assert_allclose(observations.values[:, elsewhere], anomaly[:, elsewhere], atol=1e-4)
    assert np.isnan(observations.values[3, 2, 1])


@pytest.mark.parametrize("calendar", ["noleap", "360_day", "standard"])
def test_months_stamped_at_their_end_are_told_by_their_bounds(tmp_path, calendar):
    units = "days since 1850-01-01"
    ends = files.month_edges(INDEX, units, calendar)[:, 1]
    path = files.write(
        tmp_path / "raw_model.nc",
        TRUTH,
        INDEX,
        lat=LAT,
        lon=LON,
        fill=1e20,
        time_units=units,
        calendar=calendar,
        times=ends,
        time_bounds=True,
        attributes={"units": "K", "long_name": "anomaly"},
    )
    observations = read_observations([path], PrepareRequest())
    np.testing.assert_array_equal(observations.time.index, INDEX)
    assert observations.reference_period is None
