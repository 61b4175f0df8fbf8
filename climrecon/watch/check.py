"""The steps ``check`` and ``report``: a result compared with its input and with the release before."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from climrecon.array_types import Array, FloatArray
from climrecon.errors import InputDataError, OutputError
from climrecon.files import remove_remains, sha256_of, write_text
from climrecon.settings import RunSettings, validate
from climrecon.tasks.inputs import Inputs
from climrecon.watch import publish, state
from climrecon.watch.change_report import write_change_report, write_changes
from climrecon.watch.changes import CHANGES, Changes, compare, read_result, summary
from climrecon.watch.checks import FAILED, Check, ExpectedResult, failures, from_state, run_checks
from climrecon.watch.context import Context
from climrecon.watch.run import FACTS
from climrecon.watch.state import Release

REPORT = "changes.html"
_FACTS = ("header", "inputs", "settings", "network", "network_sha256", "checks", "changes", "confirmed",
          "accepted")  # fmt: skip


def check(context: Context, release: Release) -> tuple[Release, Changes | None]:
    """Compare a result with its input and the release before, and write down the outcomes of the checks."""
    context.reporter.stage(f"Checking {release.name}")
    changes: Changes | None = None
    try:
        changes, expected = _compared(context, release)
        checks = run_checks(changes, expected, context.options.watch.checks)
    except InputDataError as error:
        checks = [Check("complete", FAILED, error.message)]
    outcomes = [asdict(check) for check in checks]
    figures = summary(changes) if changes else None
    return context.state.update(release, stage=state.CHECKED, checks=outcomes, changes=figures), changes


def _settings(context: Context, release: Release) -> RunSettings:
    return validate({**context.raw, **release.content["settings"]}, context.site)


def _compared(context: Context, release: Release) -> tuple[Changes, ExpectedResult]:
    settings = _settings(context, release)
    observed, months, why_not_kept = _input(release, settings)
    result = read_result(publish.folder_of(context.output, release.name), settings.variable, observed)
    current, before = context.state.current(), None
    if current and current.name != release.name:
        try:
            before = read_result(publish.folder_of(context.output, current.name), settings.variable)
        except (InputDataError, OSError) as error:
            context.reporter.warning(f"no comparison with the current release: {error}")
    same_method = (
        current is not None
        and before is not None
        and current.settings_digest == release.settings_digest
        and before.network_sha256 == result.network_sha256
    )
    expected = ExpectedResult(
        months=result.months if months is None else months,
        why_not_kept=why_not_kept,
        same_method=same_method,
        lost_allowed=bool(release.content.get("confirmed")),
    )
    return compare(result, before), expected


def _input(release: Release, settings: RunSettings) -> tuple[FloatArray | None, Array | None, str]:
    """The run's input: values in the file's order, months, and why observed cells need not come back unchanged."""
    from climrecon.preprocess import read_observations
    from climrecon.preprocess.regrid import file_order

    main = [Path(path) for path in release.content["files"]["main"]]
    known = release.content["inputs"]
    try:
        if any(sha256_of(path) != known.get(str(path)) for path in main):
            return None, None, "the input has changed since the run"
    except FileNotFoundError as error:
        return None, None, f"the input is not there any more: {error.filename}"
    request = Inputs(tuple(main), facets=release.content["facets"]).request(settings)
    observations = read_observations(main, request)
    values = file_order(np.where(observations.mask, observations.values, np.nan), observations.source)
    months = np.asarray(observations.time.index, dtype=np.int64)
    why_not = ""
    if not settings.keep_observed:
        why_not = "keep_observed=false: observed cells are not kept"
    elif observations.reference_period not in (None, settings.reference_period.years):
        why_not = "the result refers to another reference period than the input"
    return values, months, why_not


def report(context: Context, release: Release, changes: Changes | None) -> Release:
    """Write the change report; ``changes`` if they were worked out already.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    context.reporter.stage(f"Writing the change report of {release.name}")
    folder = publish.folder_of(context.output, release.name)
    if changes is None:
        try:
            changes, _ = _compared(context, release)
        except InputDataError:
            return context.state.update(release, stage=state.REPORTED)
    previous = changes.previous.name if changes.previous else ""
    no_comparison = "This is the first release here."
    if not previous and (current := context.state.current()) and current.name != release.name:
        no_comparison = f"It cannot be compared with {current.name}, which is on another grid or cannot be read."
    attributes = {
        "title": f"What changed: {release.name}",
        "comment": f"compared with {previous}" if previous else "nothing to compare with",
        "climrecon_release": release.name,
        "climrecon_release_before": previous,
    }
    page: dict[str, Any] = {
        "summary": release.content["changes"],
        "checks": from_state(release.content["checks"]),
        "inputs": release.content["inputs"],
        "notes": release.content.get("notes", []),
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "no_comparison": no_comparison,
    }
    for name in (CHANGES, REPORT, FACTS):
        remove_remains(folder / name)
    try:
        write_changes(folder / CHANGES, changes, attributes)
        write_change_report(folder / REPORT, changes, page, draw=_settings(context, release).plots)
        kept = {name: release.content[name] for name in _FACTS if name in release.content}
        facts = {"name": release.name, "seen_at": release.seen_at, "passed": not failures(page["checks"]), **kept}
        write_text(folder / FACTS, json.dumps(facts, indent=1) + "\n")
    except OSError as error:
        raise OutputError(f"The change report cannot be written to {folder}: {error}", "Free some space.") from error
    return context.state.update(release, stage=state.REPORTED)
