"""The store of prepared members: one file for each, which all trainings of a user share.

A member's file is a safetensors file: ``values`` (T, H, W) float32 anomalies in K, NaN where not to be scored;
``index`` (T,) int32 numbers of its steps; and, as metadata, what it was made from and a checksum. Its name is the
hash of what went in, so that equal input is prepared once, and changed input anew. It appears by renaming: a killed
preparation leaves nothing that looks whole. A member that cannot be prepared leaves a small file that says why.

Nothing here opens netCDF or reads settings.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from climrecon.array_types import FloatArray, IntArray
from climrecon.arrays import Damaged, is_whole, open_arrays, write_arrays
from climrecon.errors import InputDataError, OutputError
from climrecon.files import atomic_path, input_sha256, note_input, parse_json, stamp_of, write_text
from climrecon.frequency import FREQUENCIES, MONTH
from climrecon.steps import Steps
from climrecon.working_folders import working_folder

#: Steps of a member by their positions: a slice, or (n,) positions in order.
Rows = slice | IntArray
SUFFIX, LEFT_OUT = ".safetensors", ".left-out.json"
_HASHES = "hashes"
#: Members of so many bytes together are joined in memory, larger ones in a file.
JOINED_IN_MEMORY = 1 << 30
#: Space that must stay free beside what is about to be written.
SPARE_BYTES = 200_000_000
#: Temporary files older than this belong to no living process.
_STALE_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class StoredMember:
    """One prepared member, its arrays memory-mapped.

    Attributes
    ----------
    values:
        (T, H, W) anomalies in K, NaN where not to be scored.
    index:
        (T,) numbers of its steps, months since 0000-01, as :class:`climrecon.steps.Steps` counts them.
    about:
        What it was made from: set, name, model, family, files with hashes, settings, versions, notes; of other steps
        than months their frequency and calendar.
    """

    key: str
    values: FloatArray
    index: IntArray
    about: Mapping[str, Any]

    @property
    def time(self) -> Steps:
        """The time axis."""
        frequency = FREQUENCIES[str(self.about.get("frequency", MONTH.name))]
        return Steps(np.asarray(self.index, np.int64), frequency, str(self.about.get("calendar", "standard")))


class MemberStore:
    """The prepared members below one folder.

    Parameters
    ----------
    folder:
        Made when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Where the member ``key`` stands, whether or not it is there."""
        return self.folder / f"{key}{SUFFIX}"

    def has(self, key: str) -> bool:
        """Whether the member is there, whole by its own header."""
        return is_whole(self.path(key))

    def check(self, key: str) -> bool:
        """Whether the member is there, every byte of it; reads the whole file. What is damaged is removed."""
        try:
            open_arrays(self.path(key), check=True)
        except Damaged:
            self.path(key).unlink(missing_ok=True)
            return False
        return True

    def why_left_out(self, key: str) -> str | None:
        """Why the member could not be prepared; None if it was not tried, or is there."""
        if self.has(key):
            return None
        try:
            content = parse_json((self.folder / f"{key}{LEFT_OUT}").read_text(encoding="utf-8"))
            return str(content["reason"])
        except (OSError, ValueError, KeyError):
            return None

    def is_done(self, key: str) -> bool:
        """Whether the member was prepared, or found to be unusable."""
        return self.has(key) or self.why_left_out(key) is not None

    def put(self, key: str, values: FloatArray, index: IntArray, about: Mapping[str, Any]) -> None:
        """Write a member; it appears whole or not at all.

        Raises
        ------
        OutputError
            If the folder cannot be written, or too little space is left.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.make_room(values.nbytes)
            kept = {"values": np.ascontiguousarray(values, np.float32), "index": index.astype(np.int32)}
            write_arrays(self.path(key), kept, about)
        except OSError as error:
            raise OutputError(
                f"The prepared member cannot be written to {self.folder}: {error}",
                "Is the disk full? Free some space or choose another cachedir.",
            ) from error
        (self.folder / f"{key}{LEFT_OUT}").unlink(missing_ok=True)

    def leave_out(self, key: str, name: str, reason: str) -> None:
        """Note that a member cannot be used, and why."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {"member": name, "reason": reason}
        write_text(self.folder / f"{key}{LEFT_OUT}", json.dumps(content, indent=1) + "\n")

    def get(self, key: str) -> StoredMember:
        """Open a member; its values are memory-mapped.

        Raises
        ------
        InputDataError
            If it is absent or damaged.
        """
        path = self.path(key)
        try:
            arrays, about = open_arrays(path, check=False)
            return StoredMember(key, arrays["values"], np.array(arrays["index"]), about)
        except (Damaged, KeyError) as error:
            raise InputDataError(
                f"The prepared member {path} is absent or damaged.",
                "Run the same command again: it prepares what is missing.",
            ) from error

    def make_room(self, size: int) -> None:
        """Make sure that ``size`` bytes can be written.

        Raises
        ------
        OutputError
            If too little space is left.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        if free < size + SPARE_BYTES:
            raise OutputError(
                f"Too little space: {self.folder} has {free / 1e6:.0f} MB free; {size / 1e6:.0f} MB are to be written, "
                f"and {SPARE_BYTES / 1e6:.0f} MB must stay free.",
                "Free some space or choose another cachedir. What is prepared stays; the same command continues.",
            )

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for intermediate files; what killed preparations left beside it is removed.

        Raises
        ------
        OutputError
            If it cannot be made.
        """
        place = self.folder / ".scratch"
        with ExitStack() as held:
            try:
                self._sweep()
                place.mkdir(parents=True, exist_ok=True)
                folder = held.enter_context(working_folder(place))
            except OSError as error:
                raise OutputError(
                    f"{self.folder} cannot be written to: {error}", "Choose another cachedir, or free some space."
                ) from error
            yield folder

    def _sweep(self) -> None:
        """Remove what is left of files that killed processes were writing."""
        for left in self.folder.glob(".*.*"):
            try:
                if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
            except OSError:
                continue

    def sha256(self, path: Path) -> str:
        """sha256 of an input file, worked out once as long as its size, times and inode stay the same.

        Raises
        ------
        OSError
            If it cannot be read.
        InputChanged
            If it was changed since this run opened it.
        """
        known = self.known_sha256(path)
        if known is not None:
            note_input(path)
            return known
        note, stamp = self._note(path), stamp_of(path)
        digest = input_sha256(path)
        note.parent.mkdir(parents=True, exist_ok=True)
        write_text(note, json.dumps({"path": str(path), "seen": stamp, "sha256": digest}) + "\n")
        return digest

    def known_sha256(self, path: Path) -> str | None:
        """As :meth:`sha256`, None where the file would have to be read."""
        try:
            content = parse_json(self._note(path).read_text(encoding="utf-8"))
            return str(content["sha256"]) if content["seen"] == stamp_of(path) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _note(self, path: Path) -> Path:
        return self.folder / _HASHES / f"{_text_hash(os.path.abspath(path))}.json"  # noqa: PTH100 - links stay


def _text_hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:32]


def rows_text(rows: Rows) -> str:
    """The positions in words, the same for the same ones: for names and fingerprints."""
    if isinstance(rows, slice):
        return str(rows)
    return " ".join(f"{run[0]}-{run[-1]}" for run in runs_of(rows))


def runs_of(numbers: IntArray) -> list[IntArray]:
    """(n,) rising numbers as runs of successive ones."""
    return np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1) if len(numbers) else []


def assemble(
    members: Sequence[tuple[StoredMember, Rows]], folder: Path, in_memory: int = JOINED_IN_MEMORY
) -> FloatArray:
    """(N, H, W) values of several members, one after the other.

    One member is mapped as it is; several are joined in memory while they are small (``in_memory`` bytes), else
    in one file in ``folder``, written member by member, which is memory-mapped and found again by its name. So
    memory does not grow with the number of members.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    parts = [(member, rows) for member, rows in members]
    if len(parts) == 1:
        return parts[0][0].values[parts[0][1]]
    lengths = [len(member.index[rows]) for member, rows in parts]
    shape = (sum(lengths), *parts[0][0].values.shape[1:])
    size = 4 * int(np.prod(shape))
    if size <= in_memory:
        return np.concatenate([member.values[rows] for member, rows in parts])
    name = _text_hash(json.dumps([[m.key, rows_text(rows)] for m, rows in parts]))
    path = folder / f"{name}.npy"
    if not _is_joined(path, shape, parts):
        MemberStore(folder).make_room(size)
        try:
            with atomic_path(path) as temporary:
                joined = np.lib.format.open_memmap(temporary, "w+", np.float32, shape)
                for start, (member, rows) in zip(_starts(lengths), parts, strict=True):
                    joined[start : start + len(member.index[rows])] = member.values[rows]
                    joined.flush()
                del joined
        except OSError as error:
            raise OutputError(
                f"The joined members cannot be written to {folder}: {error}", "Is the disk full?"
            ) from error
    mapped: FloatArray = np.load(path, mmap_mode="r")
    return mapped


def _is_joined(path: Path, shape: tuple[int, ...], parts: Sequence[tuple[StoredMember, Rows]]) -> bool:
    """Whether ``path`` holds the parts one after the other, to the last byte: a scratch may have lost some."""
    try:
        joined = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    if joined.shape != shape or joined.dtype != np.float32:
        return False
    lengths = [len(member.index[rows]) for member, rows in parts]
    for start, (member, rows) in zip(_starts(lengths), parts, strict=True):
        part = member.values[rows]
        if not np.array_equal(joined[start : start + len(part)].view(np.int32), part.view(np.int32)):
            return False
    return True


def _starts(lengths: Sequence[int]) -> Iterator[int]:
    done = 0
    for length in lengths:
        yield done
        done += length
