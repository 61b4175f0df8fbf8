"""The command line: exit codes, what a look without news costs, the listing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from climrecon.errors import NoDataError, UsageError
from climrecon.settings.site import Site, SiteFile
from climrecon.settings.watch import Watch
from climrecon.watch.context import Options
from climrecon.watch.releases import content_of, decide, lines
from climrecon.watch.watcher import look
from climrecon.workflow.progress import Quiet
from helpers.made_archive import field
from watch.conftest import Watching

ROOT = Path(__file__).resolve().parents[2]

#: Runs the command line, then says on standard error which libraries it loaded and which data files it opened.
SPY = """
import sys
opened = []
sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)
from climrecon.cli import main
try:
    main()
finally:
    heavy = {"torch", "xarray", "intake_esm", "pandas", "netCDF4", "matplotlib", "scipy", "numpy", "jinja2"}
    print("LOADED", sorted(heavy & set(sys.modules)), file=sys.stderr)
    print("OPENED", sorted(n for n in opened if n.endswith((".nc", "catalogue.json"))), file=sys.stderr)
"""


def climrecon(*arguments: str, spy: bool = False) -> subprocess.CompletedProcess[str]:
    start = ["-c", SPY] if spy else ["-m", "climrecon"]
    return subprocess.run(
        [sys.executable, *start, *arguments], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "CLIMRECON_CONFIG": ""},
    )  # fmt: skip


def test_a_look_without_news_loads_no_library_and_opens_no_data(watching: Watching) -> None:
    watching.archive.mean("5.0.2.0", 24)
    watching.archive.members("5.0.2.0", range(1, 21), 24)
    watching.archive.build()
    arguments = [
        "watch", "--once", "--catalogue", str(watching.archive.catalogue), "--output", str(watching.output),
        "--network", "climatology", "--compare-with", "none", "--plots", "false", "--report", "false",
    ]  # fmt: skip
    first = climrecon(*arguments, "--settle-seconds", "0", "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["ran"] is True
    again = climrecon(*arguments, spy=True)
    assert again.returncode == 0
    assert again.stdout == "Nothing to do: HadCRUT.5.0.2.0_199001-199112 is the current release.\n"
    assert "LOADED []" in again.stderr
    assert "OPENED []" in again.stderr
    # A monthly update that is still being copied: the search needs its libraries, but reads no data, and no torch.
    watching.archive.mean("5.0.2.0", 25)
    waiting = climrecon(*arguments, spy=True)
    assert waiting.returncode == 20
    assert "Waiting" in waiting.stdout
    assert "torch" not in waiting.stderr
    assert "netCDF4" not in waiting.stderr
    assert ".nc" not in waiting.stderr.split("OPENED")[1]


def test_wrong_parameters_and_an_absent_catalogue_have_their_codes(tmp_path: Path) -> None:
    wrong = climrecon("watch", "--once", "--output", str(tmp_path / "o"), "--dryrun", "true")
    assert wrong.returncode == 2
    assert "dryrun" in wrong.stderr
    assert climrecon("watch", "--once", "--catalogue", "c.json").returncode == 2
    missing = climrecon("watch", "--once", "--catalogue", "no/catalogue.json", "--output", str(tmp_path / "o"))
    assert missing.returncode == 3
    assert "cannot be reached" in missing.stderr
    assert climrecon("releases", "--output", str(tmp_path)).returncode == 3
    assert climrecon("watch", "--once", "--output", str(tmp_path / "o"), "--keep", "-2").returncode == 2
    assert climrecon("watch", "--once", "--output", str(tmp_path / "o"), "--rebuild", str(tmp_path)).returncode == 2


def test_without_once_it_looks_again_and_again_until_it_is_stopped(watching: Watching) -> None:
    watching.archive.mean("5.0.2.0", 24)
    watching.archive.build()
    child = subprocess.Popen(
        [
            sys.executable, "-u", "-m", "climrecon", "watch", "--interval", "0.1", "--json", "--settle-seconds", "3600",
            "--catalogue", str(watching.archive.catalogue), "--output", str(watching.output), "--network", "climatology",
            "--compare-with", "none", "--plots", "false", "--report", "false",
        ], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
    )  # fmt: skip
    assert child.stdout
    answers = [json.loads(child.stdout.readline()) for _ in range(4)]
    child.terminate()
    assert child.wait(120) == 130
    assert [(answer["code"], answer["ran"]) for answer in answers] == [(20, False), (0, True), (0, False), (0, False)]


def test_releases_are_listed_for_people_and_programs(watching: Watching) -> None:
    path = watching.archive.mean("5.0.2.0", 24)
    watching.archive.build()
    watching()
    watching.archive.mean("5.0.2.0", 25)
    watching()
    path.rename(path.with_suffix(".away"))
    watching()
    shown = "\n".join(lines(watching.output, content_of(watching.output)))
    assert "* HadCRUT.5.0.2.0_199001-199201" in shown
    assert "1 new months, 0 earlier months changed" in shown
    assert "latest -> releases/HadCRUT.5.0.2.0_199001-199201" in shown
    assert "stopped (withdrawn)" in shown
    assert "exit code 22" in shown
    known = json.loads(json.dumps(content_of(watching.output)))
    assert [row["stage"] for row in known["releases"]] == ["published", "published"]
    assert known["releases"][1]["network"] == "climatology"
    assert known["releases"][1]["settings"]["keep_observed"] is True
    assert {check["outcome"] for check in known["releases"][1]["checks"]} <= {"passed", "skipped"}
    assert known["stops"][0]["kind"] == "withdrawn"


def test_there_must_be_something_to_decide(watching: Watching) -> None:
    watching.archive.mean("5.0.2.0", 24)
    watching.archive.build()
    with pytest.raises(NoDataError):
        decide(watching.output, accept=None, confirm=True, retry=False)
    watching()
    for what in ({"accept": "x"}, {"confirm": True}, {"retry": True}):
        with pytest.raises(UsageError):
            decide(watching.output, **{"accept": None, "confirm": False, "retry": False, **what})  # type: ignore[arg-type]


def test_the_change_report_tells_and_shows_what_changed(watching: Watching) -> None:
    """A correction and a new month: netCDF, table and maps, self-contained and escaped."""
    watching.raw.update(network="idw")
    watching.archive.mean("5.0.2.0", 36)
    watching.archive.build()
    watching()
    watching.raw.update(plots=True)
    first = (watching.output / "latest" / "changes.html").read_text()
    assert "This is the first release here." in first
    values = field(37)
    values[30, 20, 30] = 1.234
    gone = np.argwhere(np.isfinite(values[20]))[5]
    values[20, gone[0], gone[1]] = np.nan
    watching.archive.mean("5.0.2.0", values=values)
    assert watching().code == 0
    folder = watching.output / "latest"
    page = (folder / "changes.html").read_text()
    for text in (
        "1 new month",
        "1993-01",
        "the input changed in 2 of the 36 earlier months",
        "1992-07",
        "Passed all checks",
    ):
        assert text in page
    assert page.count("data:image/png;base64,") == 2
    assert "http://" not in page
    assert "https://" not in page
    with netCDF4.Dataset(folder / "changes.nc") as file:
        status = file["input_status"][:]
        assert status.shape == (37, 36, 72)
        assert np.ma.getmaskarray(status)[36].all()
        assert [int((status == k).sum()) for k in (1, 2, 3)] in ([1, 0, 1], [0, 1, 1])
        change = np.ma.filled(file["reconstruction_change"][:36], np.nan)
        assert np.isfinite(change).all()
        assert {int(month) for month in np.flatnonzero(np.abs(change).max((1, 2)) > 0)} == {20, 30}
        before = np.ma.filled(file["global_mean_before"][:], np.nan)
        assert np.isnan(before[36])
        observed = np.ma.filled(file["observed"][:], np.nan)
        assert observed[30, 20, 30] == pytest.approx(1.234, abs=1e-4)
        assert file["time"].units == "days since 1850-01-01 00:00:00"


def test_names_in_the_change_report_are_escaped(tmp_path: Path) -> None:
    from climrecon.watch.change_report import write_change_report
    from climrecon.watch.changes import compare, summary
    from climrecon.watch.checks import Check
    from watch.test_acceptance import made

    evil = "<script>alert(1)</script>"
    changes = compare(made(3, name=evil, network=evil), None)
    path = tmp_path / "changes.html"
    check = Check(evil, "failed", evil)
    page = {"summary": summary(changes), "checks": [check], "inputs": {evil: evil}, "notes": [evil], "when": evil}
    write_change_report(path, changes, {**page, "no_comparison": evil}, draw=False)
    assert "<script>alert" not in path.read_text()
    assert path.read_text().count("&lt;script&gt;") >= 8


def test_results_of_other_reference_periods_and_kept_cells(watching: Watching) -> None:
    watching.raw.update(keep_observed=False, network="idw")
    watching.archive.mean("5.0.2.0", 24)
    watching.archive.build()
    answer = look(
        {"catalogue": str(watching.archive.catalogue), **watching.raw, "outputdir": str(watching.output)},
        Site(SiteFile()), Options(Watch(settle_seconds=0)), Quiet(),
    )  # fmt: skip
    assert answer.code == 0
    state = watching.state()
    (release,) = state.releases()
    state.close()
    found = {check["name"]: check for check in release.content["checks"]}
    assert found["observed_unchanged"]["outcome"] == "skipped"
    assert "keep_observed=false" in found["observed_unchanged"]["found"]
    watching.archive.mean("5.0.2.0", 25)
    assert watching().code == 0  # the input of both is known all the same
    assert "0 earlier months changed" in "\n".join(lines(watching.output, content_of(watching.output)))
