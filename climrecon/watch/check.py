"""A result beside its input and the release before: the checks, and the change report."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.errors import ClimReconError, InputDataError, OutputError
from climrecon.files import write_text
from climrecon.settings import RunSettings, validate
from climrecon.watch import publish, state
from climrecon.watch.change_file import write_changes
from climrecon.watch.change_report import write_change_report
from climrecon.watch.changes import Changes, compare, summary
from climrecon.watch.checks import Check, ExpectedResult, failed_to_read, failures, of_state, run_checks
from climrecon.watch.context import Work
from climrecon.watch.results import CHANGES, Result, read_result
from climrecon.watch.state import Release

REPORT = "changes.html"
FACTS = "release.json"


def check(work: Work, release: Release) -> tuple[Release, Changes | None]:
    """Compare a result with its input and the release before, and write down how the checks ended."""
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


def _compared(work: Work, release: Release) -> tuple[Changes, ExpectedResult]:
    """The result beside its input and the release before."""
    settings = _settings(work, release)
    folder = publish.folder_of(work.output, release.name)
    observed, months, kept, why = _input(work, release, settings)
    result = read_result(folder, settings.variable, observed)
    previous, before = _previous(work, release, settings)
    same = (
        previous is not None
        and previous.settings_digest == release.settings_digest
        and before is not None
        and before.network_sha256 == result.network_sha256
    )
    asked = ExpectedResult(
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
        return current, read_result(publish.folder_of(work.output, current.name), settings.variable)
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


def report(work: Work, release: Release, changes: Changes | None) -> Release:
    """Write the change report; ``changes`` if they were worked out already.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    work.reporter.stage(f"Writing what {release.name} changed")
    folder = publish.folder_of(work.output, release.name)
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
