"""The commands, from a set to a leaderboard."""

from __future__ import annotations

import json
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from click.testing import CliRunner, Result

from climrecon.benchmark_set import score_submissions
from climrecon.benchmark_set.card import MEMBERS, STDDEV, VALUES
from climrecon.cli.app import app
from climrecon.errors import NetworkError, OutputError, ProblemList, UsageError
from climrecon.settings import load_site
from climrecon.tasks.benchmark.runs import run_methods
from helpers.benchmark_sets import SmallSet


def climrecon(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["benchmark", *map(str, arguments)], catch_exceptions=False)


def test_from_a_set_to_a_leaderboard(tmp_path: Path) -> None:
    made, board = tmp_path / "submissions", tmp_path / "board.html"
    answer = climrecon("export", tmp_path / "set", "--years", "1911-1912", "--gaps", "early=1871-1872")
    assert answer.exit_code == 0, answer.output
    assert "inputs/early-noisy.nc: 24 months" in answer.output
    answer = climrecon("run", "climatology", "idw", "--benchmark", tmp_path / "set", "--output", made)
    assert answer.exit_code == 0, answer.output
    answer = climrecon(
        "score", made / "idw", made / "climatology", "--benchmark", tmp_path / "set", "--leaderboard", board
    )
    assert answer.exit_code == 0, answer.output
    best, last = [line for line in answer.output.splitlines() if ": RMSE" in line]
    assert best.startswith("idw")
    assert "skill 0.000" in last
    rows = json.loads((tmp_path / "board.json").read_text())["boards"][0]["rows"]
    assert {row["method"] for row in rows} == {"idw", "climatology"}
    assert all(row["doubts"] == [] for row in rows)
    assert "idw" in board.read_text()
    answer = climrecon("score", made / "idw", "--benchmark", tmp_path / "set", "--json")
    (row,) = json.loads(answer.stdout)
    # The estimate that the package's own method gives again.
    assert row["overall"] == next(one for one in rows if one["method"] == "idw")["overall"]


def test_a_result_of_climrecon_is_a_submission_with_the_attributes_alone(small: SmallSet, tmp_path: Path) -> None:
    (own,) = run_methods(["idw"], small.folder, tmp_path / "own", load_site())
    result = tmp_path / "result"
    result.mkdir()
    for case in small.card.cases:
        call = ["reconstruct", "--obs-file", small.folder / case.file, "--network", "idw", "--compare-with", "none",
                "--plots", "false", "--report", "false", "--output", tmp_path / case.name]  # fmt: skip
        answer = CliRunner().invoke(app, [str(one) for one in call], catch_exceptions=False)
        assert answer.exit_code == 0, answer.output
        (made,) = (tmp_path / case.name).glob("tas_*.nc")
        made.rename(result / f"{case.name}.nc")
        with netCDF4.Dataset(result / f"{case.name}.nc", "a") as file:
            file.setncatts({"method": "idw", "authors": "A. Author", "training_data": "none"})
    ours, theirs = score_submissions([own, result], small.folder)
    # Observed cells are kept in the result, which cells that were missing do not show; values are rounded to 0.001 K.
    for key in ("rmse", "skill", "bias"):
        assert theirs["overall"][key] == pytest.approx(ours["overall"][key], abs=2e-4)


def test_a_method_states_its_time_its_data_and_its_spread(small: SmallSet, tmp_path: Path) -> None:
    (folder,) = run_methods(["oi"], small.folder, tmp_path, load_site(), members=4)
    with netCDF4.Dataset(folder / "sparse-noisy.nc") as file:
        assert 0.0 < float(file.cpu_hours) < 0.1
        assert file.training_data.startswith("gistemp")  # that of its covariance
        assert file.training_months.startswith("193001-196210, ")
        assert file["tas_stddev"][:].min() > 0.0
        apart = file[MEMBERS][:] - file[VALUES][:]
        assert apart.shape == (4, 36, 36, 72)
        assert float(np.sqrt((apart**2).mean() / (file[STDDEV][:] ** 2).mean())) == pytest.approx(1.0, abs=0.15)
    (row,) = score_submissions([folder], small.folder)
    assert row["overall"]["skill"] > 0.3
    assert 0.7 < row["overall"]["covers_90"] < 1.0


def test_methods_that_are_not_there_are_named_before_any_runs(small: SmallSet, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"20cr-1000000\.pth"):
        run_methods(["idw", str(tmp_path / "20cr-1000000.pth")], small.folder, tmp_path / "out", load_site())
    with pytest.raises(ProblemList, match="(?s)'krigin'.*Did you mean kriging.*'nothing'"):
        run_methods(["idw", "krigin", "nothing"], small.folder, tmp_path / "out", load_site())
    with pytest.raises(UsageError, match="members is 1"):
        run_methods(["idw"], small.folder, tmp_path / "out", load_site(), members=1)
    assert not (tmp_path / "out").exists()


def test_files_of_others_stay(small: SmallSet, tmp_path: Path) -> None:
    (tmp_path / "idw").mkdir()
    (tmp_path / "idw/sparse-clean.nc").write_text("mine")
    with pytest.raises(OutputError, match="no submission of climrecon"):
        run_methods(["climatology", "idw"], small.folder, tmp_path, load_site())
    assert (tmp_path / "idw/sparse-clean.nc").read_text() == "mine"
    assert not (tmp_path / "climatology").exists()
    run_methods(["climatology"], small.folder, tmp_path, load_site())
    run_methods(["climatology"], small.folder, tmp_path, load_site())  # its own are replaced
    with pytest.raises(UsageError, match="one method and version: climatology"):
        score_submissions([tmp_path / "climatology", tmp_path / "climatology/../climatology"], small.folder)


def test_help_explains(small: SmallSet) -> None:
    for command in ("export", "run", "score"):
        assert "Exit codes" in climrecon(command, "--help").output
    assert "submissions/*" in climrecon("--help").output
