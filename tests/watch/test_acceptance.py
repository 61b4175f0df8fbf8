"""Acceptance checks, publishing, retention, notifications."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from climrecon.fields import Estimate
from climrecon.grid import FIVE_DEGREES
from climrecon.methods.simple import Climatology
from climrecon.settings.watch import Checks, Watch
from climrecon.variables import VARIABLES
from climrecon.watch import codes, notify
from climrecon.watch.changes import APPEARED, CORRECTED, GONE, SAME, Result, compare, summary
from climrecon.watch.checks import ExpectedResult, failures, run_checks
from climrecon.watch.releases import decide
from watch.conftest import Watching

MASK = np.random.default_rng(3).random((1, 36, 72)) < 0.5


def made(months: int, **changed: Any) -> Result:
    """A plausible result: observed cells kept, the rest filled, an error everywhere."""
    rng = np.random.default_rng(5)
    analysis = 0.2 * rng.normal(size=(48, 36, 72)).astype(np.float32)[:months]
    observed = np.where(MASK, analysis + 0.01, np.nan)
    grid = FIVE_DEGREES
    parts = {
        "name": "new", "months": np.arange(24000, 24000 + months), "lat": grid.lat,
        "lon": grid.lon, "lat_bounds": np.stack([grid.lat_edges[:-1], grid.lat_edges[1:]], 1),
        "lon_bounds": np.stack([grid.lon_edges[:-1], grid.lon_edges[1:]], 1), "area": grid.area,
        "field": np.where(np.isfinite(observed), observed, analysis).astype(np.float32), "analysis": analysis,
        "stddev": np.full(analysis.shape, 0.3, np.float32),
        "status": np.where(np.isfinite(observed), 1, 2).astype(np.int8), "observed": observed,
        "network": "punet6", "network_sha256": "ab", "variable": "tas",
    }  # fmt: skip
    return Result(**{**parts, **changed})


def found(new: Result, previous: Result | None = None, *, limits: Checks | None = None, **asked: Any) -> list[str]:
    wanted = {"months": new.months, "why_not_kept": "", "same_method": True, **asked}
    return failures(run_checks(compare(new, previous), ExpectedResult(**wanted), limits or Checks()))


def changed(field: np.ndarray, where: Any, value: Any) -> np.ndarray:
    copy = field.copy()
    copy[where] = value
    return copy


def test_a_good_result_passes_alone_and_after_another() -> None:
    assert not found(made(24))
    assert not found(made(26), made(24, name="old"))


def test_each_check_finds_what_it_is_for() -> None:
    new, old = made(26), made(24, name="old")
    spot = (5, *np.argwhere(MASK[0])[0])
    gap = (5, *np.argwhere(~MASK[0])[0])
    cases: dict[str, tuple[Result, dict[str, Any]]] = {
        "complete: 1 months of the input": (new, {"months": np.append(new.months, 30000)}),
        "complete: tas.nc": (replace(new, damaged="tas.nc is not the file that its manifest describes"), {}),
        "finite: 1 values of the field": (replace(new, field=changed(new.field, gap, np.inf)), {}),
        "finite: 1 values of the standard": (replace(new, stddev=changed(new.stddev, gap, np.nan)), {}),
        "observed_unchanged: 1 observed": (replace(new, field=changed(new.field, spot, 9.0)), {}),
        "observed_unchanged: 0 observed": (replace(new, status=changed(new.status, gap, 1)), {}),
        "unchanged_input: in 22 months": (replace(new, analysis=changed(new.analysis, 7, 1.0)), {}),
        "global_mean: the area mean changed": (replace(new, field=new.field + np.float32(0.2)), {}),
        "new_months: from month to month": (replace(new, field=changed(new.field, 25, 1.5)), {}),
        "uncertainty: the smallest": (replace(new, stddev=changed(new.stddev, gap, 0.0)), {}),
        "uncertainty: the largest": (replace(new, stddev=changed(new.stddev, gap, 30.0)), {}),
        "uncertainty: on average": (replace(new, stddev=new.stddev * 2), {}),
    }  # fmt: skip
    for text, (result, asked) in cases.items():
        told = found(result, old, **asked)
        assert any(line.startswith(text) for line in told), (text, told)
    assert any("months of the release before are missing" in text for text in found(made(22), made(24)))
    assert not found(made(22), made(24), lost_allowed=True)


def test_limits_are_those_of_the_variable() -> None:
    """A pressure in Pa is judged as a temperature in K is; a limit that the site states is in Pa."""
    scale = np.float32(VARIABLES["psl"].scale)

    def pressure(result: Result) -> Result:
        parts = {name: getattr(result, name) * scale for name in ("field", "analysis", "stddev", "observed")}
        return replace(result, variable="psl", **parts)

    old, new = made(24, name="old"), made(26)
    assert not found(pressure(new), pressure(old))
    warmer = replace(new, field=new.field + np.float32(0.2))
    assert any(line.endswith("allowed 45 Pa)") for line in found(pressure(warmer), pressure(old)))
    stated = Checks(global_mean_jump=61.0)
    assert not any(line.startswith("global_mean") for line in found(pressure(warmer), pressure(old), limits=stated))


def test_what_cannot_be_checked_is_no_failure() -> None:
    new, old = made(26), made(24, name="old")
    assert not found(replace(new, analysis=new.analysis + 1), old, same_method=False)
    assert not found(replace(new, stddev=None), old)
    assert not found(replace(new, observed=None), old)
    assert not found(replace(new, field=new.field + np.float32(1e-6)), old)
    skip = Checks(skip=["global_mean", "observed_unchanged"])
    assert not found(replace(new, field=new.field + np.float32(0.2)), old, limits=skip)


def test_changed_cells_are_told_apart() -> None:
    old = made(24, name="old")
    seen, gap = np.argwhere(MASK[0])[:2], np.argwhere(~MASK[0])[0]
    observed = old.observed.copy()
    observed[3, *seen[0]] += 0.5
    observed[4, *seen[1]] = np.nan
    observed[5, *gap] = 1.0
    changes = compare(made(25, observed=np.concatenate([observed, made(25).observed[24:]])), old)
    status = changes.input_status
    assert (status[3, *seen[0]], status[4, *seen[1]], status[5, *gap]) == (CORRECTED, GONE, APPEARED)
    assert (status != SAME).sum() == 3
    told = summary(changes)
    assert told["cells"] == {"same": status.size - 3, "corrected": 1, "appeared": 1, "gone": 1}
    assert (told["changed_months"], told["new_months"]) == (3, ["2002-01"])
    assert told["largest_input_change"] == pytest.approx(0.5)


def test_a_failing_check_keeps_the_old_release_and_a_person_may_accept(
    watching: Watching, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    watching.archive.mean("5.0.2.0", 24)
    watching.archive.build()
    watching()
    old = watching.latest
    warm = lambda self, values, *rest: Estimate(mean=np.full(values.shape, 0.5, np.float32))  # noqa: E731
    monkeypatch.setattr(Climatology, "reconstruct", warm)
    watching.archive.mean("5.0.2.0", 25)
    for _ in range(3):
        held = watching()
        assert (held.code, watching.runs, watching.latest) == (codes.HELD, 2, old)
        assert "unchanged_input: in 22 months" in held.message
        assert "0.5000 K" in held.message
    folder = watching.output / "releases" / "HadCRUT.5.0.2.0_199001-199201"
    assert not json.loads((folder / "release.json").read_text())["passed"]
    assert "Held back" in (folder / "changes.html").read_text()
    decide(watching.output, accept=folder.name, confirm=False, retry=False)
    assert (watching().code, watching.runs, watching.latest) == (0, 2, folder.name)
    # The next one is compared with what was accepted.
    watching.archive.mean("5.0.2.0", 26)
    assert (watching().code, watching.runs) == (0, 3)


def test_retention_keeps_the_newest(watching: Watching) -> None:
    watching.settings["keep"] = 2
    watching.archive.mean("5.0.2.0", 24)
    watching.archive.build()
    for months in range(24, 28):
        watching.archive.mean("5.0.2.0", months)
        assert watching().code == 0
    kept = sorted(path.name for path in (watching.output / "releases").iterdir())
    assert kept == ["HadCRUT.5.0.2.0_199001-199202", "HadCRUT.5.0.2.0_199001-199203"]
    assert watching.latest == kept[-1]
    assert list(watching.stages().values()) == ["removed", "removed", "published", "published"]


def test_event_commands_get_json_and_variables_once_for_each_event(watching: Watching, tmp_path: Path) -> None:
    log = tmp_path / "log; rm -rf $HOME"
    program = tmp_path / "hook"
    program.write_text('#!/bin/sh\ncat >> "$1"\necho "$CLIMRECON_EVENT $CLIMRECON_EVENT_RELEASE" >> "$1.variables"\n')
    program.chmod(0o755)
    watching.settings["on_event"] = [shlex.join([str(program), str(log)])]
    path = watching.archive.mean("5.0.2.0", 24)
    watching.archive.build()
    for _ in range(2):
        watching()
    path.rename(path.with_suffix(".away"))
    for _ in range(2):
        assert watching().code == codes.STOPPED
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [event["event"] for event in events] == ["published", "stopped"]
    assert Path(events[0]["report"]).is_file()
    assert events[0]["summary"]["months"] == 24
    name = "HadCRUT.5.0.2.0_199001-199112"
    variables = log.with_name(f"{log.name}.variables").read_text().splitlines()
    assert variables == [f"published {name}", f"stopped {name}"]


def test_an_event_whose_command_failed_is_delivered_by_the_next_look(watching: Watching, tmp_path: Path) -> None:
    program = tmp_path / "hook"
    program.write_text(f"#!/bin/sh\ntest -e {tmp_path}/ready || exit 3\ncat >> {tmp_path}/log\n")
    program.chmod(0o755)
    watching.settings["on_event"] = str(program)
    watching.archive.mean("5.0.2.0", 24)
    watching.archive.build()
    assert [watching().code for _ in range(2)] == [0, 0]
    assert watching.latest  # published all the same
    (tmp_path / "ready").touch()
    assert [watching().code for _ in range(3)] == [0, 0, 0]
    assert len((tmp_path / "log").read_text().splitlines()) == 1
    assert watching.runs == 1


def test_a_command_that_hangs_or_is_missing_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    event = {"event": "held", "release": "a\0b", "message": "x" * 200_000, "code": 21}
    monkeypatch.setattr(notify, "TIME_LIMIT", 0.2)
    (late,) = notify.deliver(Watch(on_event=["sleep 30"]), event)
    assert "no answer within 0.2 s" in late
    absent, failed = notify.deliver(Watch(on_event=["no-such-program", "sh -c 'echo why >&2; exit 4'"]), event)
    assert "no-such-program is not on this host" in absent
    assert "exit code 4): why" in failed
    assert notify.deliver(Watch(on_event=["true"]), event) == []  # which does not read its input


def test_settings_of_before_still_deliver_and_say_their_new_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for ``mail`` that writes down its arguments and its standard input."""
    (tmp_path / "mail").write_text(f'#!/bin/sh\nprintf "%s|" "$@" > {tmp_path}/args\ncat > {tmp_path}/input\n')
    (tmp_path / "mail").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    watch = Watch(mail_to="ops@example.org", notify=["/bin/sh", "-c", f"cat > '{tmp_path}/second'"])
    assert notify.deliver(watch, {"event": "held", "release": "r", "message": "why", "code": 21}) == []
    assert (tmp_path / "args").read_text() == "-s|climrecon|ops@example.org|"
    assert json.loads((tmp_path / "input").read_text())["message"] == "why"
    assert (tmp_path / "second").read_text() == (tmp_path / "input").read_text()
    program, mail = watch.notes
    assert "on_event = 'mail -s climrecon ops@example.org'" in mail
    assert program.startswith("[watch] notify")


@pytest.mark.parametrize(
    "wrong",
    [
        {"mail_to": "-oQ/tmp"},
        {"notify": ["./hook"]},
        {"on_event": "./hook"},
        {"on_event": ["a 'b"]},
        {"on_event": " "},
        {"keep": -1},
        {"checks": {"nonsense": 1}},
        {"settle": 3},
    ],
)
def test_wrong_site_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Watch.model_validate(wrong)
