"""Variables other than near-surface air temperature, by the command line, on files as producers write them."""

from __future__ import annotations

import ast
import html
import re
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from cli.test_cli import run
from climrecon import indices
from climrecon.grid import Grid
from climrecon.variables import VARIABLES
from output.test_files import cf_problems
from preprocess import observation_files as files

LAT, LON = np.arange(-85.0, 90, 10.0), np.arange(5.0, 360, 10.0)
YEARS = 30
INDEX = files.month_numbers(1961, 12 * YEARS)
#: No kelvins, no temperature and no El Nino in what a run for another variable tells.
FOREIGN = re.compile(r"\bK\b|kelvin|temperature|[Nn]i[nñ]o|[Ww]armest", re.IGNORECASE)


def weather(seed: int, patterns: int = 24) -> np.ndarray:
    """(T, H, W) anomalies of about one standard deviation, smooth over some thousand kilometres."""
    rng = np.random.default_rng(seed)
    lat, lon = np.deg2rad(LAT)[:, None], np.deg2rad(LON)[None]
    shapes = [
        np.cos(rng.integers(1, 4) * lon + rng.uniform(0, 6.28))
        * np.exp(-(((lat - rng.uniform(-1.2, 1.2)) / 0.45) ** 2))
        for _ in range(patterns)
    ]
    fields = np.tensordot(rng.normal(size=(12 * YEARS, patterns)), np.array(shapes), 1)
    return np.asarray(fields / fields.std())


def pressure(folder: Path, **form: Any) -> tuple[Path, np.ndarray, np.ndarray]:
    """Monthly means in mb as HadSLP2 holds them, from the north, two thirds of the cells missing; truth and mask, Pa."""
    anomalies = 350.0 * weather(1)
    normal = (
        101300.0 + 900.0 * np.cos(4 * np.deg2rad(LAT))[:, None] + 200.0 * np.cos(2 * np.pi * INDEX / 12)[:, None, None]
    )
    mask = np.random.default_rng(2).random(anomalies.shape[1:]) < 0.35
    absolute = np.where(mask, normal + anomalies, np.nan)[:, ::-1] / 100.0
    attributes = {"units": "mb", "long_name": "Monthly mean sea level pressure"}
    given: dict[str, Any] = {"name": "slp", "fill": -9.96921e36, "attributes": attributes} | form
    path = files.write(folder / "hadslp2.nc", absolute, INDEX, lat=LAT[::-1], lon=LON, **given)
    climatology = anomalies.reshape(YEARS, 12, *mask.shape).mean(0)
    truth = (anomalies.reshape(YEARS, 12, *mask.shape) - climatology).reshape(anomalies.shape)
    return path, truth, np.broadcast_to(mask, truth.shape)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, np.ndarray, np.ndarray]:
    folder = tmp_path_factory.mktemp("pressure")
    path, truth, mask = pressure(folder)
    answer = run("reconstruct", "--variable", "psl", "--obs-file", path, "--compare-with", "idw", "--realisations", 2,
                 "--output", folder / "o")  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return folder / "o", answer.stdout + answer.stderr, truth, mask


def result(folder: Path) -> netCDF4.Dataset:
    (path,) = folder.glob("*_climrecon-*.nc")
    return netCDF4.Dataset(path)


def in_file_order(field: np.ndarray) -> np.ndarray:
    return field[:, ::-1]


def test_pressure_is_filled_in_its_units(whole: tuple[Path, str, np.ndarray, np.ndarray]) -> None:
    folder, _, truth, mask = whole
    truth, mask = in_file_order(truth), in_file_order(mask)
    with result(folder) as file:
        values, spread = file["psl"][:], file["psl_stddev"][:]
        assert file["psl"].units == file["psl_stddev"].units == file["psl_realisation"].units == "Pa"
        assert "units_metadata" not in file["psl"].ncattrs()
        np.testing.assert_allclose(values[mask], truth[mask], atol=0.05)
        error = (values - truth)[~mask]
        assert np.sqrt((error**2).mean()) < 0.45 * truth[~mask].std()
        # The spread is that of the errors in size: 90 % of them lie within 1.645 standard deviations.
        assert 0.75 < (np.abs(error) < 1.645 * spread[~mask]).mean() <= 1.0
        assert float(spread[mask].min()) == float(spread[mask].max()) == 100.0
    assert not cf_problems(next(folder.glob("*_climrecon-*.nc")))


