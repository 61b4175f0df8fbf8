"""SIGTERM, SIGINT and SIGKILL at the commit points of every task and of the watch, and at any time.

Nothing is lost, nothing stands twice, nothing unchecked is published, and the same command ends as if undisturbed.
"""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from climrecon.watch.releases import content_of
from helpers.faults import SECONDS, SIGNALS, Counts, Ending, call, check_ending, check_output, data_of, endings
from helpers.made_archive import MadeArchive

RECIPE = "kadow2020,masks=20,batch=4,widths=4 6,check_every=10,validation_years=1,checkpoint_seconds=0"
QUICK = ["--network", "climatology", "--compare-with", "none", "--plots", "false"]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(f'network_store = ["{tmp_path / "store"}"]\n[slurm]\nallow_local_training = true\n')
    monkeypatch.setenv("CLIMRECON_CONFIG", str(path))
    return path


@pytest.fixture
def archive(tmp_path: Path) -> MadeArchive:
    made = MadeArchive(tmp_path)
    made.mean("5.0.2.0", 24)
    return made


def demo_mean(demo: Path) -> Path:
    return next(demo.rglob("HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc"))


def command(task: str, tmp_path: Path, demo: Path) -> list[str]:
    """A quick run of a task without its output; ``tmp_path`` holds its cache."""
    cache = ["--cachedir", str(tmp_path / "cache"), "--catalogue", str(demo / "catalogue.json")]
    if task == "evaluate":
        truth = next((demo / "reanalysis" / "20CR").glob("*.nc"))
        return ["evaluate", "--truth-file", str(truth), "--period", "1961-1962", *QUICK, *cache]
    if task == "compare":
        paths = {"reanalysis": next((demo / "reanalysis" / "20CR").glob("*.nc")), "observed": demo_mean(demo)}
        products = ",".join(f"{name}={path}" for name, path in paths.items())
        return ["compare", "--products", products, "--plots", "false", *cache[:2]]
    if task == "benchmark":
        new = ["--period", "1911", "--gaps", "early=1871", "--methods", "idw,climatology"]
        return ["benchmark", "leaderboard", *new, "--plots", "false", *cache[:2]]
    if task == "withheld":
        seen = demo / "observations/HadCRUT5/HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc"
        return [
            "evaluate",
            "--obs-file",
            str(seen),
            "--withhold",
            "blocks",
            "--folds",
            "2",
            "--period",
            "1961",
            *QUICK,
            *cache[:2],
        ]
    return [
        "train", "--training-data", "cmip5", "--training-target", "tas", "--recipe", RECIPE, "--iterations", "20",
        "--network-name", "mine", "--period", "1870-1899", "--plots", "false", "--dispatch", "local", *cache,
    ]  # fmt: skip


def test_reconstruction(archive: MadeArchive, tmp_path: Path, site: Path, counts: Counts) -> None:
    """A folder that holds the result of an earlier run: it has that one, or the new one, or after a kill none."""
    (path,) = archive.folder.glob("*ensemble_mean.nc")
    run = ["reconstruct", "--obs-file", str(path), *QUICK]
    before, calm = tmp_path / "before", tmp_path / "calm"
    check_ending(call([*run, "--period", "1990-1990", "--output", str(before)], tmp_path), None)
    undisturbed = call([*run, "--output", str(calm)], tmp_path)
    check_ending(undisturbed, None)
    counts.of["points"] = len(undisturbed.points)
    assert len(undisturbed.points) > 8
    for at, number in endings(len(undisturbed.points), 1):
        output = tmp_path / "output"
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(before, output)
        counts.sent(number)
        ending = call([*run, "--output", str(output)], tmp_path, at=at, number=number)
        check_ending(ending, number)
        if check_output(output, ending.code):
            assert data_of(output) in (data_of(before), data_of(calm))
        else:
            assert number == signal.SIGKILL
        check_ending(call([*run, "--output", str(output)], tmp_path), None)
        assert check_output(output, 0)
        assert data_of(output) == data_of(calm)


def test_a_system_that_takes_no_more(archive: MadeArchive, tmp_path: Path, site: Path, counts: Counts) -> None:
    """Files of any size are refused in turn: the earlier result stays, or the new one is whole."""
    (path,) = archive.folder.glob("*ensemble_mean.nc")
    run = ["reconstruct", "--obs-file", str(path), *QUICK]
    before, output = tmp_path / "before", tmp_path / "output"
    check_ending(call([*run, "--period", "1990-1990", "--output", str(before)], tmp_path), None)
    largest = max(file.stat().st_size for file in before.iterdir()) * 2
    random, until = np.random.default_rng(6), time.monotonic() + SECONDS
    while time.monotonic() < until:
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(before, output)
        counts.of["inputs"] += 1
        ending = call([*run, "--output", str(output)], tmp_path, largest=int(largest ** random.uniform(0.5, 1.0)))
        assert ending.code in (0, 6), ending.output
        check_ending(ending, None if ending.code == 0 else signal.SIGTERM, codes=(6,))
        assert check_output(output, ending.code)
        assert (data_of(output) == data_of(before)) == (ending.code == 6)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["evaluate", "withheld", "train", "compare", "benchmark"])
