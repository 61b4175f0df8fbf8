"""From a release that is due to one that is published: run, check, report, publish, tell.

The stage of a release is in the state; each step here leads from one stage to the next and may be repeated.
"""

from __future__ import annotations

from dataclasses import dataclass

from climrecon.watch import check, codes, publish, run, state
from climrecon.watch.changes import Changes
from climrecon.watch.check import REPORT
from climrecon.watch.checks import failures, of_state
from climrecon.watch.context import Work
from climrecon.watch.lock import runs
from climrecon.watch.notify import tell
from climrecon.watch.state import Release


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
    folder = publish.folder_of(work.output, release.name)
    if release.stage == state.PUBLISHED and not publish.whole(folder):
        release = work.state.update(release, stage=state.DUE)  # someone removed it by hand
    if release.stage == state.RUNNING:
        child = release.content.get("child")
        if child and runs(child) is not False:
            where = f"process {child['pid']} on {child['host']}"
            if runs(child) is None:
                where += (
                    "; if that host is gone, 'climrecon releases --retry' lets the next look run it again"
                )
            return Done(
                codes.WAITING, f"Waiting: the run of {release.name} goes on ({where}).", release.name, final=False
            )  # fmt: skip
        release = run.after_run(work, release)
    again = release.stage in (state.DUE, state.REMOVED, state.SUPERSEDED) or (
        release.stage == state.FAILED and _may_retry(work, release)
    )
    if again:
        if resumed:
            return None
        release, ran = run.run(work, release), True
        if release.stage == state.DUE:
            release = run.failed(work, release, "The run ended without a result.", 1)
    changes: Changes | None = None
    if release.stage == state.MADE:
        release, changes = check.check(work, release)
    if release.stage == state.CHECKED:
        release = check.report(work, release, changes)
    if release.stage == state.REPORTED:
        release = _publish(work, release)
    if release.stage == state.PUBLISHED:
        # The link is mended if someone broke it; an earlier release that is found again becomes the current one.
        publish.switch(work.output, release.name)
        if work.state.get("current") != release.name:
            release = work.state.make_current(release)
    return _told(work, release, ran)


def _may_retry(work: Work, release: Release) -> bool:
    code = int(release.content.get("code", 1))
    return code in codes.SURROUNDINGS or release.attempts < work.watch.attempts


# Publishing.
def _publish(work: Work, release: Release) -> Release:
    if failures(of_state(release.content["checks"])) and not release.content.get("accepted"):
        return work.state.update(release, stage=state.HELD)
    publish.switch(work.output, release.name)
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
    oldest = min((r.id for r in published if r not in going), default=1 << 62)
    going += [r for r in work.state.releases(state.HELD) if r.id < oldest]
    for old in going:
        work.state.update(old, stage=state.REMOVED)
        publish.remove(work.output, old.name)


# Telling.
def _told(work: Work, release: Release, ran: bool) -> Done:
    """The answer for where a release stands now, and the notification of it, once."""
    done = _answer(work, release, ran)
    event = release.stage if release.stage != state.FAILED else f"failed: {release.content['error']}"
    if release.stage not in (state.PUBLISHED, state.HELD, state.FAILED) or release.told == event:
        return done
    folder = publish.folder_of(work.output, release.name)
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