def test_nothing_that_is_told_of_pressure_is_of_temperature(whole: tuple[Path, str, np.ndarray, np.ndarray]) -> None:
    folder, log, _, _ = whole
    page = (folder / "report.html").read_text()
    page = page[: page.index("All settings")] if "All settings" in page else page
    page = html.unescape(re.sub(r"<style.*?</style>|<img[^>]*>|<[^>]+>", " ", page, flags=re.DOTALL))
    with result(folder) as file:
        texts = {key: str(file.getncattr(key)) for key in file.ncattrs() if key != "climrecon_settings"}
        for name, variable in file.variables.items():
            texts |= {f"{name} {key}": str(variable.getncattr(key)) for key in variable.ncattrs()}
    for where, text in {"log": log, "report": page, **texts}.items():
        found = FOREIGN.search(text)
        assert found is None, (where, text[max(found.start() - 80, 0) : found.end() + 40])
    assert {path.name for path in folder.glob("*.png")} >= {"nao.png", "global_mean.png"}
    assert not (folder / "nino34.png").exists()
    assert "NAO (boxes)" in page
    assert re.search(r"known to within ±\d+ Pa", page)


def test_the_default_is_a_baseline_and_its_reason_is_told(whole: tuple[Path, str, np.ndarray, np.ndarray]) -> None:
    folder, log, _, _ = whole
    reason = "no network that comes with climrecon is made for sea-level pressure; network=kriging is taken"
    assert reason in log
    assert reason in (folder / "report.html").read_text()
    assert list(folder.glob("psl_mon_climrecon-kriging_*.nc"))


def test_a_repeat_of_a_run_with_the_default_agrees(tmp_path: Path) -> None:
    path, _, _ = pressure(tmp_path)
    given = ("--period", "1990", "--plots", "false", "--report", "false")
    answer = run("reconstruct", "--variable", "psl", "--obs-file", path, *given, "--output", tmp_path / "o")
    assert answer.returncode == 0, answer.stderr
    answer = run("rerun", tmp_path / "o" / "provenance.json", "--output", tmp_path / "again")
    assert "The repeat agrees with the first run." in answer.stdout


def test_methods_for_another_variable_are_refused_with_those_that_can(tmp_path: Path) -> None:
    path, _, _ = pressure(tmp_path)
    for method in ("punet6", "kadow2020", "oi"):
        for given in (("--network", method), ("--compare-with", method)):
            answer = run("reconstruct", "--variable", "psl", "--obs-file", path, *given, "--output", tmp_path / "o")
            assert answer.returncode == 5, answer.stderr
            assert f"{method} was made for tas; the observations hold psl" in answer.stderr
            assert "kriging or pca or idw or climatology" in answer.stderr


def test_methods_do_not_depend_on_the_units_of_a_variable(tmp_path: Path) -> None:
    """Pressures that are temperatures times the scale are filled alike: no constant of a method is left in K."""
    rng = np.random.default_rng(5)
    values = np.where(rng.random((12 * YEARS, 1, 1)) < 0.9, 1.0, np.nan) * weather(3)  # whole months are missing
    values[rng.random(values.shape) < 0.6] = np.nan
    scale = VARIABLES["psl"].scale
    found = {}
    for name, units, factor in (("tas", "K", 1.0), ("psl", "Pa", scale)):
        attributes = {"units": units, "reference_period": "1961-1990"}
        path = files.write(tmp_path / f"{name}.nc", values * factor, INDEX, lat=LAT, lon=LON, name=name, kind="f8",
                           fill=-1e30, attributes=attributes)  # fmt: skip
        for method in ("kriging", "pca", "idw", "climatology"):
            answer = run("reconstruct", "--variable", name, "--obs-file", path, "--network", method, "--plots", "false",
                         "--keep-observed", "false", "--report", "false", "--compare-with", "none", "--output",
                         tmp_path / f"{name}-{method}")  # fmt: skip
            assert answer.returncode == 0, answer.stderr
            with result(tmp_path / f"{name}-{method}") as file:
                found[name, method] = {
                    part: np.asarray(file[f"{name}{part}"][:]) / factor
                    for part in ("_analysis", "_stddev")
                    if f"{name}{part}" in file.variables
                }
    for method in ("kriging", "pca", "idw", "climatology"):
        for part, expected in found["tas", method].items():
            np.testing.assert_allclose(
                found["psl", method][part], expected, rtol=0.02, atol=0.01, err_msg=method + part
            )


