"""One look of the watch: find the newest release; if it is new, run, check and publish it.

Every step is written to the state before the next begins, and every step may be repeated: whatever ends a look, the
next one finishes it. The modules in the order in which a look uses them: ``look`` (what is there, is it new),
``plausibility`` (must a person decide), ``advance`` (the steps of a release), ``run``, ``check``, ``publish``,
``notify``; beside them ``state``, ``lock`` and ``schedule``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from climrecon.errors import UsageError
from climrecon.frequency import MONTH
from climrecon.settings import RunSettings, Site, validate
from climrecon.watch import codes, publish
from climrecon.watch.context import Context, Look, Options
from climrecon.watch.file_stamps import archives_in, remote_digest, signature, tree, unchanged
from climrecon.watch.lock import only_watcher
from climrecon.watch.look import ReleaseCheck
from climrecon.watch.state import FILE_NAME, UNFINISHED, State
from climrecon.workflow.fingerprint import digest_of
from climrecon.workflow.progress import Reporter


def look(raw: Mapping[str, Any], site: Site, options: Options, reporter: Reporter) -> Look:
    """Look once.

    Parameters
    ----------
    raw:
        Parameters of the run; ``outputdir`` is the folder of the releases.

    Raises
    ------
    ClimReconError
        If the parameters are wrong, the catalogue cannot be searched, or the state cannot be written.
    """
    settings = settings_of(raw, site)
    if options.rebuild and (not settings.catalogue or "://" in settings.catalogue):
        raise UsageError("--rebuild writes a catalogue, and needs a file to write.", "Give --catalogue FILE.json.")
    assert settings.outputdir is not None  # settings_of refuses a watch without
    output = settings.outputdir.absolute()
    state = State(output / FILE_NAME)
    try:
        key = _key(settings, options)
        before = state.snapshot(key)
        if before and not state.releases(*UNFINISHED) and _nothing_changed(before, settings, options):
            answer = Look(before["code"], before["message"], before["release"])
            state.keep_look(answer.code, answer.message)
            return answer
        with only_watcher(state) as other:
            if other:
                return Look(codes.WAITING, f"Waiting: {other}.", final=False)
            for note in options.watch.notes:
                reporter.note(note)
            state.drop_snapshot()
            publish.sweep(output)
            context = Context(raw, settings, site, options, reporter, output, state)
            answer, found = ReleaseCheck(context).look()
            if found is not None and answer.final:
                message = answer.message
                if answer.code == codes.DONE:
                    message = f"Nothing to do: {answer.release} is the current release."
                known = {"code": answer.code, "message": message, "release": answer.release}
                state.keep_snapshot(key, {**found, **known})
            state.keep_look(answer.code, answer.message)
        return answer
    finally:
        state.close()


def settings_of(raw: Mapping[str, Any], site: Site) -> RunSettings:
    """The validated parameters of a watch.

    Raises
    ------
    UsageError
        If a watch cannot run with them.
    """
    settings = validate(raw, site)
    if not settings.outputdir:
        raise UsageError("A watch needs a folder for its releases.", "Give --output DIR.")
    wrong = [name for name in ("dryrun", "detach") if getattr(settings, name)]
    if wrong or settings.task != "reconstruct":
        raise UsageError(
            f"A watch cannot be combined with {' and '.join(wrong) or f'task={settings.task}'}.",
            "Leave it out: a watch reconstructs, and waits for each run.",
        )
    if settings.frequency != MONTH:
        raise UsageError(
            f"A watch compares releases by month; time_frequency={settings.time_frequency} has none.",
            "Leave it out, or reconstruct without a watch.",
        )
    return settings


def _key(settings: RunSettings, options: Options) -> str:
    plain = {k: v for k, v in settings.plain().items() if k != "outputdir"}
    return digest_of([plain, str(options.rebuild)])


def _nothing_changed(before: Mapping[str, Any], settings: RunSettings, options: Options) -> bool:
    """Whether all is as at the look before; opens no file."""
    if options.rebuild and signature(tree(options.rebuild)) != before["tree"]:
        return False
    if before["remote"] and remote_digest(str(settings.catalogue)) != before["remote"]:
        return False
    return unchanged(before["stamps"]) and archives_in(map(Path, before["folders"])) == before["archives"]
