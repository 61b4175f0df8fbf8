"""From a release that is due to one that is published: run, check, report, publish, tell.

The stage of a release is in the state; each step here leads from one stage to the next and may be repeated.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.errors import ClimReconError, DependencyError, InputDataError, Interrupted, OutputError
from climrecon.files import write_text
from climrecon.output.provenance import read_provenance
from climrecon.pipeline.reporting import Reporter
from climrecon.releases import codes, commands, publishing, state
from climrecon.releases.change_file import write_changes
from climrecon.releases.change_report import write_change_report
from climrecon.releases.changes import Changes, compare, summary
from climrecon.releases.checks import Asked, Check, failed_to_read, failures, of_state, run_checks
from climrecon.releases.lock import identity, runs
from climrecon.releases.notifying import tell
from climrecon.releases.results import CHANGES, Result, read_result
from climrecon.releases.state import Release, State
from climrecon.settings import RunSettings, Site, validate
from climrecon.settings.watch import Watch

REPORT = "changes.html"
FACTS = "release.json"
LOG = "run.log"


@dataclass(frozen=True)
class Work:
    """What the steps need."""

    raw: Mapping[str, Any]
    site: Site
    watch: Watch
    reporter: Reporter
    output: Path
    state: State
    through: str
    freva: str


@dataclass(frozen=True)
class Done:
    """Where a release stands; not ``final`` if the next look has something to do."""

    code: int
    message: str
    release: str
    ran: bool = False
    final: bool = True


def advance(work: Work, release: Release, *, resumed: bool = False) -> Done | None:
    """Bring a release as far as it goes.

    Parameters
    ----------
    resumed:
        An earlier look left it unfinished: what was run is finished, but nothing is run, since nobody looked yet
        whether the input is still there. None then, if it has to be run.
    """
    ran = False
    folder = publishing.folder_of(work.output, release.name)
    if release.stage == state.PUBLISHED and not publishing.whole(folder):
        release = work.state.update(release, stage=state.DUE)  # someone removed it by hand
    if release.stage == state.RUNNING:
        child = release.content.get("child")
        if child and runs(child) is not False:
            where = f"process {child['pid']} on {child['host']}"
            return Done(
                codes.WAITING, f"Waiting: the run of {release.name} goes on ({where}).", release.name, final=False
            )  # fmt: skip
        release = _after_run(work, release)
    again = release.stage in (state.DUE, state.REMOVED, state.SUPERSEDED) or (
        release.stage == state.FAILED and _may_retry(work, release)
    )
    if again:
        if resumed:
            return None
        release, ran = _run(work, release), True
        if release.stage == state.DUE:
            release = _failed(work, release, "The run ended without a result.", 1)
    changes: Changes | None = None
    if release.stage == state.MADE:
        release, changes = _check(work, release)
    if release.stage == state.CHECKED:
        release = _report(work, release, changes)
    if release.stage == state.REPORTED:
        release = _publish(work, release)
    if release.stage == state.PUBLISHED:
        # The link is mended if someone broke it; an earlier release that is found again becomes the current one.
        publishing.switch(work.output, release.name)
        if work.state.get("current") != release.name:
            release = work.state.make_current(release)
    return _told(work, release, ran)


def _may_retry(work: Work, release: Release) -> bool:
    code = int(release.content.get("code", 1))
    return code in codes.SURROUNDINGS or release.attempts < work.watch.attempts


# Running.
def _run(work: Work, release: Release) -> Release:
    folder = publishing.folder_of(work.output, release.name)
    publishing.remove(work.output, release.name)
    release = work.state.update(
        release, stage=state.RUNNING, attempts=release.attempts + 1, child=None, error="", code=0, told=""
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if work.through == "freva":
            _run_through_freva(work, release, folder)
        else:
            from climrecon.pipeline.tasks import run_task

            settings = validate({**work.raw, "outputdir": str(folder)}, work.site)
            run_task(settings, work.site, work.reporter, {"id": f"watch-{release.id}", "host": "watch"})
    except Interrupted:
        raise
    except ClimReconError as error:
        return _failed(work, release, str(error), error.exit_code)
    except OSError as error:
        return _failed(work, release, f"{type(error).__name__}: {error}", OutputError.exit_code)
    # Whatever a run raises must not keep the watch from saying so, and from trying again.
    except Exception as error:
        return _failed(work, release, f"{type(error).__name__}: {error}", 1)
    return _after_run(work, release)


def _run_through_freva(work: Work, release: Release, folder: Path) -> None:
    """Let the host run it, so that it is in the history.

    The host ends most failures with 0, so the manifest tells; its lines stand in the release's log.
    """
    if not work.freva:
        raise DependencyError(
            "The program freva is not found.", "Load its module, or name it with --freva /path/to/freva."
        )
    values = {name: value for name, value in work.raw.items() if name != "outputdir" and value is not None}
    command = [work.freva, "plugin", "--unique-output", "false", "--json", "climrecon"]
    command += [
        f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in values.items()
    ]
    command.append(f"outputdir={folder}")
    work.reporter.stage(f"Running {release.name} through Freva")
    log = work.output / f"{release.name}.{LOG}"
    log.unlink(missing_ok=True)
    code = commands.run_logged(
        command, log, lambda pid: _note_child(work, release, pid), {**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    if publishing.whole(folder):
        log.replace(folder / LOG)
        return
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:])
    raise _HostFailed(
        f"The host's run of {release.name} left no result (exit code {code}); {log} ends with:\n{tail}", code
    )


class _HostFailed(ClimReconError):
    """A run through the host that failed; the exit code is the child's, where the host passes it on."""

    def __init__(self, message: str, code: int | None) -> None:
        super().__init__(message, None)
        self.exit_code = code if code and code > 0 else 1


