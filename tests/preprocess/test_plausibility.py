"""What comes in is what a variable has on Earth, or the reader warns, or refuses: spread, errors, members, climatology."""

import numpy as np
import observation_files as files
import pytest

from climrecon.errors import InputDataError
from climrecon.preprocess import PrepareRequest, read_member, read_observations
from climrecon.preprocess.plausibility import check_member
from climrecon.variables import VARIABLES

INDEX = files.month_numbers(1961, 24)
SHAPE = (24, 36, 72)
VALUES = files.gappy(1, SHAPE)
SEEN = np.isfinite(VALUES)


def read(folder, values=VALUES, errors=None, **request):
    path = files.hadcrut5_mean(folder, values, INDEX)
    errors = None if errors is None else files.hadcrut5_uncorrelated(folder, errors, INDEX)
    return read_observations([path], PrepareRequest(**request), uncorrelated=errors)


def warnings(observations):
    assert set(observations.source.warnings) <= set(observations.source.notes)
    return " / ".join(observations.source.warnings)


def test_plausible_files_are_read_without_a_warning(tmp_path):
    observations = read(tmp_path, errors=np.where(SEEN, 0.3, np.nan))
    assert warnings(observations) == ""
    assert np.allclose(observations.obs_sd[SEEN], 0.3)
    assert observations.source.notes[-1] == "uncorrelated cell errors from HadCRUT.5.0.2.0.uncorrelated.nc"


@pytest.mark.parametrize(("factor", "multiple"), [(10.0, "0.1 K"), (0.1, "10 K")])
def test_anomalies_in_other_units_are_doubted_and_read(tmp_path, factor, multiple):
    observations = read(tmp_path, VALUES * factor)
    assert "tas has" not in warnings(observations)
    assert f"ncatted -a units,tas_mean,o,c,'{multiple}'" in warnings(observations)
    assert np.allclose(observations.values[SEEN], VALUES[SEEN] * factor)


def test_units_as_the_warning_states_them_end_it(tmp_path):
    path = files.write(tmp_path / "o.nc", VALUES * 10, INDEX, attributes={"units": "0.1 K", "long_name": "anomaly"})
    observations = read_observations([path], PrepareRequest())
    assert warnings(observations) == ""
    assert np.allclose(observations.values[SEEN], VALUES[SEEN], atol=1e-5)


@pytest.mark.parametrize("error", [30.0, 1e10, np.float32(100.0)])
def test_errors_that_cannot_be_are_refused(tmp_path, error):
    with pytest.raises(InputDataError, match="uncorrelated.nc states errors of .* K is expected as a median") as caught:
        read(tmp_path, errors=np.where(SEEN, error, np.nan))
    assert "0.01 K" in caught.value.hint


def test_one_error_larger_than_any_anomaly_is_refused(tmp_path):
    errors = np.where(SEEN, 0.3, np.nan)
    errors[tuple(np.argwhere(SEEN)[7])] = 116.0
    with pytest.raises(InputDataError, match="at most 116 K"):
        read(tmp_path, errors=errors)


@pytest.mark.parametrize("error", [2.0, 1e-4])
def test_errors_beyond_the_spread_of_the_observations_are_doubted(tmp_path, error):
    observations = read(tmp_path, errors=np.where(SEEN, error, np.nan))
    assert "Check the file's units" in warnings(observations)
    assert observations.obs_sd is not None


@pytest.mark.parametrize("error", [0.0, np.nan])
def test_a_file_without_errors_is_not_used(tmp_path, error):
    errors = np.full(SHAPE, error)
    errors[~SEEN] = 0.3 if np.isnan(error) else np.nan
    observations = read(tmp_path, errors=errors)
    assert observations.obs_sd is None
    assert "states no error above zero of an observed cell, and is not used" in warnings(observations)
    assert not any("uncorrelated" in path for path in observations.source.files)


def test_negative_errors_are_refused(tmp_path):
    with pytest.raises(InputDataError, match="negative or infinite errors"):
        read(tmp_path, errors=np.where(SEEN, -0.3, np.nan))


