"""Years, seasons and days from the file to the result, and back again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cftime
import netCDF4
import numpy as np
import pytest

from climrecon.errors import NetworkError, ProblemList
from climrecon.fields import Steps
from climrecon.frequency import DAY, FREQUENCIES, SEASON, YEAR
from climrecon.parameters import BY_NAME
from climrecon.preprocess import PrepareRequest, read_observations
from climrecon.settings import load_site, validate
from helpers.made_up import make_product
from helpers.time_axes import CALENDARS, reconstructed, write


@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize(
    ("frequency", "span"), [("yr", "1961-1990"), ("sem", "196012-199011"), ("day", "19900220-19900311")]
)
def test_the_result_has_the_axis_of_its_observations(tmp_path: Path, frequency: str, span: str, calendar: str) -> None:
    result, edges = reconstructed(tmp_path, frequency, calendar)
    if frequency == "day":
        year, month, day = edges[-2]
        span = f"19900220-{year}{month:02d}{day:02d}"
    assert result.name == f"tas_{frequency}_climrecon-idw_gappy_{span}.nc"
    with netCDF4.Dataset(result) as file, netCDF4.Dataset(tmp_path / "gappy.nc") as given:
        assert file.frequency == frequency
        assert file["tas"].cell_methods == "time: mean area: mean"
        assert file["time"].calendar == calendar
        bounds = cftime.num2date(file["time_bnds"][:], file["time"].units, calendar)
        assert [(one.year, one.month, one.day) for one in bounds[:, 0]] == edges[:-1]
        assert [(one.year, one.month, one.day) for one in bounds[:, 1]] == edges[1:]
        np.testing.assert_allclose(file["time"][:], file["time_bnds"][:].mean(axis=1))
        seen = ~np.ma.getmaskarray(given["tas"][:])
        np.testing.assert_allclose(file["tas"][:][seen], given["tas"][:][seen], atol=0)
        assert not np.ma.getmaskarray(file["tas"][:]).any()
    asked = FREQUENCIES[frequency]
    again = read_observations([result], PrepareRequest(frequency=asked, allow_complete=True))
    before = read_observations([tmp_path / "gappy.nc"], PrepareRequest(frequency=asked))
    assert again.time.index.tolist() == before.time.index.tolist()
    row = json.loads((result.parent / "catalogue.json").read_text())["catalog_dict"][0]
    assert (row["time_frequency"], row["time_range"]) == (frequency, span)


@pytest.mark.parametrize(("frequency", "words"), [("yr", "30 years"), ("sem", "120 seasons"), ("day", "20 days")])
@pytest.mark.parametrize("network", ["kriging", "pca", "climatology"])
def test_methods_and_reports_of_each_frequency(tmp_path: Path, frequency: str, words: str, network: str) -> None:
    with_plots = {"plots": "true", "report": "true"} if network == "kriging" else {}
    result, _ = reconstructed(tmp_path, frequency, network=network, **with_plots)
    with netCDF4.Dataset(result) as file:
        assert np.isfinite(file["tas_analysis"][:].filled(np.nan)).all()
    if with_plots:
        report = (result.parent / "report.html").read_text()
        assert words in report
        assert " months" not in report.split("<h2>Settings")[0].split("<img")[0]
        assert (result.parent / "global_mean.png").stat().st_size > 10_000


def test_results_of_parts_are_those_of_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frequency and calendar go with the prepared observations."""
    (tmp_path / "one").mkdir()
    (tmp_path / "parts").mkdir()
    whole, _ = reconstructed(tmp_path / "one", "sem", network="kriging", realisations=2)
    config = tmp_path / "site.toml"
    config.write_text("[slurm]\nvalues_per_part = 30000\n")
    monkeypatch.setenv("CLIMRECON_CONFIG", str(config))
    parts, _ = reconstructed(tmp_path / "parts", "sem", network="kriging", realisations=2)
    with netCDF4.Dataset(whole) as one, netCDF4.Dataset(parts) as other:
        for name in one.variables:
            np.testing.assert_array_equal(one[name][:], other[name][:])


