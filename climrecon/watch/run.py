"""Running a release that is due: here, or through Freva; and what a run left."""

from __future__ import annotations

import os
from pathlib import Path

from climrecon.errors import ClimReconError, DependencyError, InputDataError, Interrupted, OutputError
from climrecon.settings import validate
from climrecon.watch import commands, publish, state
from climrecon.watch.context import Work
from climrecon.watch.lock import identity
from climrecon.watch.state import Release
from climrecon.workflow.provenance import read_provenance
from climrecon.workflow.run_info import run_info

LOG = "run.log"


def run(work: Work, release: Release) -> Release:
    """Run a release; its stage tells how that ended. Only an interruption is raised."""
    folder = publish.folder_of(work.output, release.name)
    publish.remove(work.output, release.name)
    release = work.state.update(
        release, stage=state.RUNNING, attempts=release.attempts + 1, child=None, error="", code=0, told=""
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if work.through == "freva":
            _through_freva(work, release, folder)
        else:
            from climrecon.tasks.run import run_task

            settings = validate({**work.raw, "outputdir": str(folder)}, work.site)
            run_task(
                settings, work.site, work.reporter, run_info({"id": f"watch-{release.id}", "host": "watch"})
            )
    except Interrupted:
        raise
    except ClimReconError as error:
        return failed(work, release, str(error), error.exit_code)
    except OSError as error:
        return failed(work, release, f"{type(error).__name__}: {error}", OutputError.exit_code)
    # Whatever a run raises must not keep the watch from saying so, and from trying again.
    except Exception as error:
        return failed(work, release, f"{type(error).__name__}: {error}", 1)
    return after_run(work, release)


def _through_freva(work: Work, release: Release, folder: Path) -> None:
    """Let the host run it, so that it is in the history.

    The host ends most failures with 0, so the manifest tells; its lines stand in the release's log.
    """
    if not work.freva:
        raise DependencyError(
            "The program freva is not found.", "Load its module, or name it with --freva /path/to/freva."
        )
    values = {name: value for name, value in work.raw.items() if name != "outputdir" and value is not None}
    for name in ("catalogue", "obs_file"):
        if values.get(name) and "://" not in str(values[name]):
            values[name] = Path(str(values[name])).expanduser().absolute()
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
    if publish.whole(folder):
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


def after_run(work: Work, release: Release) -> Release:
    """What a run left: a whole result of the right input, or nothing."""
    folder = publish.folder_of(work.output, release.name)
    if not publish.whole(folder):
        publish.remove(work.output, release.name)
        return work.state.update(release, stage=state.DUE, child=None)
    try:
        recorded = read_provenance(folder / "provenance.json")
    except InputDataError as error:
        publish.remove(work.output, release.name)
        return failed(work, release, error.message, error.exit_code)
    if not set(release.content["inputs"].values()) <= set(recorded.inputs.values()):
        publish.remove(work.output, release.name)
        told = "The input changed while the run was going; it is looked at anew."
        return failed(work, release, told, Interrupted.exit_code)
    return work.state.update(release, stage=state.MADE, child=None, network_sha256=recorded.network_sha256)


def failed(work: Work, release: Release, text: str, code: int) -> Release:
    """Write down why a run failed."""
    return work.state.update(release, stage=state.FAILED, child=None, error=text, code=code)
