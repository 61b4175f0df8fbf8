"""From a release that is due to one that is published: run, check, report, publish, notify.

The stage of a release is in the state; each step here leads from one stage to the next and may be repeated.
"""

from __future__ import annotations

from dataclasses import replace

from climrecon.interruption import end_if_stopped
from climrecon.processes import runs
from climrecon.watch import check, codes, publish, run, state
from climrecon.watch.changes import Changes
from climrecon.watch.checks import failures, from_state
from climrecon.watch.context import Context, Look
from climrecon.watch.notify import announced
from climrecon.watch.state import Release


def advance(context: Context, release: Release, *, resumed: bool = False) -> Look | None:
    """Bring a release as far as it goes.

    Parameters
    ----------
    resumed:
        An earlier look left it unfinished: a run that ended is checked and published, but none is started, since the
        input may be gone by now. None then, if it has to be run.
    """
    ran = False
    if release.stage == state.PUBLISHED and not publish.whole(publish.folder_of(context.output, release.name)):
        release = context.state.update(release, stage=state.DUE)  # someone removed it by hand
    if release.stage == state.RUNNING:
        if waiting := _still_running(release):
            return waiting
        release = run.after_run(context, release)
    if release.stage in (state.DUE, state.REMOVED, state.SUPERSEDED) or _may_retry(context, release):
        if resumed:
            return None
        release, ran = run.run(context, release), True
        if release.stage == state.DUE:
            release = run.failed(context, release, "The run ended without a result.", 1)
    changes: Changes | None = None
    if release.stage == state.MADE:
        release, changes = check.check(context, release)
    if release.stage == state.CHECKED:
        release = check.report(context, release, changes)
    if release.stage == state.REPORTED:
        release = _publish(context, release)
    if release.stage == state.PUBLISHED:
        # The link is mended if someone broke it; an earlier release that is found again becomes the current one.
        publish.switch(context.output, release.name)
        if context.state.get("current") != release.name:
            release = context.state.make_current(release)
    return _notified(context, release, ran)


def _still_running(release: Release) -> Look | None:
    """The outcome while a process that a dead watcher started may still run."""
    child = release.content.get("child")
    if not child or (alive := runs(child)) is False:
        return None
    text = f"Waiting: the run of {release.name} goes on (process {child['pid']} on {child['host']})."
    if alive is None:
        text += " If that host is gone, 'climrecon releases --retry' lets the next look run it again."
    return Look(codes.WAITING, text, release.name, final=False)


def _may_retry(context: Context, release: Release) -> bool:
    if release.stage != state.FAILED:
        return False
    limited = int(release.content.get("code", 1)) not in codes.SURROUNDINGS
    return not limited or release.attempts < context.options.watch.attempts


def _publish(context: Context, release: Release) -> Release:
    if failures(from_state(release.content["checks"])) and not release.content.get("accepted"):
        return context.state.update(release, stage=state.HELD)
    end_if_stopped()
    publish.switch(context.output, release.name)
    if replaced := release.content.get("replaces"):
        publish.remove(context.output, replaced)
    release = context.state.make_current(release)
    if context.options.watch.keep:
        _remove_old(context, release.name, context.options.watch.keep)
    return release


def _remove_old(context: Context, current: str, keep: int) -> None:
    """Remove all but the last ``keep`` published releases, and held ones before them; never the current one."""
    published = [r for r in context.state.releases(state.PUBLISHED) if r.name != current]
    n_old = max(len(published) - (keep - 1), 0)
    oldest = min((r.id for r in published[n_old:]), default=1 << 62)
    held = [r for r in context.state.releases(state.HELD) if r.id < oldest]
    for old in (*published[:n_old], *held):
        context.state.update(old, stage=state.REMOVED)
        publish.remove(context.output, old.name)


def _notified(context: Context, release: Release, ran: bool) -> Look:
    """The outcome for where a release stands now; its event is delivered once, or again by the next look."""
    look = _outcome(context, release, ran)
    event = release.stage if release.stage != state.FAILED else f"failed: {release.content['error']}"
    if release.stage not in (state.PUBLISHED, state.HELD, state.FAILED) or release.notified == event:
        return look
    folder = publish.folder_of(context.output, release.name)
    report = folder / check.REPORT
    content = {
        "event": release.stage,
        "release": release.name,
        "message": look.message,
        "code": look.code,
        "folder": str(folder) if folder.is_dir() else None,
        "report": str(report) if report.is_file() else None,
        "summary": release.content.get("changes"),
        "checks": release.content.get("checks"),
    }
    if not announced(context, content):
        return replace(look, final=False)
    context.state.update(release, notified=event)
    return look


def _outcome(context: Context, release: Release, ran: bool) -> Look:
    current = context.state.get("current")
    stays = f" {current} stays current." if current and current != release.name else ""
    content = release.content
    if release.stage == state.PUBLISHED:
        text = f"Nothing to do: {release.name} is the current release."
        if ran:
            text = f"Published {release.name}: {_describe_changes(release)}"
        return Look(codes.DONE, text, release.name, ran)
    if release.stage == state.HELD:
        text = (
            f"Held: {release.name} did not pass its checks: {'; '.join(failures(from_state(content['checks'])))}."
            f"{stays} 'climrecon releases --output {context.output} --accept {release.name}' publishes it nevertheless."
        )
        return Look(codes.HELD, text, release.name, ran)
    again = _may_retry(context, release)
    tries = f"{release.attempts} attempt{'s' if release.attempts != 1 else ''}"
    text = f"Failed: the run of {release.name} ({tries}): {content.get('error', '')}{stays} " + (
        "The next look tries again." if again else "It is run again when the input or the settings change."
    )
    return Look(int(content.get("code") or 1), text, release.name, ran, final=not again)


def _describe_changes(release: Release) -> str:
    changes = release.content.get("changes") or {}
    if not changes.get("previous"):
        return f"{changes.get('months', 0)} months."
    changed = changes.get("changed_months")
    earlier = "earlier input not known" if changed is None else f"{changed} earlier months changed"
    return f"{len(changes['new_months'])} new months, {earlier} since {changes['previous']}."
