"""Precipitation and a bounded index: within their bounds, unbiased after the inverse of the transform."""

from __future__ import annotations

import calendar
from functools import cache
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from pydantic import ValidationError

from cli.test_cli import run
from climrecon.variables import VARIABLES, Transform
from climrecon.workflow.progress import Quiet
from climrecon.workflow.stage import run_stages
from output.test_files import cf_problems
from parts.test_parts import content, stages
from preprocess import observation_files as files
from variables.test_other_variables import LAT, LON, result
from variables.test_other_variables import weather as patterns

YEARS, REALISATIONS = 20, 12
INDEX = files.month_numbers(1961, 12 * YEARS)
MASK = np.random.default_rng(11).random((len(LAT), len(LON))) < 0.4
NORMAL = 3.0 + 2.0 * np.cos(2 * np.deg2rad(LAT))[:, None] + np.cos(2 * np.pi * INDEX / 12)[:, None, None] * 0.4
DAYS = np.array([calendar.monthrange(int(i) // 12, int(i) % 12 + 1)[1] for i in INDEX])[:, None, None]
METHODS = ("kriging", "pca", "idw", "climatology")


@cache
def weather(seed: int) -> np.ndarray:
    """(T, H, W) Gaussian fields of standard deviation 1, whose correlation falls off with exp(-d / 2500 km)."""
    lat, lon = (np.deg2rad(axis).ravel() for axis in np.meshgrid(LAT, LON, indexing="ij"))
    places = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    distance = 6371.0 * np.arccos(np.clip(places.T @ places, -1.0, 1.0))
    root = np.linalg.cholesky(np.exp(-distance / 2500.0) + 1e-9 * np.eye(len(lat)))
    white = np.random.default_rng(seed).normal(size=(len(INDEX), len(lat)))
    return np.asarray((white @ root.T).reshape(len(INDEX), len(LAT), len(LON)))


@cache
def rain(method: str = "kriging") -> np.ndarray:
    """(T, H, W) mm/day: skewed, in places dry, and most variable in ratio where the climatology is low.

    The mean after the inverse is unbiased where the spread is right, so each method has fields of the kind it assumes.
    """
    spread = 0.25 + 0.25 * (NORMAL < 2.0)
    fields = patterns(1)[: len(INDEX)] if method == "pca" else weather(1)
    return np.asarray(NORMAL * np.maximum(1.0 + spread * fields, 0.0) ** 3)


def write(folder: Path, values: np.ndarray, units: str = "mm/day", name: str = "pr", **attributes: Any) -> Path:
    gappy = np.where(MASK, values, np.nan)
    about = {"units": units, **attributes}
    return files.write(folder / "obs.nc", gappy, INDEX, lat=LAT, lon=LON, name=name, fill=-1e30, attributes=about)


def filled(path: Path, variable: str, method: str, folder: Path, *more: Any) -> netCDF4.Dataset:
    answer = run("reconstruct", "--variable", variable, "--obs-file", path, "--network", method, "--compare-with", "none",
                 "--reference-period", "1961-1980", "--report", "false", "--plots", "false", "--output",
                 folder / f"{method}-{len(list(folder.iterdir()))}", *more)  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return result(max(folder.glob(f"{method}-*"), key=lambda one: one.stat().st_mtime))


def in_per_cent(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ratios to the climatology of all years, and that climatology, (T, H, W) each."""
    climatology = np.tile(values.reshape(YEARS, 12, *values.shape[1:]).mean(0), (YEARS, 1, 1))
    return 100.0 * values / climatology, climatology


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, np.ndarray]]:
    folder = tmp_path_factory.mktemp("rain")
    results = {}
    for method in METHODS:
        path = write(folder, rain(method))
        draws = ("--realisations", REALISATIONS) if method in ("kriging", "pca") else ()
        with filled(path, "pr", method, folder, *draws) as file:
            results[method] = {name: np.asarray(one[:]) for name, one in file.variables.items() if one.ndim > 2}
            assert file["pr"].units == "%"
            assert "share of its climatology" in file["pr"].long_name
            assert "standard_name" not in file["pr"].ncattrs()
            assert not cf_problems(Path(file.filepath()))
    return results


@pytest.mark.parametrize("method", METHODS)
def test_precipitation_is_never_negative_and_its_totals_stay(
    found: dict[str, dict[str, np.ndarray]], method: str
) -> None:
    ratio, climatology = in_per_cent(rain(method))
    fields, gap = found[method], np.broadcast_to(~MASK, ratio.shape)
    for name, values in fields.items():
        assert float(values.min()) >= 0.0, name
    np.testing.assert_allclose(fields["pr"][~gap], ratio[~gap], rtol=1e-3, atol=1e-3)
    # The mean of the ratio, and the sum of the precipitation, of all cells that were filled.
    assert fields["pr"][gap].mean() == pytest.approx(ratio[gap].mean(), rel=0.01)
    total = (fields["pr"] * climatology)[gap].sum() / (ratio * climatology)[gap].sum()
    assert total == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("method", ["kriging", "pca"])
def test_intervals_and_draws_are_carried_back(found: dict[str, dict[str, np.ndarray]], method: str) -> None:
    ratio, _ = in_per_cent(rain(method))
    fields, gap = found[method], np.broadcast_to(~MASK, ratio.shape)
    draws, truth = fields["pr_realisation"][:, gap], ratio[gap]
    assert draws.mean() == pytest.approx(truth.mean(), rel=0.015)
    assert draws.std() == pytest.approx(truth.std(), rel=0.1)
    # A draw is as dry as the truth, and as wet: neither drizzle nor extremes are smoothed away.
    for share in (0.05, 0.95, 0.99):
        assert np.quantile(draws, share) == pytest.approx(np.quantile(truth, share), rel=0.12, abs=3.0)
    # The truth is one more draw: with 12 of them it lies outside all in 2 of 13 cases.
    outside = ((truth < draws.min(0)) | (truth > draws.max(0))).mean()
    assert 0.05 < outside < 0.25
    error, spread = (fields["pr"] - ratio)[gap], fields["pr_stddev"][gap]
    assert np.sqrt((error**2).mean()) == pytest.approx(np.sqrt((spread**2).mean()), rel=0.15)


@pytest.mark.parametrize(
    ("units", "values"),
    [("mm/month", rain() * DAYS), ("mm month-1", rain() * DAYS), ("mm d-1", rain()), ("kg m-2 s-1", rain() / 86400.0)],
)
def test_units_of_precipitation(tmp_path: Path, units: str, values: np.ndarray) -> None:
    path = write(tmp_path, values, units)
    with filled(path, "pr", "idw", tmp_path) as file:
        ratio, _ = in_per_cent(rain())
        np.testing.assert_allclose(file["pr"][:][:, MASK], ratio[:, MASK], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("values", "attributes", "words"),
    [
        (rain() - NORMAL, {}, "holds anomalies by its negative values"),
        (rain(), {"long_name": "precipitation anomaly"}, "holds anomalies by its names"),
        (rain(), {"units": "mm"}, "The units 'mm' are not those of a precipitation rate"),
        (1e3 * rain(), {}, "outside 0 to 0.004 kg m-2 s-1"),
    ],
)
def test_what_is_no_precipitation(tmp_path: Path, values: np.ndarray, attributes: dict[str, str], words: str) -> None:
    path = write(tmp_path, values, **attributes)
    answer = run("reconstruct", "--variable", "pr", "--obs-file", path, "--output", tmp_path / "o")
    assert answer.returncode == 4, answer.stderr
    assert words in answer.stderr
    assert not list((tmp_path / "o").glob("*"))


def test_cells_without_rain_have_no_ratio(tmp_path: Path) -> None:
    values = rain()
    desert = np.argwhere(MASK)[5]
    values[:, desert[0], desert[1]] *= 0.01
    path = write(tmp_path, values)
    with filled(path, "pr", "idw", tmp_path) as file:
        status = file["pr_status"][:]
        assert (status[:, desert[0], desert[1]] == 2).all()
        assert "or a mean of at most 1.2e-06 kg m-2 s-1" in file.comment


def test_parts_agree_with_the_whole(tmp_path: Path) -> None:
    path = write(tmp_path, rain())
    given = {"obs_file": str(path), "variable": "pr", "network": "kriging", "realisations": 2, "report": "false",
             "reference_period": "1961-1970", "period": "1961-1970"}  # fmt: skip
    for name, values_per_part in (("whole", 10**9), ("parts", 60_000)):
        (tmp_path / name).mkdir()
        found = stages(tmp_path / name, values_per_part, **given)
        assert (max(stage.parts for stage in found) > 1) == (name == "parts")
        run_stages(found, Quiet())
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_a_share_stays_within_its_bounds(tmp_path: Path) -> None:
    share = 100.0 / (1.0 + np.exp(2.2 - 1.6 * weather(4)))
    share = np.where(share < 1.5, 0.0, np.where(share > 97.0, 100.0, share))  # months without a warm day, and all warm
    path = write(tmp_path, share, "%", "tx90p", long_name="Percentage of days when TX > 90th percentile")
    for method in METHODS:
        more = ("--realisations", 4) if method in ("kriging", "pca") else ()
        with filled(path, "tx90p", method, tmp_path, *more) as file:
            for name in ("tx90p", "tx90p_analysis", "tx90p_realisation"):
                if name in file.variables:
                    assert 0.0 <= float(file[name][:].min()) <= float(file[name][:].max()) <= 100.0, (method, name)
            np.testing.assert_allclose(file["tx90p"][:][:, MASK], share[:, MASK], atol=1e-3)
            assert file["tx90p"].units == "%"
            assert "anomaly" not in file["tx90p"].long_name
            assert "reference_period" not in file["tx90p"].ncattrs()
            if method == "kriging":
                mean = float(file["tx90p"][:][:, ~MASK].mean())
                assert mean == pytest.approx(share[:, ~MASK].mean(), rel=0.03)


def test_the_mean_after_the_inverse_is_that_of_the_distribution() -> None:
    rng = np.random.default_rng(0)
    for name in ("pr", "tx90p"):
        transform = VARIABLES[name].to_methods
        for middle, sd in ((0.0, 0.3), (0.5, 1.5), (-2.0, 1.0)):
            drawn = transform.inverse(middle + sd * rng.normal(size=1_000_000))
            mean, spread = transform.moments(np.array([middle]), np.array([sd]))
            assert spread is not None
            assert float(mean[0]) == pytest.approx(drawn.mean(), rel=0.01)
            assert float(spread[0]) == pytest.approx(drawn.std(), rel=0.01)
            values = np.linspace(0.0, 100.0, 11)
            np.testing.assert_allclose(transform.inverse(transform.forward(values)), values, atol=1e-9)


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"kind": "power", "exponent": 0.5, "normal": 1.0}, "0 as its lower bound"),
        ({"kind": "power", "bounds": (0.0, 1.0)}, "a normal above 0"),
        ({"kind": "logit", "bounds": (0.0, 100.0)}, "a margin above 0"),
        ({"kind": "logit", "margin": 1.0}, "finite bounds"),
        ({"bounds": (0.0, 1.0), "normal": 2.0}, "normal = 2 lies outside"),
        ({"kind": "cube"}, "'linear', 'power' or 'logit'"),
    ],
)
def test_a_transform_that_is_none_is_refused(stated: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Transform(**stated)


def test_real_precipitation_keeps_its_totals(shared_data: Path, tmp_path: Path) -> None:
    """GSMaP, gauge-adjusted, on 5 degrees; 40 % of its cells are left."""
    with netCDF4.Dataset(shared_data / "precipitation/gsmap_gnrt6_v1.2_monthly_0p5deg_200005-202307.nc") as file:
        chosen = slice(5, 29)  # 2001 and 2002
        fine = file["precip"][chosen].astype(np.float64)[:, :, :380]
        dates = netCDF4.num2date(file["time"][chosen], file["time"].units)
    blocks = np.ma.filled(fine.reshape(len(fine), 17, 10, 38, 10).mean((2, 4)), np.nan)
    index = np.array([date.year * 12 + date.month - 1 for date in dates])
    truth = np.full((len(fine), 36, 72), np.nan)
    truth[:, 9:26, 10:48] = blocks  # from 45 S and 50 E
    mask = np.random.default_rng(3).random((36, 72)) < 0.4
    path = files.write(tmp_path / "gsmap.nc", np.where(mask, truth, np.nan), index, lat=files.LAT5,
                       lon=np.arange(2.5, 360, 5.0), name="precip", fill=-1e30,
                       attributes={"units": "mm/day", "standard_name": "lwe_precipitation_rate"})  # fmt: skip
    years = index // 12
    whole = [year for year in np.unique(years) if (years == year).sum() == 12]
    climatology = np.stack([truth[np.isin(years, whole) & (index % 12 == month)].mean(0) for month in range(12)])
    climatology = climatology[index % 12]
    scored = ~mask & np.isfinite(truth) & (climatology > 0.1)
    errors = {}
    for method in METHODS:
        with filled(path, "pr", method, tmp_path, "--reference-period", f"{whole[0]}-{whole[-1]}") as file:
            values = np.asarray(file["pr"][:])
        assert values.min() >= 0.0
        assert (values * climatology)[scored].sum() / (100 * truth[scored].sum()) == pytest.approx(
            1.0, abs=0.01 if method == "kriging" else 0.02
        )
        errors[method] = float(np.sqrt(((values - 100 * truth / np.maximum(climatology, 0.1))[scored] ** 2).mean()))
    assert errors["kriging"] < min(errors[other] for other in ("pca", "idw", "climatology"))
