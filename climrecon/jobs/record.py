"""Records of submitted runs: the jobs of each, their own reports, and a list of all runs of a user.

The folder of a run's jobs (``jobs/ID`` inside its output folder) holds ``chain.json``, the scripts, ``logs/``,
``status/`` (written by the jobs), ``progress/`` and ``outcome/`` (written by the stages). The user's state
folder holds a pointer to it, so that ``climrecon jobs`` finds it from anywhere.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from climrecon.errors import UsageError
from climrecon.files import parse_json, write_text

SCHEMA_VERSION = 1
FOLDER = "jobs"
CHAIN = "chain.json"


@dataclass(frozen=True)
class Submitted:
    """One submitted job; ``parts`` are its elements, ``limit`` its time limit in words."""

    stage: str
    job: int
    parts: tuple[int, ...]
    array: bool
    limit: str = ""

    def key(self, part: int) -> str:
        """What squeue calls a part."""
        return f"{self.job}_{part}" if self.array else str(self.job)


@dataclass(frozen=True)
class Chain:
    """The jobs of one run, in the order of its stages.

    Attributes
    ----------
    config_sha256:
        Of the configuration, so that the same run is recognised when it is submitted again.
    skipped:
        Stages that were done already.
    ended:
        State of parts that Slurm may have forgotten, as last seen: key -> (state, reason).
    """

    id: str
    folder: Path
    task: str
    output: str
    config_sha256: str
    submitted: str
    detached: bool
    jobs: tuple[Submitted, ...] = ()
    skipped: tuple[str, ...] = ()
    ended: dict[str, list[str]] = field(default_factory=dict)

    @property
    def numbers(self) -> list[int]:
        """Slurm's numbers of the jobs."""
        return [job.job for job in self.jobs]

    def log(self, stage: str, part: int) -> Path:
        """Log of a part."""
        return self.folder / "logs" / f"{stage}-{part}.log"

    def read(self, kind: str, stage: str, part: int) -> dict[str, Any]:
        """The ``status``, ``progress`` or ``outcome`` of a part; empty while there is none."""
        try:
            content = parse_json((self.folder / kind / f"{stage}-{part}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def save(self) -> None:
        """Write ``chain.json`` in one step."""
        content = {"schema_version": SCHEMA_VERSION, **asdict(self), "folder": str(self.folder)}
        write_text(self.folder / CHAIN, json.dumps(content, indent=1) + "\n")

    def with_ended(self, ended: dict[str, list[str]]) -> Chain:
        """With further final states, saved if they are new."""
        if not set(ended) - set(self.ended):
            return self
        chain = replace(self, ended={**ended, **self.ended})
        try:
            chain.save()
        except OSError:  # a colleague may look at a run without the right to write to it
            return self
        return chain


def new_chain(output: Path, task: str, config_sha256: str, detached: bool) -> Chain:
    """A chain without jobs yet, with its folders."""
    name = secrets.token_hex(3)
    folder = output / FOLDER / name
    for part in ("logs", "status", "progress", "outcome"):
        (folder / part).mkdir(parents=True)
    when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Chain(name, folder, task, str(output), config_sha256, when, detached)


def read_chain(folder: Path) -> Chain:
    """The chain kept in ``folder``.

    Raises
    ------
    UsageError
        If there is none, or it is of another version.
    """
    try:
        content = dict(parse_json((folder / CHAIN).read_text(encoding="utf-8")))
        if content.pop("schema_version") != SCHEMA_VERSION:
            raise UsageError(
                f"{folder / CHAIN} is of another version of climrecon.",
                "Use that version, or give the command of the run again.",
            )
        # Where it was found, not where it was written: a folder may have been moved.
        return TypeAdapter(Chain).validate_python({**content, "folder": folder})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"There is no record of batch jobs in {folder}: {error}", "See 'climrecon jobs list'."
        ) from error


def chains_in(output: Path) -> list[Chain]:
    """The chains of one output folder, oldest first."""
    chains = []
    for path in output.glob(f"{FOLDER}/*/{CHAIN}"):
        try:
            chains.append(read_chain(path.parent))
        except UsageError:
            continue
    return sorted(chains, key=lambda chain: chain.submitted)


def _index() -> Path:
    from platformdirs import user_state_path

    return user_state_path("climrecon") / "jobs"


def remember(chain: Chain) -> str | None:
    """Put a pointer to ``chain`` into the user's list; returns why that was not possible."""
    try:
        _index().mkdir(parents=True, exist_ok=True)
        write_text(_index() / f"{chain.id}.json", json.dumps({"folder": str(chain.folder)}) + "\n")
    except OSError as error:
        return f"the run is not in the list of 'climrecon jobs' ({error}); its jobs are kept in {chain.folder}"
    return None


def _pointed_to(pointer: Path) -> Path:
    """The folder that an entry of the user's list names."""
    try:
        return Path(parse_json(pointer.read_text(encoding="utf-8"))["folder"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{pointer} names no folder of a run: {error}", "Remove that file.") from error


def all_chains() -> Iterator[Chain]:
    """All runs in the user's list that still have a folder; the newest first."""
    chains = []
    for path in _index().glob("*.json"):
        try:
            chains.append(read_chain(_pointed_to(path)))
        except UsageError:
            continue
    yield from sorted(chains, key=lambda chain: chain.submitted, reverse=True)


def find_chain(name: str) -> Chain:
    """A chain by its id, by the number of one of its jobs, or by its (output) folder.

    Raises
    ------
    UsageError
        If there is none.
    """
    if re.fullmatch(r"[0-9a-f]{6}", name):
        pointer = _index() / f"{name}.json"
        if pointer.is_file():
            return read_chain(_pointed_to(pointer))
    folder = Path(name)
    if (folder / CHAIN).is_file():
        return read_chain(folder.absolute())
    if folder.is_dir() and (here := chains_in(folder.absolute())):
        return here[-1]
    for chain in all_chains():
        if name.isdigit() and int(name) in chain.numbers:
            return chain
    raise UsageError(
        f"No run of yours is called {name!r}: it is neither an id, nor the number of a job, nor an output folder.",
        "See 'climrecon jobs list'.",
    )