def _note_child(work: Work, release: Release, pid: int) -> None:
    work.state.update(release, child=identity(pid))


def _after_run(work: Work, release: Release) -> Release:
    """What a run left: a whole result of the right input, or nothing."""
    folder = publishing.folder_of(work.output, release.name)
    if not publishing.whole(folder):
        publishing.remove(work.output, release.name)
        return work.state.update(release, stage=state.DUE, child=None)
    try:
        recorded = read_provenance(folder / "provenance.json")
    except InputDataError as error:
        publishing.remove(work.output, release.name)
        return _failed(work, release, error.message, error.exit_code)
    digest = hashlib.sha256(json.dumps(sorted(recorded.inputs.values())).encode()).hexdigest()
    if digest != release.digest:
        publishing.remove(work.output, release.name)
        told = "The input changed while the run was going; it is looked at anew."
        return _failed(work, release, told, Interrupted.exit_code)
    return work.state.update(release, stage=state.MADE, child=None, network_sha256=recorded.network_sha256)


def _failed(work: Work, release: Release, text: str, code: int) -> Release:
    return work.state.update(release, stage=state.FAILED, child=None, error=text, code=code)


# Checking and reporting.
def _check(work: Work, release: Release) -> tuple[Release, Changes | None]:
    work.reporter.stage(f"Checking {release.name}")
    try:
        changes, asked = _compared(work, release)
    except InputDataError as error:
        checks = failed_to_read(error.message)
        done = {"checks": [check.as_dict() for check in checks], "changes": None}
        return work.state.update(release, stage=state.CHECKED, **done), None
    checks = run_checks(changes, asked, work.watch.checks)
    release = work.state.update(
        release,
        stage=state.CHECKED,
        checks=[check.as_dict() for check in checks],
        changes=summary(changes),
    )
    return release, changes


def _settings(work: Work, release: Release) -> RunSettings:
    return validate({**work.raw, **release.content["settings"]}, work.site)


def _compared(work: Work, release: Release) -> tuple[Changes, Asked]:
    """The result beside its input and the release before."""
    settings = _settings(work, release)
    folder = publishing.folder_of(work.output, release.name)
    observed, months, kept, why = _input(work, release, settings)
    result = read_result(folder, settings.variable, observed)
    previous, before = _previous(work, release, settings)
    same = (
        previous is not None
        and previous.settings_digest == release.settings_digest
        and before is not None
        and before.network_sha256 == result.network_sha256
    )
    asked = Asked(
        months=result.months if months is None else months,
        kept=kept,
        why=why,
        same_method=same,
        lost_allowed=bool(release.content.get("confirmed")),
    )
    return compare(result, before), asked


def _previous(work: Work, release: Release, settings: RunSettings) -> tuple[Release | None, Result | None]:
    current = work.state.current()
    if current is None or current.name == release.name:
        return None, None
    try:
        return current, read_result(publishing.folder_of(work.output, current.name), settings.variable)
    except (InputDataError, OSError) as error:
        work.reporter.warning(f"the current release cannot be compared with: {error}")
        return None, None


def _input(
    work: Work, release: Release, settings: RunSettings
) -> tuple[NDArray[Any] | None, NDArray[np.int64] | None, bool, str]:
    """What the run read, in the file's order: values, months, whether they must come back, else why not."""
    from climrecon.files import sha256_of
    from climrecon.preprocess import PrepareRequest, read_observations
    from climrecon.preprocess.regrid import file_order

    main = [Path(path) for path in release.content["files"]["main"]]
    known = release.content["inputs"]
    try:
        if any(sha256_of(path) != known[str(path)] for path in main):
            return None, None, False, "the input has changed since it was run"
        request = PrepareRequest(
            variable=settings.variable,
            values=settings.values,
            period=settings.period or (None, None),
            reference_period=settings.reference_period.years,
            facets=release.content["facets"],
        )
        observations = read_observations(main, request)
    except (ClimReconError, OSError, KeyError) as error:
        return None, None, False, f"the input cannot be read again: {error}"
    values = file_order(np.where(observations.mask, observations.values, np.nan), observations.source)
    months = np.asarray(observations.time.index, dtype=np.int64)
    if not settings.keep_observed:
        return values, months, False, "keep_observed=false: observed cells are not kept"
    if observations.reference_period not in (None, settings.reference_period.years):
        return values, months, False, "the result refers to another reference period than the input"
    return values, months, True, ""


