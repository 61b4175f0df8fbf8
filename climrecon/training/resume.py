"""Checkpoints of a training: complete, written in one step, read without running code from them."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from climrecon.data.masks import MaskSource
from climrecon.data.noise import NoiseSource
from climrecon.errors import InputDataError, OutputError, UsageError
from climrecon.files import atomic_path, remove_remains, write_text
from climrecon.frequency import MONTH
from climrecon.interruption import handled_by
from climrecon.methods.priors.forced import ForcedResponses
from climrecon.training.fields import TrainingFields

CHECKPOINT, LOG = "checkpoint.pt", "log.csv"
#: Layout of the file.
FORMAT = 1
#: Months hashed of large archives, spread evenly: their whole bytes may be tens of gigabytes.
HASHED = 256
#: Names a file that asks to stop as soon as it is there, and how often it is looked for, s.
STOP_FILE = "CLIMRECON_STOP_FILE"
SECONDS_BETWEEN_LOOKS = 1.0


def identity_of_fields(fields: TrainingFields) -> str:
    """sha256 of what months there are, on what grid, and of the values of up to :data:`HASHED` of them."""
    digest = hashlib.sha256()
    for part in (fields.month, fields.index, fields.member, fields.grid.lat_edges, fields.grid.lon_edges):
        digest.update(np.ascontiguousarray(part).tobytes())
    digest.update("\n".join(fields.names).encode())
    if fields.frequency != MONTH:
        digest.update(fields.frequency.name.encode())
    if len(fields.set_names) > 1:  # they are weighted
        digest.update("\n".join(fields.sets).encode())
    for row in np.unique(np.linspace(0, len(fields) - 1, HASHED).astype(int)):
        digest.update(np.ascontiguousarray(fields.values[row]).tobytes())
        if fields.scored is not None:
            digest.update(np.ascontiguousarray(fields.scored[row]).tobytes())
        for name, auxiliary in fields.auxiliary.items():
            digest.update(name.encode() + np.ascontiguousarray(auxiliary[row]).tobytes())
    return digest.hexdigest()


def identity_of_weights(weights: Mapping[str, Tensor]) -> str:
    """sha256 of names and values."""
    digest = hashlib.sha256()
    for key in sorted(weights):
        digest.update(key.encode())
        digest.update(weights[key].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def identity_of_source(source: MaskSource | NoiseSource | ForcedResponses) -> str:
    """sha256 of all that a source of masks, errors or responses holds: its coverage, levels, patterns and settings."""
    digest = hashlib.sha256(type(source).__name__.encode())
    for field in fields(source):
        value = getattr(source, field.name)
        digest.update(field.name.encode())
        if isinstance(value, np.ndarray):
            digest.update(f"{value.dtype}{value.shape}".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        else:
            digest.update(repr(value).encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoint of one training in ``folder``.

    ``identity`` says what a training is: recipe, data, masks, errors, seed and what it starts from, each with its
    hash or text.
    """

    folder: Path
    identity: Mapping[str, str]

    @property
    def path(self) -> Path:
        """The checkpoint's file."""
        return self.folder / CHECKPOINT

    def write(self, state: Mapping[str, Any]) -> None:
        """Write ``state``; the checkpoint before stays until the new one is whole.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        content = {"format": FORMAT, "identity": dict(self.identity), "state": dict(state)}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_path(self.path) as temporary:
                torch.save(content, temporary)
        except (OSError, RuntimeError) as error:
            raise OutputError(
                f"The checkpoint {self.path} cannot be written: {error}",
                "Make room or choose another folder, and start the same command again: it goes on from the "
                "checkpoint before.",
            ) from error

    def read(self) -> dict[str, Any] | None:
        """The state to go on from; None if there is none. Remains of writes that were killed are removed.

        Raises
        ------
        InputDataError
            If the file is damaged.
        UsageError
            If it belongs to another training; what differs is named.
        """
        remove_remains(self.path)
        if not self.path.is_file():
            return None
        try:
            content = torch.load(io.BytesIO(self.path.read_bytes()), map_location="cpu", weights_only=True)
            identity, state = content["identity"], content["state"]
            if content["format"] != FORMAT:
                raise ValueError(f"its layout is {content['format']}, {FORMAT} is expected")
        except MemoryError:
            raise
        except Exception as error:  # torch raises whatever its reader meets in a damaged file
            raise InputDataError(
                f"The checkpoint {self.path} cannot be read: {str(error).splitlines()[0]}",
                "Remove it to start this training again.",
            ) from error
        differ = [key for key in self.identity if identity.get(key) != self.identity[key]]
        if differ:
            what = "; ".join(
                f"{key}: {_short(identity.get(key))} there, {_short(self.identity[key])} here" for key in differ
            )
            raise UsageError(
                f"The checkpoint {self.path} belongs to another training ({what}).",
                "Give the settings it was begun with to continue it, or another folder to begin anew.",
            )
        return dict(state)

    def log(self, header: str, rows: list[tuple[Any, ...]]) -> None:
        """Write the table of what was seen on the way."""
        lines = [header, *(",".join(f"{value:.6g}" for value in row) for row in rows)]
        write_text(self.folder / LOG, "\n".join(lines) + "\n")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 24 else text[:12] + "…"


class StopRequest:
    """Whether one was asked to stop.

    By a signal; or by the file that the variable :data:`STOP_FILE` names: a batch job starts the processes of a
    training on several nodes through two launchers, of which neither passes a signal on and waits for what follows.
    """

    def __init__(self) -> None:
        named = os.environ.get(STOP_FILE)
        self._file, self._looked, self._asked = Path(named) if named else None, 0.0, ""

    @property
    def signal(self) -> str:
        """The signal's name, or what asked in its place; empty as long as nothing did."""
        if self._file and not self._asked and time.monotonic() - self._looked > SECONDS_BETWEEN_LOOKS:
            self._looked = time.monotonic()
            self._asked = "its batch job" if self._file.exists() else ""
        return self._asked

    def ask(self, name: str) -> None:
        """Ask to stop."""
        self._asked = name


@contextmanager
def stop_when_asked() -> Iterator[StopRequest]:
    """SIGTERM and SIGUSR1 are noted, not obeyed at once, while a training runs in the main thread.

    Batch systems send SIGTERM some time before they kill, and SIGUSR1 where asked to (sbatch --signal).
    """
    asked = StopRequest()
    with handled_by(lambda number, frame: asked.ask(signal.Signals(number).name), (signal.SIGTERM, signal.SIGUSR1)):
        yield asked
