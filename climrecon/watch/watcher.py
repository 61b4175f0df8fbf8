"""One look of the watch: what is there, is it new, run it, check it, publish it.

Every step is written to the state before the next begins, and every step may be repeated: whatever ends a look, the
next one finishes what it left.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from climrecon.errors import UsageError
from climrecon.settings import RunSettings, Site, validate
from climrecon.watch import codes, publish
from climrecon.watch.file_stamps import signature, tree, unchanged
from climrecon.watch.lock import only_watcher
from climrecon.watch.look import ReleaseCheck
from climrecon.watch.options import FREVA, LOCAL, Look, Options
from climrecon.watch.remote import archives_in, remote_digest
from climrecon.watch.state import FILE_NAME, UNFINISHED, State
from climrecon.workflow.progress import Reporter

__all__ = ["FREVA", "LOCAL", "Look", "Options", "look", "settings_of"]


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
        raise UsageError(
            "--rebuild writes a catalogue, and needs a file to write.", "Give --catalogue FILE.json."
        )
    assert settings.outputdir is not None  # settings_of refuses a watch without
    output = settings.outputdir.absolute()
    state = State(output / FILE_NAME)
    try:
        key = _key(settings, options)
        known = state.world(key)
        if known and not state.releases(*UNFINISHED) and _same_world(known, options):
            answer = Look(known["code"], known["message"], known["release"])
            state.looked(answer.code, answer.message)
            return answer
        with only_watcher(state) as other:
            if other:
                return Look(codes.WAITING, f"Waiting: {other}.", final=False)
            state.keep_world(key, None)
            publish.sweep(output)
            answer = ReleaseCheck(dict(raw), settings, site, options, reporter, output, state, key).look()
            state.looked(answer.code, answer.message)
        return answer
    finally:
        state.close()


def settings_of(raw: Mapping[str, Any], site: Site) -> RunSettings:
    """The validated parameters of a watch.

    Raises
    ------
    UsageError
        If they are wrong, or are none that a watch can run with.
    """
    settings = validate(raw, site)
    if not settings.outputdir:
        raise UsageError("A watch needs a folder for its releases.", "Give --output DIR.")
    wrong = [name for name in ("dryrun", "detach") if getattr(settings, name)]
    if wrong or settings.task != "reconstruct":
        raise UsageError(
            f"A watch cannot be combined with {' and '.join(wrong) or f'task={settings.task}'}.",
            "It reconstructs, and waits for each run.",
        )
    return settings


def _key(settings: RunSettings, options: Options) -> str:
    plain = {k: v for k, v in settings.plain().items() if k != "outputdir"}
    text = json.dumps([plain, str(options.rebuild)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _same_world(known: Mapping[str, Any], options: Options) -> bool:
    """Whether nothing changed since the last look, told without opening a file."""
    if options.rebuild and signature(tree(options.rebuild)) != known["tree"]:
        return False
    if known["remote"] and remote_digest(known["origin"]) != known["remote"]:
        return False
    folders = [Path(folder) for folder in known["folders"]]
    return unchanged(known["stamps"]) and archives_in(folders) == known["archives"]