def test_auto_takes_kriging_and_says_so(tmp_path: Path) -> None:
    site = load_site()
    settings = validate({"obs_file": "x.nc", "time_frequency": "annual"}, site)
    assert (settings.network, settings.frequency) == ("kriging", YEAR)
    assert validate({"obs_file": "x.nc"}, site).network == "punet6"
    result, _ = reconstructed(tmp_path, "yr", network="auto")
    with netCDF4.Dataset(result) as file:
        assert "No network that comes with climrecon is made for annual means; network=kriging is taken" in file.comment


@pytest.mark.parametrize("network", ["punet6", "kadow2020", "oi"])
def test_a_monthly_network_is_refused(tmp_path: Path, network: str) -> None:
    with pytest.raises(
        NetworkError, match="was made for time_frequency=mon; the observations are daily means"
    ) as caught:
        reconstructed(tmp_path, "day", network=network)
    assert "network=kriging or pca or idw" in str(caught.value.hint)


def test_products_of_seasons_and_days_are_not_compared() -> None:
    for name in ("sem", "day"):
        with pytest.raises(ProblemList, match="monthly or annual means are compared"):
            validate({"task": "compare", "time_frequency": name, "products": "a=a.nc,b=b.nc"}, load_site())


def test_the_frequency_is_part_of_the_fingerprint_where_it_is_not_monthly() -> None:
    site = load_site()
    monthly, daily = (
        validate({"obs_file": "x.nc", "network": "idw", **one}, site).fingerprinted("reconstruct")
        for one in ({}, {"time_frequency": "P1D"})
    )
    assert "time_frequency" not in monthly
    assert daily["time_frequency"] == "day"


def test_an_annual_cycle_is_taken_off_absolute_days(tmp_path: Path) -> None:
    """Kelvins with an annual cycle, an anomaly known in advance, and days missing: the anomaly comes back."""
    days = cftime.num2date(np.arange(4 * 365), "days since 1987-01-01", calendar="noleap")
    phase = 2 * np.pi * (np.arange(4 * 365) % 365 + 0.5) / 365
    anomaly = np.random.default_rng(0).normal(0, 1, (4 * 365, 1, 1)) * np.ones((1, 9, 18))
    values = 280.0 + 15.0 * np.cos(phase + 2.0)[:, None, None] + anomaly
    values[np.random.default_rng(1).random(values.shape) < 0.2] = np.nan
    path = write(
        tmp_path / "gappy.nc", [(one.year, one.month, one.day) for one in days], calendar="noleap", values=values,
        long_name="temperature",
    )  # fmt: skip
    found = read_observations([path], PrepareRequest(frequency=DAY, reference_period=(1987, 1990)))
    assert any("anomalies relative to 1987-1990" in note for note in found.source.notes)
    left = found.values - anomaly
    # What the cycle takes of the noise: 9 numbers of 1460 days.
    assert np.sqrt(np.nanmean(left**2)) == pytest.approx((9 / 1460 / 0.8) ** 0.5, rel=0.25)


def test_maxima_of_days_are_no_means_over_days(tmp_path: Path) -> None:
    product = make_product(3)
    product = replace(product, observations=replace(product.observations, variable="tasmax"))
    assert product.cell_methods == "time: maximum within days time: mean over days area: mean"
    time = Steps(np.arange(3) + 1_000_000, DAY)
    daily = replace(product, observations=replace(product.observations, time=time))
    assert daily.cell_methods == "time: maximum area: mean"


def test_real_annual_means_are_filled(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "observations/hadcrut4/hadcrut4_annual_5x5_1850-2002.nc"
    if not source.is_file():
        pytest.skip(f"{source} is absent")
    result, _ = reconstructed(tmp_path, "yr", obs_file=str(source), period="1876-1880")
    assert result.name == "tas_yr_climrecon-idw_HadCRUT.4_1876-1880.nc"
    with netCDF4.Dataset(result) as file:
        assert file["tas"].shape == (5, 36, 72)
        assert not np.ma.getmaskarray(file["tas"][:]).any()


def test_the_parameter_names_the_frequencies() -> None:
    assert all(name in BY_NAME["time_frequency"].help for name in FREQUENCIES)
    assert SEASON.name == "sem"