@pytest.mark.parametrize(("rows", "columns"), [(91, 180), (73, 144), (181, 360)])
def test_the_grid_of_a_reanalysis_has_rows_at_both_poles(tmp_path: Path, rows: int, columns: int) -> None:
    """20CR's prmsl, absolute, in Pa."""
    lat, lon = np.linspace(90.0, -90.0, rows), np.arange(columns) * 360.0 / columns
    rng = np.random.default_rng(9)
    values = 101300.0 + 300.0 * rng.normal(size=(12 * YEARS, 1, 1)) * np.cos(np.deg2rad(lat))[:, None] + 0.0 * lon
    values[:, rng.random(values.shape[1:]) < 0.7] = np.nan
    attributes = {"units": "Pa", "long_name": "Monthly Mean Pressure Reduced to MSL"}
    path = files.write(tmp_path / "prmsl.mon.mean.nc", values, INDEX, lat=lat, lon=lon, name="prmsl",
                       fill=-9.96921e36, attributes=attributes)  # fmt: skip
    answer = run("reconstruct", "--variable", "psl", "--obs-file", path, "--dryrun", "--output", tmp_path / "o")
    assert answer.returncode == 0, answer.stderr
    assert f"{rows} x {columns}" in answer.stdout
    assert "absolute values turned into anomalies relative to 1961-1990" in answer.stdout


@pytest.mark.parametrize("name", ["tasmax", "tasmin"])
def test_daily_extremes_of_temperature(tmp_path: Path, name: str) -> None:
    values = weather(7)[:24]
    values[np.random.default_rng(8).random(values.shape) < 0.5] = np.nan
    attributes = {"units": "degC", "standard_name": "air_temperature", "reference_period": "1961-1990"}
    path = files.write(
        tmp_path / "x.nc", values, INDEX[:24], lat=LAT, lon=LON, name=name, fill=-1e30, attributes=attributes
    )
    answer = run("reconstruct", "--variable", name, "--obs-file", path, "--plots", "false", "--output", tmp_path / "o")
    assert answer.returncode == 0, answer.stderr
    word = {"tasmax": "maximum", "tasmin": "minimum"}[name]
    assert f"made for mean daily {word} of near-surface air temperature; network=kriging" in answer.stderr
    with result(tmp_path / "o") as file:
        assert file[name].units == "K"
        assert file[name].cell_methods == f"time: {word} within days time: mean over days area: mean"
        np.testing.assert_array_equal(np.isfinite(values), file[f"{name}_status"][:] == 1)


def test_an_unknown_variable_lists_what_there_is_and_how_to_add_one(tmp_path: Path) -> None:
    answer = run("reconstruct", "--variable", "tasmux", "--obs-file", "x.nc", "--output", tmp_path / "o")
    assert answer.returncode == 2
    text = " ".join(answer.stderr.split())
    assert "'tasmux' is none of" in text
    for name, one in VARIABLES.items():
        assert not one.observable or re.search(rf"\b{name}\b", text)
    assert "did you mean tasmax?" in text
    assert "tasmux.toml" in text
    assert "docs/how-to/own-variable.md" in text


def test_the_weights_of_a_difference_of_boxes() -> None:
    (nao,) = VARIABLES["psl"].indices
    weights = indices.weights(Grid.regular(36, 72), nao)
    assert weights.sum() == pytest.approx(0.0, abs=1e-12)
    assert weights[weights > 0].sum() == pytest.approx(1.0)


#: Modules that are of temperature by what they do: networks are trained and scored for it, the demonstration archive is
#: and the benchmark set are made of it, data sets are blends of it, the watch's defaults are K; and help with examples.
OF_TEMPERATURE = (
    "variables/", "training/", "demo/", "tasks/train", "tasks/training_data", "tasks/evaluate", "data/noise", "datasets.py",
    "preprocess/patterns.py", "settings/watch.py", "scores/table.py", "benchmark_set/", "cli/benchmark.py",
    "parameters.py", "form.py", "cli/app.py",
)  # fmt: skip


def test_no_unit_and_no_temperature_in_texts_outside_the_descriptions() -> None:
    package = Path(__file__).parents[2] / "climrecon"
    found = []
    for path in sorted(package.rglob("*.py")):
        name = str(path.relative_to(package))
        if name.startswith(OF_TEMPERATURE):
            continue
        tree = ast.parse(path.read_text())
        documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in documented:
                continue
            if re.search(r"(?<![\w-])K\b(?!-)|kelvin|temperature|[Nn]i[nñ]o(?!34_rmse)", node.value):
                found.append(f"{name}:{node.lineno}: {node.value!r}")
    assert not found, "\n".join(found)
