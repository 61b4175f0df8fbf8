"""Running a release that is due, here or through Freva, and what a run left.

Whole folders of a watch whose state was lost are taken as they are where they match, and never written over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from climrecon.errors import ClimReconError, DependencyError, InputDataError, Interrupted, explained, unexpected
from climrecon.files import parse_json, sha256_of
from climrecon.processes import identity
from climrecon.redaction import redacted
from climrecon.settings import validate
from climrecon.watch import commands, publish, state
from climrecon.watch.checks import Check
from climrecon.watch.context import FREVA, Context
from climrecon.watch.state import Release
from climrecon.workflow.manifest import read_manifest
from climrecon.workflow.provenance import read_provenance
from climrecon.workflow.run_info import run_info

LOG = "run.log"
#: The state's record of a release, in the folder of its files, and what is taken from it.
FACTS = "release.json"
_KEPT = ("changes", "confirmed", "accepted", "network_sha256")


def run(context: Context, release: Release) -> Release:
    """Run a release; its stage says how that ended. Only an interruption is raised."""
    folder = publish.folder_of(context.output, release.name)
    if matches(folder, release.content):
        context.reporter.note(f"{release.name} stands in its folder already, whole; it is taken as it is")
        facts = facts_of(folder, release.content)
        if facts is not None:
            return context.state.update(release, stage=state.REPORTED, **facts)
        return after_run(context, release)
    publish.remove(context.output, release.name)
    if folder.exists():
        # ``latest`` points to it: it stays until its successor is checked.
        folders = {path.name for path in folder.parent.iterdir()}
        release = context.state.rename(release, folders)
        folder = publish.folder_of(context.output, release.name)
    release = context.state.update(
        release, stage=state.RUNNING, attempts=release.attempts + 1, child=None, error="", code=0, notified=""
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if context.options.through == FREVA:
            _through_freva(context, release, folder)
        else:
            from climrecon.tasks.run import run_task

            settings = validate({**context.raw, "outputdir": str(folder)}, context.site)
            run_task(settings, context.site, context.reporter, run_info({"id": f"watch-{release.id}", "host": "watch"}))
    # Whatever a run raises must not keep the watch from reporting it, and from trying again.
    except Exception as error:
        known = explained(error) or unexpected(error)
        return failed(context, release, str(known), known.exit_code)
    return after_run(context, release)


def _through_freva(context: Context, release: Release, folder: Path) -> None:
    """Let the host run it, so that it is in the history.

    The host ends most failures with 0, so the manifest decides; the host's output stands in the release's log.
    """
    program = context.options.freva
    if not program:
        raise DependencyError(
            "The program freva is not found.", "Load its module, or name it with --freva /path/to/freva."
        )
    values = {name: value for name, value in context.raw.items() if name != "outputdir" and value is not None}
    for name in ("catalogue", "obs_file"):
        if values.get(name) and "://" not in str(values[name]):
            values[name] = Path(str(values[name])).expanduser().absolute()
    command = [program, "plugin", "--unique-output", "false", "--json", "climrecon"]
    command += [f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in values.items()]
    command.append(f"outputdir={folder}")
    context.reporter.stage(f"Running {release.name} through Freva")
    log = context.output / f"{release.name}.{LOG}"
    code = commands.run_logged(command, log, lambda pid: _note_child(context, release, pid))
    if publish.whole(folder):
        log.replace(folder / LOG)
        return
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:])
    failure = ClimReconError(
        f"Freva's run of {release.name} left no result (exit code {code}); {log} ends with:\n{tail}",
        "The log above names the reason; once it is gone, 'climrecon watch --once' runs the release again.",
    )
    failure.exit_code = code if code and code > 0 else 1
    raise failure


def _note_child(context: Context, release: Release, pid: int) -> None:
    context.state.update(release, child=identity(pid))


def after_run(context: Context, release: Release) -> Release:
    """Take the result of a run if it is whole and of the right input; else remove it."""
    folder = publish.folder_of(context.output, release.name)
    if not publish.whole(folder):
        publish.remove(context.output, release.name)
        return context.state.update(release, stage=state.DUE, child=None)
    try:
        recorded = read_provenance(folder / "provenance.json")
    except InputDataError as error:
        publish.remove(context.output, release.name)
        return failed(context, release, error.message, error.exit_code)
    if not set(release.content["inputs"].values()) <= set(recorded.inputs.values()):
        publish.remove(context.output, release.name)
        return failed(context, release, "The input changed during the run.", Interrupted.exit_code)
    return context.state.update(release, stage=state.MADE, child=None, network_sha256=recorded.network_sha256)


def failed(context: Context, release: Release, error: str, code: int) -> Release:
    """Write down why a run failed."""
    return context.state.update(release, stage=state.FAILED, child=None, error=redacted(error), code=code)


def names_taken(output: Path, content: Mapping[str, Any]) -> set[str]:
    """Names of folders that a run of the release with this ``content`` may not write to.

    These are the whole ones, unless they hold this very release, and the one that ``latest`` points to.
    """
    folders = [path for path in (output / publish.FOLDER).glob("[!.]*") if publish.whole(path)]
    taken = {path.name for path in folders if not matches(path, content)}
    current = publish.latest(output)
    if current and not matches(publish.folder_of(output, current), content):
        taken.add(current)
    return taken


def matches(folder: Path, content: Mapping[str, Any]) -> bool:
    """Whether a folder holds the result of a release: its inputs, its settings, and files as its manifest has them."""
    try:
        manifest, recorded = read_manifest(folder), read_provenance(folder / "provenance.json")
        return (
            set(content["inputs"].values()) <= set(recorded.inputs.values())
            and all(recorded.settings.get(name) == value for name, value in content["settings"].items())
            and all(sha256_of(folder / entry["path"]) == entry["sha256"] for entry in manifest["outputs"])
        )
    except (InputDataError, OSError):
        return False


def facts_of(folder: Path, content: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the watch wrote about a release after its checks and its report; None if they are still to be made."""
    try:
        facts = dict(parse_json((folder / FACTS).read_bytes()))
        if sorted(facts["inputs"].values()) != sorted(content["inputs"].values()):
            return None
        checks = TypeAdapter(list[Check]).validate_python(facts["checks"])
        if not checks or not isinstance(facts["changes"], dict):
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return {"checks": [asdict(check) for check in checks], **{name: facts[name] for name in _KEPT if name in facts}}
