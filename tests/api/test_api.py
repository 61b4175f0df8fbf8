"""The package from Python gives what the command line writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import xarray as xr
from nbclient import NotebookClient

import climrecon
from climrecon.errors import ClimReconError
from helpers import forked

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def observations(demo: Path) -> Path:
    return demo / "observations/HadCRUT5/HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc"


def test_import_is_quick_and_names_what_there_is() -> None:
    code = "import sys, climrecon; print({'numpy', 'torch', 'xarray'} & set(sys.modules), dir(climrecon))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith("set()")
    assert all(name in answer.stdout for name in ("cross_validate", "evaluate", "methods", "reconstruct"))


def test_methods_are_listed_before_and_after_their_package_is_imported() -> None:
    import climrecon.methods.kriging

    found = climrecon.methods()
    assert {"punet6", "kadow2020", "kriging", "oi", "pca", "idw", "climatology"} <= set(found)


def test_a_dataset_and_a_file_give_the_content_of_the_command_line(observations: Path, tmp_path: Path) -> None:
    call = [
        "reconstruct",
        "--obs-file",
        str(observations),
        "--period",
        "1877",
        "--realisations",
        "2",
        "--plots",
        "false",
    ]
    assert forked.climrecon(*call, "--output", tmp_path / "out").returncode == 0
    (written,) = (tmp_path / "out").glob("tas_mon_*.nc")
    from_file = climrecon.reconstruct(str(observations), period="1877", realisations=2)
    with xr.open_dataset(observations) as data:
        from_memory = climrecon.reconstruct(data.load(), period="1877", realisations=2)
    with xr.open_dataset(written) as expected:
        for name in expected.data_vars:
            np.testing.assert_array_equal(from_file[name], expected[name], err_msg=str(name))
            np.testing.assert_array_equal(from_memory[name], expected[name], err_msg=str(name))
        assert from_file["tas"].attrs == expected["tas"].attrs
    assert from_memory.attrs["climrecon_dataset"] == from_file.attrs["climrecon_dataset"] == "HadCRUT.5.0.2.0"
    from_file.to_netcdf(tmp_path / "again.nc")


def test_evaluate_gives_a_row_a_method(demo: Path, observations: Path) -> None:
    (truth,) = (demo / "reanalysis/20CR").glob("*.nc")
    table = climrecon.evaluate(truth, observations, ["auto", "idw"], period="1961")
    assert list(table.index) == ["raw_mean", "punet6", "idw"]
    assert table.loc["punet6", "rmse"] < table.loc["idw", "rmse"]
    assert table.attrs["scores"]["reference"] == "idw"


def test_cross_validation_needs_observations_alone(observations: Path) -> None:
    table = climrecon.cross_validate(observations, ["idw", "climatology"], "blocks", period="1961", folds=3)
    assert list(table.index) == ["idw", "climatology"]
    assert table.loc["idw", "rmse"] < table.loc["climatology", "rmse"]
    assert (table["rmse_less_noise"] < table["rmse"]).all()
    assert len(table.attrs["scores"]["withheld"]["folds"]) == 3
    with xr.open_dataset(observations) as data:
        again = climrecon.cross_validate(data.load(), ["idw", "climatology"], "blocks", period="1961", folds=3)
    assert again.equals(table)


def test_an_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ClimReconError) as caught:
        climrecon.reconstruct(tmp_path / "absent.nc", networkk="punet6")
    assert "did you mean network" in str(caught.value)
    with pytest.raises(ClimReconError):
        climrecon.reconstruct(tmp_path / "absent.nc")


@pytest.mark.slow
def test_the_tutorial_runs() -> None:
    notebook = nbformat.read(ROOT / "docs" / "tutorial.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "committed without outputs"
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute()
    figures = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert len(figures) == 2


def test_short_anomalies_keep_their_base_unless_another_is_asked_for(observations: Path) -> None:
    with xr.open_dataset(observations) as file:
        name = next(name for name, one in file.data_vars.items() if one.ndim == 3)
        field = file[name].isel(time=slice(0, 24)).load()
    field = field.rename("t_near_surface").assign_attrs(long_name="anomaly relative to 1951-1980", standard_name="")
    with pytest.raises(ClimReconError, match="obs_variable"):
        climrecon.reconstruct(field, "idw")
    named = {"obs_variable": "t_near_surface", "model": "GISTEMP"}
    result = climrecon.reconstruct(field, "idw", **named)
    assert result["tas"].attrs["reference_period"] == "1951-1980"
    assert result.attrs["climrecon_dataset"] == "GISTEMP"
    assert "the result refers to 1951-1980, the data's own base" in result.attrs["comment"].replace("The", "the")
    known = np.isfinite(field.values)
    np.testing.assert_array_equal(result["tas"].values[known], field.values[known])
    with pytest.raises(ClimReconError, match="cannot be re-based to 1961-1990"):
        climrecon.reconstruct(field, "idw", reference_period="1961-1990", **named)


def test_the_result_of_an_infilled_product_states_it(observations: Path) -> None:
    with xr.open_dataset(observations) as file:
        infilled = file.isel(time=slice(0, 24)).load().assign_attrs(title="HadCRUT5, infilled")
    with pytest.raises(ClimReconError, match="allow_infilled=true"):
        climrecon.reconstruct(infilled, "idw")
    result = climrecon.reconstruct(infilled, "idw", allow_infilled=True)
    assert "filled already" in result.attrs["climrecon_infilled_input"]
    assert "allow_infilled" in result.attrs["comment"]