def test_errors_are_converted_as_values_are(tmp_path):
    path = files.hadcrut5_mean(tmp_path, VALUES, INDEX)
    attributes = {"units": "0.01 K"}
    errors = files.write(tmp_path / "e.nc", np.where(SEEN, 30.0, np.nan), INDEX, name="tas_unc", attributes=attributes)
    observations = read_observations([path], PrepareRequest(), uncorrelated=errors)
    assert np.allclose(observations.obs_sd[SEEN], 0.3)


def test_the_share_of_cells_with_an_error_is_noted(tmp_path):
    errors = np.where(SEEN, 0.3, np.nan)
    errors[:12] = np.nan
    share = 100 * SEEN[12:].sum() / SEEN.sum()
    assert f"for {share:.1f} % of the observed cells" in " ".join(read(tmp_path, errors=errors).source.notes)


NOISE = np.random.default_rng(3).normal(0.0, 0.3, SHAPE)


@pytest.mark.parametrize(
    ("change", "reason", "doubt"),
    [
        (lambda own: own, "", ""),
        (lambda own: own + 10.0, "by 10 K", ""),
        (lambda own: own * 0.0, "while these vary by 1.2 K", ""),
        (lambda own: own * 10.0, "differs from the observations", ""),
        (lambda own: np.roll(own, 1, axis=0), "differs from the observations", ""),
        (lambda own: np.where(np.arange(24)[:, None, None] == 5, own[4], own), "", "in 1 months: 1961-06"),
        (lambda own: np.where(np.arange(24)[:, None, None] == 5, own + 2, own), "", "in 1 months: 1961-06"),
    ],
    ids=["right", "off", "constant", "tenths", "a month late", "copy of a month", "one month off"],
)
def test_a_member_has_the_weather_of_the_observations(tmp_path, change, reason, doubt):
    complete = np.round(np.random.default_rng(2).normal(0.0, 1.2, SHAPE), 2)
    observations = read(tmp_path, np.where(SEEN, complete, np.nan))
    path = files.hadcrut5_member(tmp_path, 1, np.where(SEEN, change(complete + NOISE), np.nan), INDEX)
    values = read_member(path, PrepareRequest(), observations)
    found = check_member(values, observations, VARIABLES["tas"])
    assert bool(found[0]) == bool(reason)
    assert reason in found[0]
    assert bool(found[1]) == bool(doubt)
    assert doubt in found[1]


def absolute(folder, years_of_most, share):
    """30 years of degrees Celsius; ``share`` of the cells have all years, the others ``years_of_most``."""
    index = files.month_numbers(1961, 360)
    rng = np.random.default_rng(5)
    values = 10.0 + rng.normal(0.0, 1.2, (360, 6, 12)) + 10.0 * (np.arange(6)[:, None] % 3)
    values[years_of_most * 12 :, rng.permutation(72).reshape(6, 12) >= share * 72] = np.nan
    values[:, 0, 0] = np.nan
    lat, lon = np.arange(-75.0, 90, 30.0), np.arange(-165.0, 180, 30.0)
    path = files.write(folder / "a.nc", values, index, lat=lat, lon=lon, attributes={"units": "degC"}, fill=1e20)
    return read_observations([path], PrepareRequest(values="absolute"))


def test_values_without_a_climatology_are_counted(tmp_path):
    text = warnings(absolute(tmp_path, 10, 0.5))
    lost = float(text.split(" %")[0])
    assert 20.0 < lost < 30.0  # a third of the years in half of the cells
    assert "are left out: their cells have fewer than two thirds of the years 1961-1990" in text
    assert warnings(absolute(tmp_path, 25, 0.5)) == ""


def test_a_climatology_that_drops_nearly_all_values_is_refused(tmp_path):
    with pytest.raises(
        InputDataError, match=r"a.nc: 9\d.\d % of the observed values are in cells with fewer"
    ) as caught:
        absolute(tmp_path, 19, 0.02)
    assert "reference_period" in caught.value.hint
