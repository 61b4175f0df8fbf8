"""Time axes of all kinds give the right months."""

import cftime
import netCDF4
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from climrecon.errors import InputDataError
from climrecon.netcdf.times import find_time, month_index

JANUARY_1900 = 1900 * 12


def months_of(
    folder, times, units, calendar=None, bounds=None, kind="f8", link="time_bnds", about=None, name="time.nc"
):
    """Months by the reader; ``link`` names the bounds, ``about`` holds their attributes, and of the time ``bounds``."""
    path = folder / name
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", len(times))
        file.createDimension("lat", 2)
        time = file.createVariable("time", kind, ("time",))
        time.units = units
        if calendar:
            time.calendar = calendar
        time[:] = times
        if bounds is not None:
            file.createDimension("bnds", 2)
            if about is None:
                time.bounds = link
            written = file.createVariable(link, "f8", ("time", "bnds"))
            written.setncatts(about or {})
            written[:] = bounds
        file.createVariable("tas", "f4", ("time", "lat"))[:] = 0.0
    with netCDF4.Dataset(path) as file:
        dimension, coordinate = find_time(file, file["tas"])
        assert dimension == "time"
        axis = month_index(file, coordinate)
        return axis.index, axis.calendar, axis.notes


@pytest.mark.parametrize(
    ("times", "units", "calendar"),
    [
        ([1900.0417, 1900.125, 1900.2083], "year A.D.", None),
        ([1900.0, 1900.083333, 1900.166667], "decimal year", None),
        ([190001, 190002, 190003], "1", None),
        ([19000115, 19000214, 19000315], "YYYYMMDD", None),
        ([190001.5, 190002.5, 190003.5], "month as %Y%m.%f", "proleptic_gregorian"),
        ([19000116.5, 19000215, 19000316.5], "day as %Y%m%d.%f", "proleptic_gregorian"),
        ([0, 1, 2], "months since 1900-01-01", None),
        ([-719.5, -718.5, -717.5], "months since 1960-01-01", "360"),
        ([0.5, 1.5, 2.5], "months since 1900-01-01 00:00:00", "360_day"),
        ([0.0, 1.0, 2.0], "months since 1900-01-15", "standard"),
        ([0.04, 0.125, 0.2083], "years since 1900-01-01", None),
        ([876576.0, 877320.0, 877992.0], "hours since 1800-1-1 00:00:0.0", None),
        ([15, 45, 74], "days since 1900-01-01", "noleap"),
        ([15, 45, 75], "days since 1900-01-01", "360_day"),
        ([1296000.0, 3888000.0, 6393600.0], "seconds since 1900-01-01", "gregorian"),
        ([15.5, 45.0, 74.5], "Days Since 1900-01-01 00:00:00", "STANDARD"),
    ],
)
def test_january_to_march_1900(tmp_path, times, units, calendar):
    index, *_ = months_of(tmp_path, times, units, calendar)
    np.testing.assert_array_equal(index, JANUARY_1900 + np.arange(3))


def test_decimal_years_in_single_precision(tmp_path):
    times = (1850 * 12 + np.arange(2100) + 0.5) / 12
    index, *_ = months_of(tmp_path, times, "year A.D.", kind="f4")
    np.testing.assert_array_equal(index, 1850 * 12 + np.arange(2100))


