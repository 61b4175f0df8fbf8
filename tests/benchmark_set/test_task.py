"""``task=benchmark``: set, methods, submissions and leaderboard in one call."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner, Result

import climrecon
from climrecon.benchmark_set import export_set
from climrecon.benchmark_set.submission import SubmissionError
from climrecon.cli.app import app
from climrecon.errors import InputDataError, NetworkError, OutputError, ProblemList, UsageError
from climrecon.settings import Site, load_site, validate
from climrecon.settings.site import SiteFile
from climrecon.tasks.benchmark.plan import BenchmarkRun
from climrecon.tasks.run import stages_of
from climrecon.workflow.progress import Quiet
from climrecon.workflow.run_info import run_info
from helpers.benchmark_sets import SmallSet, fair, truth
from preprocess import observation_files as files

#: A new set of the seed and years of the fixture ``small``.
LIKE_SMALL = ("--period", "1911-1913", "--gaps", "sparse=1861-1863")
QUICK = ("--plots", "false", "--report", "false")


def leaderboard(folder: Path, *arguments: object, out: str = "out") -> Result:
    call = ["benchmark", "leaderboard", "--cachedir", folder / "cache", "--output", folder / out, *arguments]
    answer = CliRunner().invoke(app, list(map(str, call)), catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return answer


def rows_in(path: Path) -> dict[str, dict[str, Any]]:
    (board,) = json.loads(path.read_text())["boards"]
    return {row["method"]: row for row in board["rows"]}


def test_one_call_gives_set_rows_page_figure_and_report(small: SmallSet, tmp_path: Path) -> None:
    mine = small.submit(tmp_path / "mine", fair, method="mine <b>")
    answer = leaderboard(tmp_path, *LIKE_SMALL, "--methods", "kriging,idw", "--submissions", mine)
    out = tmp_path / "out"
    rows = rows_in(out / "leaderboard.json")
    assert list(rows) == ["kriging", "idw", "mine <b>"]
    assert rows["mine <b>"]["overall"]["rmse"] == pytest.approx(0.4, abs=0.01)
    assert re.search(r"mine <b>: RMSE 0\.\d+ K, skill 0\.\d+, CRPS", answer.output)
    manifest = json.loads((out / "manifest.json").read_text())
    assert all((out / entry["path"]).is_file() for entry in manifest["outputs"])
    assert {entry["role"] for entry in manifest["outputs"]} == {
        "benchmark input", "benchmark set", "leaderboard", "figure", "provenance", "report",
    }  # fmt: skip
    assert manifest["facets"]["model"] == small.card.identity
    for page in ("report.html", "leaderboard.html"):
        text = (out / page).read_text()
        assert "mine &lt;b&gt;" in text
        assert "RMSE less that of kriging" in text
    provenance = (out / "provenance.json").read_text()
    assert str(mine / "sparse-noisy.nc") in provenance
    # The set of the result is that of the same parameters, and can be submitted to and scored on.
    assert (out / "set/benchmark.json").read_text().count(small.card.cases[0].content_sha256) == 1
    leaderboard(tmp_path, "--benchmark", out, "--methods", "none", "--submissions", mine, *QUICK, out="again")
    again = rows_in(tmp_path / "again/leaderboard.json")
    assert again["mine <b>"]["overall"] == rows["mine <b>"]["overall"]
    assert not (tmp_path / "again/set").exists()


def test_rows_are_those_of_the_three_commands(small: SmallSet, tmp_path: Path) -> None:
    leaderboard(tmp_path, "--benchmark", small.folder, "--methods", "oi", "--realisations", "3", *QUICK)
    runner = CliRunner()
    call = [
        "benchmark",
        "run",
        "oi",
        "--benchmark",
        str(small.folder),
        "--output",
        str(tmp_path / "s"),
        "--members",
        "3",
    ]
    assert runner.invoke(app, call).exit_code == 0
    call = ["benchmark", "score", str(tmp_path / "s/oi"), "--benchmark", str(small.folder), "--json"]
    (expected,) = json.loads(runner.invoke(app, call).stdout)
    row = rows_in(tmp_path / "out/leaderboard.json")["oi"]
    assert row["overall"] == expected["overall"]
    assert row["overall"]["annual_covers_90"] is not None  # members were drawn
    assert row["probes"] == expected["probes"]


def test_a_set_alone(tmp_path: Path) -> None:
    leaderboard(tmp_path, *LIKE_SMALL, "--methods", "none")
    out = tmp_path / "out"
    assert not (out / "leaderboard.json").exists()
    assert (out / "set/README.md").is_file()
    assert "nothing was scored" in (out / "report.html").read_text()


def test_a_stopped_benchmark_goes_on_and_a_damaged_cache_is_made_again(tmp_path: Path) -> None:
    site = load_site()
    given = {
        "period": "1911-1912",
        "gaps": "a=1861-1862",
        "methods": "idw,climatology",
        "cachedir": str(tmp_path / "c"),
    }
    settings = validate({"task": "benchmark", "outputdir": str(tmp_path / "out"), **given}, site)

    def stages() -> Any:
        return stages_of(settings, site, run_info())

    prepare, reconstruct, _ = stages()
    assert (reconstruct.parts, reconstruct.is_done(0)) == (2, False)
    prepare.run(0, Quiet())
    reconstruct.run(1, Quiet())
    assert [stages()[1].is_done(part) for part in range(2)] == [False, True]
    plan = BenchmarkRun.of(settings, site)
    before = (plan.of_method(1) / "a-noisy.nc").stat().st_mtime_ns
    (plan.folder / "inputs/a-clean.nc").write_bytes(b"damaged")
    assert not plan.is_exported
    stages()[0].run(0, Quiet())
    assert plan.is_exported
    assert stages()[1].is_done(1)  # the same inputs again
    assert (plan.of_method(1) / "a-noisy.nc").stat().st_mtime_ns == before
    (plan.of_method(1) / "a-noisy.nc").write_bytes(b"damaged")
    assert not stages()[1].is_done(1)
    stages()[1].run(1, Quiet())
    assert stages()[1].is_done(1)


def test_a_shared_leaderboard_keeps_the_rows_of_others(small: SmallSet, tmp_path: Path) -> None:
    board = tmp_path / "board.html"
    first = small.submit(tmp_path / "many/first", fair, method="first")
    leaderboard(tmp_path, "--benchmark", small.folder, "--methods", "idw", "--leaderboard", board, *QUICK)
    # A folder of submissions; files of others in it do not count.
    (tmp_path / "many/notes").mkdir()
    leaderboard(
        tmp_path,
        "--benchmark",
        small.folder,
        "--methods",
        "none",
        "--submissions",
        first.parent,
        "--leaderboard",
        board,
        *QUICK,
    )
    assert list(rows_in(tmp_path / "board.json")) == ["idw", "first"]
    assert rows_in(tmp_path / "out/leaderboard.json").keys() == {"idw", "first"}
    other = tmp_path / "mine.html"
    other.write_text("mine")
    with pytest.raises(OutputError, match="is no leaderboard"):
        leaderboard(tmp_path, "--benchmark", small.folder, "--leaderboard", other)
    assert other.read_text() == "mine"


def test_a_set_with_a_hidden_seed_is_scored_with_its_key(tmp_path: Path) -> None:
    folder, key = tmp_path / "hidden", tmp_path / "key.json"
    export_set(folder, years="1911-1912", gaps=["a=1861-1862"], key=key)
    with pytest.raises(UsageError, match="seed of this set is hidden"):
        leaderboard(tmp_path, "--benchmark", folder, "--methods", "idw")
    assert not (tmp_path / "cache").exists()
    leaderboard(tmp_path, "--benchmark", folder, "--key", key, "--methods", "idw", *QUICK)
    seed = str(json.loads(key.read_text())["seed"])
    assert not any(seed in path.read_text(errors="replace") for path in (tmp_path / "out").rglob("*") if path.is_file())


def test_a_set_of_files_whose_gaps_are_found_in_the_catalogue(demo: Path, tmp_path: Path) -> None:
    (fields,) = (demo / "reanalysis/20CR").glob("*.nc")
    new = (
        "--truth-file",
        fields,
        "--period",
        "1961-1964",
        "--gaps",
        "a=1961-1962",
        "--catalogue",
        demo / "catalogue.json",
    )
    leaderboard(tmp_path, *new, "--model", "HadCRUT5", "--methods", "idw", *QUICK)
    out = tmp_path / "out"
    card = json.loads((out / "set/benchmark.json").read_text())
    assert card["truth"]["files"] == [fields.name]
    assert card["cases"][0]["gaps"].startswith("HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc: ")
    assert rows_in(out / "leaderboard.json")["idw"]["overall"]["skill"] > 0.0
    scored = ("--benchmark", out, "--methods", "climatology")
    with pytest.raises(UsageError, match="Name the file with .*truth_file"):
        leaderboard(tmp_path, *scored)
    # The truth of a training set is its first member, here the same file.
    catalogue = ("--training-data", "20cr", "--catalogue", demo / "catalogue.json")
    leaderboard(tmp_path, *scored, *catalogue, *QUICK, out="b")
    assert list(rows_in(tmp_path / "b/leaderboard.json")) == ["climatology"]


def test_methods_that_learned_from_the_truth_are_refused_before_any_runs(tmp_path: Path) -> None:
    lat, lon = np.arange(-87.5, 90, 5.0), np.arange(-177.5, 180, 5.0)
    index = files.month_numbers(1951, 48)
    values = np.random.default_rng(0).normal(0.0, 1.0, (48, 36, 72))
    described = {"units": "K", "long_name": "temperature anomaly relative to 1961-1990"}
    grid = {"lat": lat, "lon": lon, "attributes": described}
    fields = files.write(tmp_path / "fields.nc", values, index, **grid)
    values[np.random.default_rng(1).random(values.shape) < 0.6] = np.nan
    masks = files.write(tmp_path / "masks.nc", values, index, **grid)
    new = ("--truth-file", fields, "--masks", masks, "--gaps", "a=1951-1954")
    with pytest.raises(ProblemList, match="(?s)punet6 learned from 48 of the 48.*oi learned from"):
        leaderboard(tmp_path, *new, "--methods", "idw,punet6,oi", *QUICK)
    assert not list((tmp_path / "cache").rglob("idw"))


def test_a_truth_is_one_member_in_the_years_of_its_set(tmp_path: Path) -> None:
    index = files.month_numbers(1951, 60)
    about = {"units": "K", "long_name": "temperature anomaly relative to 1961-1990"}
    grid = {"lat": np.arange(-87.5, 90, 5.0), "lon": np.arange(-177.5, 180, 5.0), "attributes": about}
    one = files.write(tmp_path / "one.nc", np.random.default_rng(0).normal(size=(60, 36, 72)), index, **grid)
    both = tmp_path / "both.nc"
    with xr.open_dataset(one) as data:
        xr.concat([data, data], "member", data_vars=["tas"]).to_netcdf(both)
    sets = {
        "many": {"files": [str(both)]},
        "dated": {"files": [str(one)], "period": "1951-1953"},
        "joined": {"files": [str(one)], "join": True},
    }
    site = Site(SiteFile.model_validate({"training_data": sets}))
    for error, words, given in (
        (InputDataError, "both.nc holds 2 members", {"truth_file": str(both)}),
        (InputDataError, "both.nc holds 2 members", {"training_data": "many"}),
        (InputDataError, "joined joins files", {"training_data": "joined"}),
        (UsageError, "dated is used in 195101-195312 alone.*no period", {"training_data": "dated"}),
        (
            UsageError,
            "dated is used in 195101-195312 alone.*195201-",
            {"training_data": "dated", "period": "1952-1954"},
        ),
    ):
        with pytest.raises(error, match=words):
            BenchmarkRun.of(validate({"task": "benchmark", "masks": str(one), "methods": "none", **given}, site), site)
    given = {"training_data": "dated", "period": "1952-1953", "masks": str(one), "methods": "none"}
    assert BenchmarkRun.of(validate({"task": "benchmark", **given}, site), site).truth == (one,)
    with pytest.raises(InputDataError, match=r"both.nc holds 2 members"):
        export_set(tmp_path / "set", truth=both, masks=one)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"gaps": "../../x=1851-1880"}, "gaps: '../../x=1851-1880': '../../x' is no name"),
        ({"gaps": "a=1851-1880,a=1900-1901"}, "gaps: the name 'a' is given twice"),
        ({"gaps": "a=1851-"}, "gaps: an open period"),
        ({"period": "1900-"}, "period: an open period"),
        ({"realisations": 1}, "realisations: a single one has no spread"),
        ({"leaderboard": "/etc/passwd"}, "leaderboard: '/etc/passwd' is no page"),
        ({"submissions": "a\nb"}, "submissions: holds a line break"),
        ({"variable": "psl"}, "variable: task=benchmark takes none"),
        ({"obs_file": "x.nc"}, "obs_file: task=benchmark takes none"),
        (
            {"benchmark": "s", "gaps": "a=1851-1880", "seed": 3},
            "gaps: belongs to a set that is exported(?s:.*)seed: belongs",
        ),
        ({"benchmark": "s", "methods": "none"}, "there is nothing to score"),
        ({"key": "k.json"}, "key: belongs to a set with a hidden seed"),
        ({"truth_file": "t.nc", "training_data": "20cr"}, "truth_file: training_data is given too"),
        ({"training_data": "21cr"}, "training_data: there is no set 21cr"),
        ({"task": "evaluate", "submissions": "s"}, "submissions: belongs to task=benchmark; task=evaluate takes none"),
    ],
)
def test_parameters_that_cannot_be(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ProblemList, match=words) as caught:
        validate({"task": "benchmark", **given}, load_site())
    task = given.get("task", "benchmark leaderboard")
    assert f"'climrecon {task} --help'" in str(caught.value)


def test_what_is_recorded_is_valid_again() -> None:
    settings = validate({"task": "benchmark", "gaps": "a=1851-1880"}, load_site())
    recorded = settings.recorded()
    assert {"methods", "gaps", "submissions", "seed"} <= set(recorded)
    assert not {"variable", "obs_file", "training_data", "network"} & set(recorded)
    assert validate(recorded, load_site()).plain() == settings.plain()


def test_what_is_absent_is_named_before_anything_is_made(small: SmallSet, tmp_path: Path) -> None:
    def refused(error: type[Exception], words: str, **given: str) -> None:
        settings = validate({"task": "benchmark", "cachedir": str(tmp_path / "cache"), **given}, load_site())
        with pytest.raises(error, match=words):
            BenchmarkRun.of(settings, load_site())

    (tmp_path / "file").write_text("")
    refused(
        InputDataError,
        "gone: the file does not exist.*file: it is a file",
        submissions=f"{tmp_path}/gone,{tmp_path}/file",
    )
    refused(InputDataError, "benchmark.json", benchmark=str(tmp_path))
    refused(NetworkError, "'krigin'", methods="krigin")
    refused(UsageError, "made-up coverage", masks="ship-tracks")
    refused(
        UsageError, "is generated", benchmark=str(small.folder), truth_file=str(small.folder / small.card.cases[0].file)
    )
    refused(OutputError, "There is no folder", leaderboard=str(tmp_path / "none/board.html"))
    assert not (tmp_path / "cache").exists()


def test_problems_of_submissions_end_the_run_before_methods(small: SmallSet, tmp_path: Path) -> None:
    half = small.submit(tmp_path / "half", fair, method="half")
    (half / "sparse-noisy.nc").unlink()
    with pytest.raises(SubmissionError, match="lacks cases"):
        leaderboard(tmp_path, "--benchmark", small.folder, "--methods", "idw", "--submissions", half)
    same = small.submit(tmp_path / "same", fair, method="idw", method_version=climrecon.__version__)
    with pytest.raises(UsageError, match="has the method and version of one of methods: idw"):
        leaderboard(tmp_path, "--benchmark", small.folder, "--methods", "idw", "--submissions", same)
    assert not list((tmp_path / "cache").rglob("idw"))
    assert not (tmp_path / "out/manifest.json").exists()


def test_a_dry_run_writes_nothing(small: SmallSet, tmp_path: Path) -> None:
    answer = leaderboard(tmp_path, *LIKE_SMALL, "--methods", "auto,idw", "--submissions", small.folder, "--dryrun")
    assert "method: punet6" in answer.output
    assert "set: generated, seed 0, exported into the result; to be made" in answer.output
    assert list(tmp_path.iterdir()) == []
    answer = leaderboard(tmp_path, "--benchmark", small.folder, "--methods", "idw", "--dryrun")
    assert small.card.identity in answer.output


def test_from_python(small: SmallSet, tmp_path: Path) -> None:
    copied = small.submit(tmp_path / "copied", truth, method="copied")
    table = climrecon.benchmark(["idw"], [copied], benchmark=small.folder, cachedir=tmp_path / "cache")
    assert table.index[0] == "copied"
    assert table.loc["copied", "rmse"] == 0.0
    assert "suspicious" in table.loc["copied", "doubts"][0]
    assert table.attrs["leaderboard"]["boards"][0]["set"] == small.card.identity
    shutil.rmtree(copied)
    with pytest.raises(InputDataError, match="does not exist"):
        climrecon.benchmark(["idw"], [copied], benchmark=small.folder, cachedir=tmp_path / "cache")