def _report(work: Work, release: Release, changes: Changes | None) -> Release:
    work.reporter.stage(f"Writing what {release.name} changed")
    folder = publishing.folder_of(work.output, release.name)
    if changes is None:
        try:
            changes, _ = _compared(work, release)
        except InputDataError:
            return work.state.update(release, stage=state.REPORTED)
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    checks = of_state(release.content["checks"])
    why = ""
    if changes.previous is None and (current := work.state.current()) and current.name != release.name:
        why = f"It cannot be compared with {current.name}, which is on another grid or cannot be read."
    previous = changes.previous.name if changes.previous else ""
    about = {
        "title": f"What changed: {release.name}",
        "comment": f"compared with {previous}" if previous else "nothing to compare with",
        "climrecon_release": release.name,
        "climrecon_release_before": previous,
    }
    try:
        write_changes(folder / CHANGES, changes, about)
        write_change_report(
            folder / REPORT, changes, release.content["changes"], checks, release.content["inputs"],
            release.content.get("notes", []), when, why_nothing=why, draw=_settings(work, release).plots,
        )  # fmt: skip
        _facts(folder, release, checks)
    except OSError as error:
        raise OutputError(
            f"The change report cannot be written to {folder}: {error}", "Free some space."
        ) from error
    return work.state.update(release, stage=state.REPORTED)


def _facts(folder: Path, release: Release, checks: list[Check]) -> None:
    """What the state knows of the release, beside its files."""
    parts = (
        "header",
        "inputs",
        "settings",
        "network",
        "network_sha256",
        "checks",
        "changes",
        "confirmed",
        "accepted",
    )
    content = {name: release.content[name] for name in parts if name in release.content}
    about = {"name": release.name, "seen_at": release.seen_at, "passed": not failures(checks), **content}
    write_text(folder / FACTS, json.dumps(about, indent=1) + "\n")


# Publishing.
def _publish(work: Work, release: Release) -> Release:
    if failures(of_state(release.content["checks"])) and not release.content.get("accepted"):
        return work.state.update(release, stage=state.HELD)
    publishing.switch(work.output, release.name)
    release = work.state.make_current(release)
    _retain(work)
    return release


def _retain(work: Work) -> None:
    """Remove what is older than the releases that are kept; never the current one."""
    keep = work.watch.keep
    if not keep:
        return
    current = work.state.get("current")
    published = [r for r in work.state.releases(state.PUBLISHED) if r.name != current]
    going = published[: max(len(published) - (keep - 1), 0)]
    for old in going:
        work.state.update(old, stage=state.REMOVED)
        publishing.remove(work.output, old.name)


# Telling.
def _told(work: Work, release: Release, ran: bool) -> Done:
    """The answer for where a release stands now, and the notification of it, once."""
    done = _answer(work, release, ran)
    event = release.stage if release.stage != state.FAILED else f"failed: {release.content['error']}"
    if release.stage not in (state.PUBLISHED, state.HELD, state.FAILED) or release.told == event:
        return done
    folder = publishing.folder_of(work.output, release.name)
    report = folder / REPORT
    problems = tell(
        work.watch,
        {
            "event": release.stage,
            "release": release.name,
            "message": done.message,
            "code": done.code,
            "folder": str(folder) if folder.is_dir() else None,
            "report": str(report) if report.is_file() else None,
            "summary": release.content.get("changes"),
            "checks": release.content.get("checks"),
        },
    )
    for problem in problems:
        work.reporter.warning(problem)
    if not problems:
        work.state.update(release, told=event)
    return Done(done.code, done.message, done.release, done.ran, done.final and not problems)


def _answer(work: Work, release: Release, ran: bool) -> Done:
    stays = work.state.get("current")
    kept = f" {stays} stays current." if stays and stays != release.name else ""
    if release.stage == state.PUBLISHED:
        text = (
            f"Published {release.name}: {_words(release)}"
            if ran
            else f"Nothing to do: {release.name} is the current release."
        )
        return Done(codes.DONE, text, release.name, ran)
    if release.stage == state.HELD:
        why = "; ".join(failures(of_state(release.content["checks"])))
        text = (
            f"Held: {release.name} did not pass its checks: {why}.{kept} 'climrecon releases --output {work.output} "
            f"--accept {release.name}' publishes it all the same."
        )
        return Done(codes.HELD, text, release.name, ran)
    code = int(release.content.get("code") or 1)
    again = _may_retry(work, release)
    text = f"Failed: the run of {release.name} ({release.attempts} tries): {release.content.get('error', '')}{kept}"
    text += (
        " The next look tries again."
        if again
        else " It is tried again when the input or the settings change."
    )
    return Done(code, text, release.name, ran, final=not again)


def _words(release: Release) -> str:
    changes = release.content.get("changes") or {}
    if not changes.get("previous"):
        return f"{changes.get('months', 0)} months."
    changed = changes.get("changed_months")
    parts = [f"{len(changes['new_months'])} new months"]
    parts.append("earlier input not known" if changed is None else f"{changed} earlier months changed")
    return f"{', '.join(parts)} since {changes['previous']}."
