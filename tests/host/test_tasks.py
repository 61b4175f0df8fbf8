"""Evaluation, comparison and benchmark through the real Freva."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from host.test_freva import Host

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def host(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host(tmp_path_factory.mktemp("tasks"), demo, None)


def test_an_evaluation(host: Host, demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(host.environment, "OMP_NUM_THREADS", "1")
    truth = next((demo / "reanalysis" / "20CR").glob("*.nc"))
    call = ("plugin", "climrecon", "task=evaluate", f"truth_file={truth}", "period=1961-1962", "compare_with=idw,oi")
    plan = host.freva(*call, "dryrun=true")
    assert "methods: punet6, idw, oi, and raw_mean; differences to idw" in plan.stdout
    answer = host.freva(*call, timeout=900)
    assert answer.returncode == 0, answer.stdout
    assert host.statuses()[0] == "finished"
    folder = host.newest()
    content = json.loads((folder / "scores.json").read_text())
    assert list(content["scores"]) == ["raw_mean", "punet6", "idw", "oi"]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {"scores", "figure", "provenance", "report"} <= {entry["role"] for entry in manifest["outputs"]}


def test_a_comparison(host: Host, demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(host.environment, "OMP_NUM_THREADS", "1")
    paths = {"reanalysis": "reanalysis/20CR/*.nc", "observed": "**/HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc"}
    products = ",".join(f"{name}={next(demo.glob(pattern))}" for name, pattern in paths.items())
    refused = host.freva("plugin", "climreconcompare", f"products={products},gone=/no/such/file.nc")
    assert refused.returncode == 2
    assert "There is no file /no/such/file.nc" in refused.stdout, refused.stdout
    answer = host.freva("plugin", "climrecon", "task=compare", f"products={products}", timeout=900)
    assert answer.returncode == 0, answer.stdout
    assert host.statuses()[0] == "finished"
    content = json.loads((host.newest() / "comparison.json").read_text())
    assert list(content["products"]) == ["reanalysis", "observed"]
    assert (host.newest() / "report.html").is_file()


def test_a_leaderboard(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(host.environment, "OMP_NUM_THREADS", "1")
    small = ("period=1911-1912", "options=plots=false", "gaps=early=1871-1872", "methods=idw,climatology")
    refused = host.freva(
        "plugin", "climreconbenchmark", *small, f"submissions={tmp_path}/gone", "leaderboard=/etc/passwd"
    )
    assert refused.returncode == 2
    assert "leaderboard: '/etc/passwd' is no page" in refused.stdout, refused.stdout
    gone = host.freva("plugin", "climreconbenchmark", *small, f"submissions={tmp_path}/gone")
    assert gone.returncode == 2
    assert f"{tmp_path}/gone: the file does not exist" in gone.stdout, gone.stdout
    answer = host.freva("plugin", "climreconbenchmark", *small, f"leaderboard={tmp_path}/board.html", timeout=900)
    assert answer.returncode == 0, answer.stdout
    assert "idw" in (tmp_path / "board.html").read_text()
    folder = host.newest("climreconbenchmark")
    rows = json.loads((folder / "leaderboard.json").read_text())["boards"][0]["rows"]
    assert [row["method"] for row in rows] == ["idw", "climatology"]
    shown = host.python(
        "import freva\n(row,) = freva.history(limit=1, return_results=True)\nprint(list(row['result']))"
    ).stdout
    for name in ("leaderboard.html", "report.html", "set/inputs/early-noisy.nc"):
        assert f"{folder}/{name}" in shown, shown
