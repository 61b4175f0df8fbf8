"""Years, seasons and days of every calendar are read as such; other frequencies are refused with what helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np
import pytest

from climrecon.errors import InputDataError
from climrecon.fields import Observations, Steps
from climrecon.frequency import DAY, FREQUENCIES, MONTH, SEASON, YEAR, Frequency, frequency_named
from climrecon.netcdf.times import step_index
from climrecon.preprocess import PrepareRequest, read_observations
from climrecon.preprocess.climatology import HARMONICS, climatology_of
from climrecon.steps import day_number
from helpers.time_axes import CALENDARS, Date, write


def read(path: Path, frequency: Frequency, **request: Any) -> Observations:
    return read_observations([path], PrepareRequest(frequency=frequency, **request))


@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize("stamp", [(1, 1), (7, 1), (12, 30), "bounds"])
def test_years(tmp_path: Path, calendar: str, stamp: Any) -> None:
    years = range(1900, 1905)
    if stamp == "bounds":
        path = write(tmp_path / "t.nc", [(y, 1, 1) for y in years], [(y + 1, 1, 1) for y in years], calendar=calendar)
    else:
        path = write(tmp_path / "t.nc", [(y, *stamp) for y in years], calendar=calendar)
    time = read(path, YEAR).time
    assert time.labels() == ["1900", "1901", "1902", "1903", "1904"]
    assert time.span() == "1900-1904"
    assert time.in_years.tolist() == [y + 0.5 for y in years]


def test_years_stamped_at_their_end_are_known_by_the_name_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "tas_yr_1900-1902.nc", [(y, 1, 1) for y in (1901, 1902, 1903)])
    observations = read(path, YEAR)
    assert observations.time.labels() == ["1900", "1901", "1902"]
    assert any("the end of their years" in note for note in observations.source.notes)


SEASONS = [(1899, 12), (1900, 3), (1900, 6), (1900, 9), (1900, 12)]


@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize("bounds", [True, False])
def test_a_winter_belongs_to_the_year_of_its_january(tmp_path: Path, calendar: str, bounds: bool) -> None:
    ends = [*SEASONS[1:], (1901, 3)]
    path = write(
        tmp_path / "t.nc",
        [(y, m, 1 if bounds else 20) for y, m in SEASONS],
        [(y, m, 1) for y, m in ends] if bounds else None,
        calendar=calendar,
    )
    time = read(path, SEASON).time
    assert time.labels() == ["1900-DJF", "1900-MAM", "1900-JJA", "1900-SON", "1901-DJF"]
    assert time.month.tolist() == [1, 4, 7, 10, 1]
    assert time.span() == "189912-190102"
    edges = time.edges("360_day")
    assert [(one.year, one.month, one.day) for one in edges[0]] == [(1899, 12, 1), (1900, 3, 1)]


@pytest.mark.parametrize("calendar", CALENDARS)
def test_days_follow_each_other_in_every_calendar(tmp_path: Path, calendar: str) -> None:
    last = {"noleap": 28, "360_day": 30, "all_leap": 29, "julian": 29}.get(calendar, 28)  # of February 1900
    dates = [(1900, 2, day) for day in range(27, last + 1)] + [(1900, 3, 1)]
    if calendar == "360_day":
        dates = [(1900, 2, 28), (1900, 2, 29), (1900, 2, 30), (1900, 3, 1)]
    time = read(write(tmp_path / "t.nc", dates, calendar=calendar), DAY).time
    assert np.diff(time.index).tolist() == [1] * (len(dates) - 1)
    assert time.labels() == [f"{y}-{m:02d}-{d:02d}" for y, m, d in dates]
    assert time.month.tolist() == [m for _, m, _ in dates]
    assert time.span() == f"{dates[0][0]}{dates[0][1]:02d}{dates[0][2]:02d}-19000301"
    assert (time.index > 0).all()


def test_days_that_are_absent_are_named(tmp_path: Path) -> None:
    observations = read(write(tmp_path / "t.nc", [(1904, 2, 27), (1904, 3, 1), (1904, 3, 2)]), DAY)
    assert "2 days are absent: 1904-02-28, 1904-02-29" in observations.source.notes


def test_a_date_has_one_number_in_the_calendars_of_the_real_world(tmp_path: Path) -> None:
    days = [
        read(write(tmp_path / f"{one}.nc", [(1850, 1, 1), (1850, 1, 2)], calendar=one), DAY).time.index
        for one in ("standard", "proleptic_gregorian")
    ]
    assert days[0].tolist() == days[1].tolist()


def test_days_of_two_calendars_are_not_joined(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "a.nc", [(1900, 1, 1), (1900, 1, 2)], calendar="noleap"),
        write(tmp_path / "b.nc", [(1900, 1, 3), (1900, 1, 4)], calendar="360_day"),
    ]
    with pytest.raises(InputDataError, match="the calendars 360_day and noleap"):
        read_observations(paths, PrepareRequest(frequency=DAY))


def dates_of(frequency: Frequency, count: int = 12) -> list[Date]:
    if frequency == DAY:
        return [(1900, 1, day) for day in range(1, count + 1)]
    months = {MONTH: 1, SEASON: 3, YEAR: 12}[frequency]
    return [(1900 + n * months // 12, n * months % 12 + 1, 10) for n in range(count)]


@pytest.mark.parametrize("held", FREQUENCIES.values(), ids=FREQUENCIES)
@pytest.mark.parametrize("asked", FREQUENCIES.values(), ids=FREQUENCIES)
def test_another_frequency_is_refused_with_the_right_one(tmp_path: Path, held: Frequency, asked: Frequency) -> None:
    path = write(tmp_path / "t.nc", dates_of(held))
    if held == asked:
        assert read(path, asked).time.frequency == asked
        return
    with pytest.raises(InputDataError, match=f"not {asked.adjective}|finer than {asked.adjective}") as caught:
        read(path, asked)
    assert f"time_frequency={held.name}" in str(caught.value.hint)


def test_bounds_of_other_seasons_and_years_are_refused(tmp_path: Path) -> None:
    quarters = [(1900, 1, 1), (1900, 4, 1), (1900, 7, 1), (1900, 10, 1), (1901, 1, 1)]
    with pytest.raises(InputDataError, match="do not begin in December, March, June and September"):
        read(write(tmp_path / "q.nc", quarters[:-1], quarters[1:]), SEASON)
    winters = [(1900, 7, 1), (1901, 7, 1), (1902, 7, 1)]
    with pytest.raises(InputDataError, match="do not begin in January"):
        read(write(tmp_path / "y.nc", winters[:-1], winters[1:]), YEAR)


def test_months_since_hold_no_days(tmp_path: Path) -> None:
    path = write(tmp_path / "t.nc", dates_of(DAY))
    with netCDF4.Dataset(path, "a") as file:
        file["time"].units = "months since 1900-01-01"
    with pytest.raises(InputDataError, match="state no days"):
        read(path, DAY)


def test_a_period_takes_the_steps_whose_middle_is_in_it(tmp_path: Path) -> None:
    path = write(tmp_path / "t.nc", [(y, m, 20) for y, m in SEASONS])
    assert read(path, SEASON, period=(1900 * 12, 1900 * 12 + 11)).time.labels()[0] == "1900-DJF"
    with pytest.raises(InputDataError, match="No season of 189912-190102 lies in the period"):
        read(path, SEASON, period=(1950 * 12, None))


@pytest.mark.parametrize(
    ("text", "name"), [("annual", "yr"), ("P1D", "day"), ("Seasonal mean", "sem"), ("monthly", "mon"), ("3hr", None)]
)
def test_names_of_frequencies(text: str, name: str | None) -> None:
    found = frequency_named(text)
    assert (found.name if found else None) == name


# climatologies


def test_climatology_of_years_and_seasons_by_hand() -> None:
    years = Steps(np.arange(1951, 1991), YEAR)
    trend = np.arange(40.0)[:, None, None] * np.ones((1, 2, 3))
    # The mean of 1961 to 1990 is that of the numbers 10 to 39.
    assert climatology_of(trend, years, (1961, 1990)).at(years)[:, 0, 0].tolist() == [24.5] * 40
    seasons = Steps(np.arange(1951 * 4, 1991 * 4), SEASON)
    values = (seasons.index % 4 * 10.0 + (seasons.year - 1951))[:, None, None] * np.ones((1, 2, 3))
    usual = climatology_of(values, seasons, (1961, 1990)).at(seasons)[:4, 1, 1]
    np.testing.assert_allclose(usual, [24.5, 34.5, 44.5, 54.5])


def test_too_few_years_are_counted() -> None:
    years = Steps(np.arange(1972, 1991), YEAR)
    with pytest.raises(InputDataError, match=r"needs 20 years of its 30; there are 19\."):
        climatology_of(np.zeros((19, 1, 1)), years, (1961, 1990))
    seasons = Steps(np.array([i for i in range(1961 * 4, 1991 * 4) if i % 4 != 2 or i > 1980 * 4]), SEASON)
    with pytest.raises(InputDataError, match=r"in each season; there are 11 to 30 \(too few in season 3\)"):
        climatology_of(np.zeros((len(seasons), 1, 1)), seasons, (1961, 1990))


@pytest.mark.parametrize("calendar", CALENDARS)
def test_climatology_of_days_is_the_annual_cycle_in_every_calendar(calendar: str) -> None:
    """A cycle of two harmonics is found again where days are missing; the dates are cftime's own."""
    first, last = (cftime.datetime(year, 1, 1, calendar=calendar) for year in (1961, 1970))
    count = int(cftime.date2num(last, f"days since {first.isoformat()}", calendar=calendar))
    days = cftime.num2date(np.arange(count), "days since 1961-01-01", calendar=calendar)
    length = {year: sum(1 for one in days if one.year == year) for year in range(1961, 1970)}
    phase = np.array([2 * np.pi * (one.dayofyr - 0.5) / length[one.year] for one in days])
    cycle = 5.0 + 8.0 * np.cos(phase) - 3.0 * np.sin(2 * phase)
    start = read_number(first, calendar)
    time = Steps(np.arange(start, start + count), DAY, calendar)
    values = np.repeat(cycle[:, None, None], 3, axis=2)
    rng = np.random.default_rng(1)
    values[rng.random(count) < 0.3, 0, 1] = np.nan  # 70 % of the days: enough
    values[rng.random(count) < 0.5, 0, 2] = np.nan  # half of the days: too few
    climatology = climatology_of(values, time, (1961, 1969))
    assert climatology.parts.shape[0] == 2 * HARMONICS + 1
    usual = climatology.at(time)
    np.testing.assert_allclose(usual[:, 0, :2], np.stack([cycle, cycle], axis=1), atol=1e-9)
    assert np.isnan(usual[:, 0, 2]).all()
    left = climatology.taken_off(values.astype(np.float32), time)
    assert left.dtype == np.float32
    assert np.nanmax(np.abs(left[:, 0, :2])) < 1e-5