def test_other_tasks(task: str, demo: Path, tmp_path: Path, site: Path, counts: Counts) -> None:
    run, output = command(task, tmp_path, demo), tmp_path / "output"
    undisturbed = call([*run, "--output", str(output)], tmp_path)
    check_ending(undisturbed, None)
    counts.of["points"] = len(undisturbed.points)
    kept, calm = tmp_path / "kept", data_of(output)
    # Members are prepared once; their preparation has tests of its own.
    shutil.copytree(tmp_path / "cache", kept, symlinks=True)
    for path in kept.glob("training/*"):
        if path.name != "members":
            shutil.rmtree(path)
    if task == "benchmark":
        shutil.rmtree(kept / "benchmark")
    if task == "withheld":
        shutil.rmtree(kept / "evaluation")  # the folds are made, and stopped, each time
    for at, number in endings(len(undisturbed.points), 2):
        for folder in (output, tmp_path / "cache", tmp_path / "store"):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(kept, tmp_path / "cache", symlinks=True)
        counts.sent(number)
        ending = call([*run, "--output", str(output)], tmp_path, at=at, number=number)
        if ending.code == 0:
            assert at > len(ending.points)  # the prepared members have fewer points
        else:
            check_ending(ending, number, codes=(130, 75))
            check_output(output, ending.code)
        check_ending(call([*run, "--output", str(output)], tmp_path), None)
        assert check_output(output, 0)
        assert data_of(output) == calm
        if task == "train":
            assert [path.name for path in (tmp_path / "store").iterdir() if path.name[0] != "."] == ["mine"]


class Watched:
    """A watch of a made-up archive, by the command line."""

    def __init__(self, archive: MadeArchive, tmp_path: Path) -> None:
        self.archive, self.folder, self.output = archive, tmp_path, tmp_path / "out"
        archive.build()
        self.run = ["watch", "--once", "--settle-seconds", "0", "--catalogue", str(archive.catalogue), *QUICK,
                    "--report", "false", "--output", str(self.output)]  # fmt: skip

    def look(self, **ended: float) -> Ending:
        return call(self.run, self.folder, **ended)

    def check_latest(self) -> str:
        """``latest`` points to a whole release that passed its checks; returns its name."""
        folder = (self.output / "latest").resolve()
        assert check_output(folder, -1)
        assert (folder / "release.json").is_file()
        assert '"passed": true' in (folder / "release.json").read_text()
        return folder.name

    def check_all(self, newest: str) -> None:
        assert self.check_latest() == newest
        found = {row["name"]: row["stage"] for row in content_of(self.output)["releases"]}
        assert set(found.values()) == {"published"}
        assert {path.name for path in (self.output / "releases").iterdir()} == set(found)
        assert not list(self.output.rglob(".*"))


def name(months: int) -> str:
    last = 1990 * 12 + months - 1
    return f"HadCRUT.5.0.2.0_199001-{last // 12:04d}{last % 12 + 1:02d}"


def test_watch(archive: MadeArchive, tmp_path: Path, site: Path, counts: Counts) -> None:
    watched = Watched(archive, tmp_path)
    check_ending(watched.look(), None)
    watched.check_all(name(24))
    start = tmp_path / "start"
    shutil.copytree(watched.output, start, symlinks=True)
    archive.mean("5.0.2.0", 25)
    undisturbed = watched.look()
    check_ending(undisturbed, None)
    watched.check_all(name(25))
    counts.of["points"] = len(undisturbed.points)
    assert len(undisturbed.points) > 20
    for at, number in endings(len(undisturbed.points), 3):
        shutil.rmtree(watched.output)
        shutil.copytree(start, watched.output, symlinks=True)
        counts.sent(number)
        ending = watched.look(at=at, number=number)
        check_ending(ending, number)
        assert watched.check_latest() in (name(24), name(25))
        check_ending(watched.look(), None)
        watched.check_all(name(25))


def test_watch_at_any_time_over_many_releases(archive: MadeArchive, tmp_path: Path, site: Path, counts: Counts) -> None:
    """A release a round: looks are ended at random times until one comes to its end; with an hour, 200 of 20 releases."""
    watched = Watched(archive, tmp_path)
    calm = watched.look()
    check_ending(calm, None)
    random, until = np.random.default_rng(4), time.monotonic() + SECONDS
    for months in range(25, 45):
        archive.mean("5.0.2.0", months)
        for _ in range(10):
            number = SIGNALS[random.integers(len(SIGNALS))]
            ending = watched.look(number=number, after=float(random.uniform(0.0, calm.seconds)))
            counts.sent(number)
            if ending.code == 0:
                if SECONDS < 60:
                    break
                continue
            # Before the command has handlers of its own, a signal ends it as any program.
            check_ending(ending, number, codes=(130, -number))
            assert watched.check_latest() in (name(months - 1), name(months))
        check_ending(watched.look(), None)
        watched.check_all(name(months))
        if time.monotonic() > until:
            break
