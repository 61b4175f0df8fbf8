"""Complete model fields as anomalies on a network's grid, and single members of an ensemble."""

import netCDF4
import numpy as np
import observation_files as files
import pytest
from area_overlaps import gaussian_grid, overlaps

from climrecon.errors import InputDataError
from climrecon.grid import FIVE_DEGREES
from climrecon.preprocess import PrepareRequest, prepare_member, read_member, read_observations

ROWS, COLUMNS = 16, 32
INDEX = files.month_numbers(1958, 456)


@pytest.fixture(scope="module")
def absolute():
    rng = np.random.default_rng(3)
    season = 12.0 * np.cos(2 * np.pi * (INDEX % 12) / 12)[:, None, None]
    return (280.0 + season + rng.normal(0, 1.5, (456, ROWS, COLUMNS))).astype(np.float32)


@pytest.mark.parametrize("calendar", ["standard", "noleap", "360_day"])
@pytest.mark.parametrize("split", [None, 200])
def test_one_call_gives_the_anomalies_worked_out_by_hand(tmp_path, absolute, calendar, split):
    parts = [slice(None)] if split is None else [slice(0, split), slice(split, None)]
    paths = [files.cmip5(tmp_path, absolute[part], INDEX[part], calendar) for part in parts]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    values, months = prepare_member(paths, FIVE_DEGREES, (1961, 1990), scratch)

    rows, columns = overlaps(gaussian_grid(ROWS, COLUMNS), FIVE_DEGREES)
    from_greenwich = np.roll(absolute.astype(float), COLUMNS // 2, axis=2)
    on_grid = np.einsum("ai,tij,bj->tab", rows, from_greenwich, columns)
    inside = (INDEX // 12 >= 1961) & (INDEX // 12 <= 1990)
    expected = np.empty_like(on_grid)
    for month in range(12):
        here = month == INDEX % 12
        expected[here] = on_grid[here] - on_grid[here & inside].mean(axis=0)
    np.testing.assert_array_equal(months.index, INDEX)
    np.testing.assert_allclose(values, expected, atol=3e-3)
    assert np.abs(values - expected).mean() < 2e-4
    assert values.dtype == np.float32
    assert not list(scratch.iterdir())


def test_a_member_that_cannot_be_prepared(tmp_path, absolute):
    short = files.cmip5(tmp_path, absolute[:240], INDEX[:240], "standard")
    with pytest.raises(InputDataError, match=r"needs 20 years of its 30.*there are 17"):
        prepare_member([short], FIVE_DEGREES, (1961, 1990), tmp_path)
    overlapping = files.cmip5(tmp_path, absolute[230:], INDEX[230:], "standard")
    with pytest.raises(InputDataError, match=r"10 months .* more than once: 1977-03"):
        prepare_member([short, overlapping], FIVE_DEGREES, (1961, 1990), tmp_path)
    holed = absolute.copy()
    holed[:, :8, :8] = np.nan
    gaps = files.cmip5(tmp_path, holed, INDEX, "standard")
    with pytest.raises(InputDataError, match="has gaps"):
        prepare_member([gaps], FIVE_DEGREES, (1961, 1990), tmp_path)
    with pytest.raises(InputDataError, match="No file"):
        prepare_member([], FIVE_DEGREES, (1961, 1990), tmp_path)


def test_a_member_of_an_ensemble(tmp_path):
    index = files.month_numbers(1850, 12)
    mean = files.gappy(1, (12, 36, 72))
    observations = read_observations([files.hadcrut5_mean(tmp_path, mean, index)], PrepareRequest())
    member = mean + 0.3
    path = files.hadcrut5_member(tmp_path, 1, member[:10], index[:10])
    read = read_member(path, PrepareRequest(), observations)
    np.testing.assert_array_equal(read[:10], member[:10].astype(np.float32))
    assert np.isnan(read[10:]).all()


def test_a_member_that_does_not_belong(tmp_path):
    index = files.month_numbers(1880, 12)
    observations = read_observations(
        [files.hadcrut5_mean(tmp_path, files.gappy(1, (12, 36, 72)), index)], PrepareRequest()
    )
    other = files.gistemp(tmp_path, files.gappy(1, (12, 90, 180)), index)
    with pytest.raises(InputDataError, match="refers to 1951-1980, the observations to 1961-1990"):
        read_member(other, PrepareRequest(), observations)
    later = files.hadcrut5_member(tmp_path, 1, files.gappy(1, (12, 36, 72)), index + 1200)
    with pytest.raises(InputDataError, match="no month in common"):
        read_member(later, PrepareRequest(), observations)


@pytest.mark.parametrize("turned", ["longitude", "latitude", "another grid"])
def test_files_of_one_member_on_different_grids_are_refused(tmp_path, absolute, turned):
    """cdo takes all files to be as the first is: the same numbers would stand elsewhere on the globe."""
    first = files.cmip5(tmp_path, absolute[:240], INDEX[:240], "standard")
    rest = absolute[240:] if turned != "another grid" else np.repeat(absolute[240:], 2, axis=2)
    second = files.cmip5(tmp_path, rest, INDEX[240:], "standard")
    if turned != "another grid":
        with netCDF4.Dataset(second, "a") as file:
            if turned == "longitude":
                lon = file["lon"][:]
                file["lon"][:] = np.where(lon >= 180.0, lon - 360.0, lon)[np.roll(np.arange(COLUMNS), COLUMNS // 2)]
            else:
                file["lat"][:] = file["lat"][::-1]
    with pytest.raises(InputDataError) as caught:
        prepare_member([first, second], FIVE_DEGREES, (1961, 1990), tmp_path)
    assert "on different grids" in caught.value.message
    assert f"{first.name}: 16 x 32, latitude from" in caught.value.message
    assert second.name in caught.value.message


def test_a_grid_whose_corners_are_the_same_is_another_grid_all_the_same(tmp_path, absolute):
    first = files.cmip5(tmp_path, absolute[:240], INDEX[:240], "standard")
    second = files.cmip5(tmp_path, absolute[240:], INDEX[240:], "standard")
    with netCDF4.Dataset(second, "a") as file:
        lat = file["lat"][:]
        lat[1:-1] = np.linspace(lat[0], lat[-1], len(lat))[1:-1]  # not Gaussian any more
        assert np.abs(lat - file["lat"][:]).max() > 0.01
        file["lat"][:] = lat
    with pytest.raises(InputDataError, match=r"on different grids: .*; .*: other cells, 16 x 32"):
        prepare_member([first, second], FIVE_DEGREES, (1961, 1990), tmp_path)