def read_number(date: Any, calendar: str) -> int:
    return int(day_number(np.array([date]), calendar)[0])


def test_daily_noise_has_a_smoother_climatology_than_means_of_each_day() -> None:
    """Of white noise with a standard deviation of 1 over 30 years, 9 numbers are left of 365: sqrt(9 / 10957)."""
    start = read_number(cftime.datetime(1961, 1, 1, calendar="standard"), "standard")
    time = Steps(np.arange(start, start + 10957), DAY)
    noise = np.random.default_rng(5).normal(size=(10957, 20, 20))
    left = climatology_of(noise, time, (1961, 1990)).at(time[:365])
    assert np.sqrt((left**2).mean()) == pytest.approx((9 / 10957) ** 0.5, rel=0.1)


# real files


def test_real_annual_means_are_years(shared_data: Path) -> None:
    path = shared_data / "observations/hadcrut4/hadcrut4_annual_5x5_1850-2002.nc"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    observations = read(path, YEAR)
    assert observations.time.span() == "1850-2002"
    assert observations.reference_period == (1961, 1990)
    assert len(observations.time.absent()) == 0


def test_a_real_daily_file_is_read_in_its_calendar(shared_data: Path) -> None:
    """Ten years of 365 days. CESM stamps a day at its end and names the file by the stamps; the bounds are the truth."""
    path = next((shared_data / "format_samples").glob("tas_day_CESM2-WACCM*.nc"), None)
    if path is None:
        pytest.skip("no daily sample in the shared data")
    with netCDF4.Dataset(path) as file:
        axis = step_index(file, file["time"], DAY)
        start = cftime.num2date(file["time_bnds"][:, 0], file["time"].units, "noleap")
    time = Steps(axis.index, DAY, axis.calendar)
    assert time.span() == "19991231-20091230"
    assert axis.notes == ("the times of time stand at the end of their days; the days are those of its bounds",)
    assert time.labels() == [one.strftime("%Y-%m-%d") for one in start]