@given(
    calendar=st.sampled_from(["standard", "noleap", "360_day", "proleptic_gregorian", "all_leap", "julian"]),
    unit=st.sampled_from(["days", "hours", "minutes", "seconds"]),
    origin=st.sampled_from(["1850-01-01", "1800-1-1 00:00:0.0", "1970-01-01T00:00:00Z", "0001-01-01 12:00"]),
    first=st.integers(1590, 2200),
    day=st.integers(1, 28),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_calendar_unit_and_origin(tmp_path, calendar, unit, origin, first, day):
    units = f"{unit} since {origin}"
    dates = [cftime.datetime(first + i // 12, i % 12 + 1, day, 6, calendar=calendar) for i in range(14)]
    index, said, _ = months_of(tmp_path, cftime.date2num(dates, units, calendar=calendar), units, calendar)
    np.testing.assert_array_equal(index, first * 12 + np.arange(14))
    assert said == calendar


def test_bounds_that_hold_nothing_are_not_believed(tmp_path):
    """CESM writes zeros for the first month's bounds now and then."""
    times, bounds = [15.0, 45.0, 74.0], [[0, 0], [31, 59], [59, 90]]
    index, *_ = months_of(tmp_path, times, "days since 1900-01-01", "noleap", bounds)
    np.testing.assert_array_equal(index, JANUARY_1900 + np.arange(3))


def test_times_at_the_end_of_the_month(tmp_path):
    times, bounds = [31.0, 59.0, 90.0], [[0, 31], [31, 59], [59, 90]]
    index, *_ = months_of(tmp_path, times, "days since 1900-01-01", "noleap", bounds)
    np.testing.assert_array_equal(index, JANUARY_1900 + np.arange(3))


ENDS, MONTHS = [31.0, 59.0, 90.0], [[0, 31], [31, 59], [59, 90]]
#: 00:00 on the first of each month from February 1900 to January 1901, without leap days.
FIRSTS = np.cumsum([31.0, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


@pytest.mark.parametrize("link", ["time_bnds", "time_bounds", "time_bound", "timebnds", "TIME_BNDS"])
def test_bounds_that_nothing_links_are_found_by_their_name(tmp_path, link):
    index, _, notes = months_of(tmp_path, ENDS, "days since 1900-01-01", "noleap", MONTHS, link=link, about={})
    np.testing.assert_array_equal(index, JANUARY_1900 + np.arange(3))
    assert "the end of their months" in notes[0]


@pytest.mark.parametrize(
    "about", [{"units": "hours since 1880-01-01", "calendar": "noleap"}, {"units": "days since 1880-01-01"}]
)
def test_bounds_have_units_of_their_own(tmp_path, about):
    factor = 24.0 if about["units"].startswith("hours") else 1.0
    bounds = (np.array(MONTHS) + 20 * 365) * factor
    index, *_ = months_of(tmp_path, ENDS, "days since 1900-01-01", "noleap", bounds, about=about)
    np.testing.assert_array_equal(index, JANUARY_1900 + np.arange(3))


def test_bounds_whose_units_were_lost_show_the_end_by_their_widths(tmp_path):
    index, _, notes = months_of(
        tmp_path, ENDS, "days since 1900-01-01", "noleap", np.array(MONTHS) + 7300.0, link="time_bnds"
    )
    np.testing.assert_array_equal(index, JANUARY_1900 + np.arange(3))
    assert "widths of its bounds" in notes[0]


def test_a_month_without_bounds_is_stamped_as_its_neighbours_are(tmp_path):
    index, *_ = months_of(tmp_path, ENDS, "days since 1900-01-01", "noleap", [[0, 0], *MONTHS[1:]])
    np.testing.assert_array_equal(index, JANUARY_1900 + np.arange(3))


def test_without_bounds_whole_years_show_stamps_at_the_end(tmp_path):
    index, _, notes = months_of(tmp_path, FIRSTS, "days since 1900-01-01", "noleap")
    np.testing.assert_array_equal(index, JANUARY_1900 + np.arange(12))
    assert "from February to January" in notes[0]


@pytest.mark.parametrize(("name", "later"), [("x_190001-190011.nc", 0), ("x_190002-190012.nc", 1)])
def test_without_bounds_the_months_of_the_name_decide(tmp_path, name, later):
    index, _, notes = months_of(tmp_path, FIRSTS[:11], "days since 1900-01-01", "noleap", name=name)
    np.testing.assert_array_equal(index, JANUARY_1900 + later + np.arange(11))
    assert bool(notes) == (later == 0)


def test_stamps_that_nothing_explains_are_noted(tmp_path):
    index, _, notes = months_of(tmp_path, FIRSTS[2:9], "days since 1900-01-01", "noleap")
    np.testing.assert_array_equal(index, JANUARY_1900 + 3 + np.arange(7))
    assert "taken as the beginning of months" in notes[0]


def test_stamps_at_the_beginning_stay(tmp_path):
    index, _, notes = months_of(tmp_path, np.append(0.0, FIRSTS[:-1]), "days since 1900-01-01", "noleap")
    np.testing.assert_array_equal(index, JANUARY_1900 + np.arange(12))
    assert not notes


def text_times(path, texts, kind, dims=("time", "lat"), name="time"):
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension(dims[0] if dims[0] != "lat" else dims[1], len(texts))
        file.createDimension("lat", 2)
        dimension = next(one for one in dims if one != "lat")
        if kind == "characters":
            file.createDimension("letters", max(map(len, texts)))
            file.createVariable(name, "S1", (dimension, "letters"))[:] = netCDF4.stringtochar(np.array(texts, "S"))
        else:
            file.createVariable(name, str, (dimension,))[:] = np.array(texts, dtype=object)
        file.createVariable("tas", "f4", dims)[:] = 0.0
    with netCDF4.Dataset(path) as file:
        found, coordinate = find_time(file, file["tas"])
        assert found == dimension
        axis = month_index(file, coordinate)
        return axis.index, axis.calendar, axis.notes


@pytest.mark.parametrize("kind", ["strings", "characters"])
@pytest.mark.parametrize(
    "texts",
    [
        ["1900-01-15", "1900-02-15", "1900-03-15"],
        ["1900-01", "1900-02", "1900-03"],
        ["19000116", "19000215", "19000316"],
        ["1900-01-16T12:00:00Z", "1900-02-15T00:00:00Z", "1900-03-16T12:00:00Z"],
    ],
)
def test_dates_as_text(tmp_path, kind, texts):
    index, *_ = text_times(tmp_path / "time.nc", texts, kind)
    np.testing.assert_array_equal(index, JANUARY_1900 + np.arange(3))
    index, *_ = text_times(tmp_path / "other.nc", texts, kind, dims=("lat", "month"), name="dates")
    np.testing.assert_array_equal(index, JANUARY_1900 + np.arange(3))


def test_text_that_is_no_date_is_refused_with_the_cure(tmp_path):
    with pytest.raises(InputDataError, match=r"holds text that is no date: 'spring'") as caught:
        text_times(tmp_path / "time.nc", ["1900-01-15", "spring"], "strings")
    assert "days since 1850-01-01" in caught.value.hint
