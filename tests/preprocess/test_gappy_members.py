"""Members that are anomalies with gaps: records of observations, completed fields whose filled cells are marked, joins."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import observation_files as files
import pytest

from climrecon.errors import InputDataError
from climrecon.grid import FIVE_DEGREES
from climrecon.preprocess import prepare_member

BASE = (1961, 1990)
STATED = {"units": "K", "long_name": "temperature anomaly (base 1961-1990)", "standard_name": "air_temperature_anomaly"}
INDEX = files.month_numbers(1955, 456)


@pytest.fixture(scope="module")
def record() -> np.ndarray:
    """Half known, cells of the south pole never before 1985."""
    values = files.gappy(1, (456, 36, 72)).astype(np.float32)
    values[:360, 0] = np.nan
    return values


def mark(path: Path, flags: np.ndarray, name: str = "was_missing", **attributes: object) -> Path:
    with netCDF4.Dataset(path, "a") as file:
        variable = file.createVariable(name, "i1", ("time", "lat", "lon"))
        variable.setncatts(attributes)
        variable[:] = flags
        if name != "was_missing":
            file["tas"].ancillary_variables = f"nobs {name}"
    return path


def prepared(paths: list[Path], scratch: Path, **more: bool) -> tuple[np.ndarray, np.ndarray]:
    values, months = prepare_member(paths, FIVE_DEGREES, BASE, scratch, **more)
    return values, months.index


def test_known_cells_stay_as_they_are_where_the_base_is_the_reference(tmp_path: Path, record: np.ndarray) -> None:
    path = files.write(tmp_path / "record.nc", record, INDEX, attributes=STATED)
    values, index = prepared([path], tmp_path)
    np.testing.assert_array_equal(values, record)
    np.testing.assert_array_equal(index, INDEX)


def test_another_base_is_taken_off_cell_by_cell_where_there_are_enough_years(
    tmp_path: Path, record: np.ndarray
) -> None:
    whole = np.where(np.isfinite(record), record, 0.5).astype(np.float32)
    whole[:, 0] = np.where(np.arange(456)[:, None] < 360, np.nan, 1.0)
    attributes = STATED | {"long_name": "temperature anomaly (base 1951-1980)"}
    values, _ = prepared([files.write(tmp_path / "other.nc", whole, INDEX, attributes=attributes)], tmp_path)
    inside = (INDEX >= 1961 * 12) & (INDEX < 1991 * 12)
    for month in range(12):
        here = month == INDEX % 12
        expected = whole[here, 1:] - whole[here & inside, 1:].mean(axis=0, dtype=float)
        np.testing.assert_allclose(values[here, 1:], expected, atol=1e-5)
    assert np.isnan(values[:, 0]).all(), "five of thirty years are no base"


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("was_missing", {}),
        ("status", {"flag_values": np.array([0, 1, 3], "i1"), "flag_meanings": "observed interpolated filled_by_oi"}),
    ],
)
def test_cells_marked_as_filled_are_missing(
    tmp_path: Path, record: np.ndarray, name: str, attributes: dict[str, object]
) -> None:
    gaps = ~np.isfinite(record)
    complete = np.where(gaps, np.float32(9.0), record)
    flags = gaps.astype("i1") if name == "was_missing" else np.where(gaps, [[[1, 3] * 36]], 0).astype("i1")
    path = mark(files.write(tmp_path / "complete.nc", complete, INDEX, attributes=STATED), flags, name, **attributes)
    np.testing.assert_array_equal(prepared([path], tmp_path)[0], record)


def test_flags_of_another_meaning_mark_nothing(tmp_path: Path) -> None:
    whole = files.gappy(2, (456, 36, 72), missing=0.0).astype(np.float32)
    path = files.write(tmp_path / "good.nc", whole, INDEX, attributes=STATED)
    mark(
        path, np.ones(whole.shape, "i1"), "quality", flag_values=np.array([0, 1], "i1"), flag_meanings="good not_filled"
    )
    np.testing.assert_array_equal(prepared([path], tmp_path)[0], whole)


def test_flags_of_absolute_values_are_remapped_with_them(tmp_path: Path) -> None:
    """A filled cell of a finer grid spoils the whole cell."""
    index = files.month_numbers(1961, 360)
    lat, lon = np.arange(-88.75, 90, 2.5), np.arange(1.25, 360, 2.5)
    values = (280 + np.random.default_rng(0).normal(size=(360, 72, 144))).astype(np.float32)
    path = files.write(tmp_path / "fine.nc", values, index, lat=lat, lon=lon)
    flags = np.zeros(values.shape, "i1")
    flags[5, 10, 20] = 2
    mark(path, flags, "status", flag_values=np.array([0, 2], "i1"), flag_meanings="known extrapolated")
    found = np.argwhere(~np.isfinite(prepared([path], tmp_path)[0]))
    # 51.25 degrees east and 63.75 south.
    assert found.tolist() == [[5, 5, 46]]


def test_files_of_one_record_that_overlap(tmp_path: Path, record: np.ndarray) -> None:
    """The first ends as the second has begun; where both have a month the second counts if it is asked for."""
    later = files.gappy(3, (200, 36, 72), missing=0.1).astype(np.float32)
    paths = [
        files.write(tmp_path / "a.nc", record[:300], INDEX[:300], attributes=STATED),
        files.write(tmp_path / "b.nc", later, INDEX[256:], name="tas_mean", attributes=STATED),
    ]
    values, index = prepared(paths, tmp_path, last_counts=True)
    np.testing.assert_array_equal(index, INDEX)
    np.testing.assert_array_equal(values, np.concatenate([record[:256], later]))
    with pytest.raises(InputDataError, match="44 months stand in two files with different values"):
        prepared(paths, tmp_path)
    first, _ = prepared(paths[::-1], tmp_path, last_counts=True)
    np.testing.assert_array_equal(first, np.concatenate([record[:300], later[44:]]))
    # The same values twice are no contradiction.
    again = files.write(tmp_path / "c.nc", record[256:], INDEX[256:], attributes=STATED)
    np.testing.assert_array_equal(prepared([paths[0], again], tmp_path)[0], record)
    other = files.write(
        tmp_path / "d.nc", later, INDEX[256:], attributes=STATED | {"long_name": "anomaly (base 1971-2000)"}
    )
    with pytest.raises(InputDataError, match="base periods"):
        prepared([paths[0], other], tmp_path, last_counts=True)


def test_absolute_values_are_not_joined_where_they_overlap(tmp_path: Path) -> None:
    index = files.month_numbers(1961, 360)
    path = files.write(tmp_path / "k.nc", np.full((360, 36, 72), 280.0), index)
    with pytest.raises(InputDataError, match="absolute values; files of anomalies alone"):
        prepared([path], tmp_path, last_counts=True)


def test_a_finer_grid_counts_as_known_where_half_of_a_cell_is(tmp_path: Path) -> None:
    lat, lon = np.arange(-88.75, 90, 2.5), np.arange(-178.75, 180, 2.5)
    values = np.ones((24, 72, 144), np.float32)
    values[:, 20, 30] = np.nan  # one of four
    values[:, 40:42, 50] = np.nan
    values[:, 40, 51] = np.nan  # three of four
    path = files.write(tmp_path / "fine.nc", values, files.month_numbers(1990, 24), lat=lat, lon=lon, attributes=STATED)
    found, _ = prepared([path], tmp_path)
    assert np.argwhere(~np.isfinite(found[0])).tolist() == [[20, 25]]
    np.testing.assert_allclose(found[np.isfinite(found)], 1.0, atol=1e-6)


def test_a_month_without_any_value_is_absent(tmp_path: Path, record: np.ndarray) -> None:
    holed = record.copy()
    holed[7] = np.nan
    values, index = prepared([files.write(tmp_path / "h.nc", holed, INDEX, attributes=STATED)], tmp_path)
    np.testing.assert_array_equal(index, np.delete(INDEX, 7))
    np.testing.assert_array_equal(values, np.delete(record, 7, axis=0))
