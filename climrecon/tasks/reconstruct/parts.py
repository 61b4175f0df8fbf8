"""A reconstruction in parts: how large it is, in how many parts it is done, and their files in a folder of the cache.

The files hold prepared observations and blocks of months; each appears whole and carries its checksum.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from climrecon.array_types import Array, FloatArray
from climrecon.arrays import Damaged, is_whole, open_arrays, write_arrays
from climrecon.errors import OutputError
from climrecon.fields import Observations, Source, Steps
from climrecon.frequency import FREQUENCIES
from climrecon.grid import Grid
from climrecon.preprocess.chunks import one_after_the_other
from climrecon.preprocess.field import dimensions
from climrecon.settings import RunSettings
from climrecon.tasks.inputs import Inputs
from climrecon.tasks.reconstruct.apply import FIELDS, CompleteFields, Realisations
from climrecon.tasks.reconstruct.ensemble import EnsembleRecord, count_of, ensemble_files, open_ensemble
from climrecon.tasks.reconstruct.product import Prepared
from climrecon.training.store import MemberStore
from climrecon.workflow.run_info import note_start

#: Realisations of a part are written in files of about so many bytes.
GROUP_BYTES = 400e6
#: Fields of each month without realisations: mean, standard deviation, that of the prior.
_PLAIN_FIELDS = 3
#: Elements of a job array, at most: what Slurm takes where nobody has raised its limit.
MOST_PARTS = 1000
#: Parts of unfinished runs are removed after so many days.
UNFINISHED_DAYS = 30
#: Begins the names of arrays of regional standard deviations.
_REGION = "region_sd "


@dataclass(frozen=True)
class Size:
    """Months, cells a month, realisations, members reconstructed too; 0 months where the files do not state them."""

    months: int
    cells: int
    realisations: int
    members: int = 0

    @property
    def values(self) -> int:
        """Numbers that are worked out."""
        return self.months * self.cells * (_PLAIN_FIELDS + self.realisations + self.members)

    def parts(self, values_per_part: int, chunk: int) -> int:
        """Parts of at most so many values, if there are so many chunks of months."""
        chunks = max(1, -(-self.months // chunk))
        return max(1, min(-(-self.values // values_per_part), chunks, MOST_PARTS))

    @property
    def bytes(self) -> int:
        """Of all parts' files together."""
        return 4 * self.values

    def files(self, parts: int) -> int:
        """Number of all parts' files together."""
        drawn = 4 * self.months * self.cells * self.realisations
        return 2 + self.members + parts * (1 + -(-int(drawn / parts) // int(GROUP_BYTES)))


def size_of(inputs: Inputs, settings: RunSettings) -> Size:
    """From the headers alone; an unreadable file counts as small, and raises its error when it is read."""
    months = cells = 0
    for path in inputs.main:
        steps, own = dimensions(path)
        months, cells = months + steps, max(cells, own)
    first, last = settings.period or (None, None)
    if first is not None and last is not None:
        months = min(months, settings.frequency.at_most(last - first + 1))
    return Size(months, cells, settings.realisations, count_of(inputs, settings))


def write_file(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> None:
    """Write a file of arrays.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    try:
        write_arrays(path, arrays, metadata)
    except OSError as error:
        raise OutputError(
            f"{path} could not be written: {error}",
            "Is the disk full? Free some space, or choose another outputdir or cachedir; finished parts stay.",
        ) from error


class Parts:
    """The files of one reconstruction.

    Parameters
    ----------
    key:
        Fingerprint of the reconstruction.
    """

    def __init__(self, store: MemberStore, key: str) -> None:
        self.store, self.key = store, key
        self.folder = store.folder / key[:32]
        self.prepared = self.folder / "observations.safetensors"

    def begin(self) -> None:
        """Make the folder, note when the run began, and remove the parts of runs that nobody finished."""
        for left in self.store.folder.glob("*/"):
            with suppress(OSError):
                if len(left.name) == 32 and time.time() - left.stat().st_mtime > UNFINISHED_DAYS * 86400:
                    shutil.rmtree(left)
        self.folder.mkdir(parents=True, exist_ok=True)
        note_start(self.folder)

    def write(self, path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> None:
        """Write a file of arrays if there is room for it.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        self.store.make_room(sum(array.nbytes for array in arrays.values()))
        self.folder.mkdir(parents=True, exist_ok=True)
        write_file(path, arrays, metadata)

    # prepared observations

    def is_prepared(self) -> bool:
        """Whether the prepared observations and the members of their ensemble are there, by the files' headers."""
        try:
            _, metadata = open_arrays(self.prepared, check=False)
        except Damaged:
            return False
        return all(map(is_whole, ensemble_files(self.folder, EnsembleRecord.of(metadata["ensemble"]))))

    def write_prepared(self, prepared: Prepared) -> None:
        """Write the observations on the method's grid; after the members, so that observations have all members."""
        observations, grid = prepared.on_network, prepared.grid
        arrays: dict[str, Array] = {
            "values": observations.values, "mask": observations.mask, "index": observations.time.index.astype(np.int64),
            "lat_edges": observations.grid.lat_edges, "lon_edges": observations.grid.lon_edges,
            "own_lat_edges": grid.lat_edges, "own_lon_edges": grid.lon_edges,
        }  # fmt: skip
        if observations.obs_sd is not None:
            arrays["obs_sd"] = observations.obs_sd
        metadata = {
            "key": self.key,
            "notes": list(observations.source.notes),
            "frequency": observations.time.frequency.name,
            "calendar": observations.time.calendar,
            "ensemble": asdict(prepared.record),
            "variable": observations.variable,
        }
        self.write(self.prepared, arrays, metadata)

    def open_prepared(self) -> Prepared:
        """The prepared observations, every byte checked; of their source there are the notes alone.

        Raises
        ------
        Damaged
            If a file is lost or not as it was written.
        """
        opened, metadata = open_arrays(self.prepared, check=True)
        arrays = {name: np.array(array) for name, array in opened.items()}
        record = EnsembleRecord.of(metadata["ensemble"])
        time = Steps(arrays["index"], FREQUENCIES[metadata["frequency"]], metadata["calendar"])
        observations = Observations(
            metadata["variable"], arrays["values"], arrays["mask"], arrays.get("obs_sd"), time,
            Grid(arrays["lat_edges"], arrays["lon_edges"]), None,
            Source("", "", (), (), "", notes=tuple(metadata["notes"])),
        )  # fmt: skip
        grid = Grid(arrays["own_lat_edges"], arrays["own_lon_edges"])
        return Prepared(observations, grid, record, open_ensemble(self.folder, record))

    # parts

    def _file(self, part: int) -> Path:
        return self.folder / f"part-{part:04d}.safetensors"

    def _group(self, part: int, group: int) -> Path:
        return self.folder / f"part-{part:04d}-realisations-{group:03d}.safetensors"

    def exists(self, part: int) -> bool:
        """Whether anything is there of a part."""
        return self._file(part).exists() or self._group(part, 0).exists()

    def is_written(self, part: int) -> bool:
        """Whether a part is there, by the headers of its files."""
        try:
            _, metadata = open_arrays(self._file(part), check=False)
        except Damaged:
            return False
        return all(is_whole(self._group(part, group)) for group in range(int(metadata["groups"])))

    def write_part(self, part: int, fields: CompleteFields, block: slice, realisations: int, group: int) -> None:
        """Write a block of months, ``group`` realisations a file."""
        groups = -(-realisations // group)
        metadata = {"key": self.key, "months": [block.start, block.stop], "groups": groups}
        draws = iter(fields.realisations or ())
        for number in range(groups):
            drawn = {"realisations": np.stack(list(islice(draws, group)))}
            self.write(self._group(part, number), drawn, {**metadata, "first": number * group})
        regions = {f"{_REGION}{name}": series for name, series in fields.region_sd.items()}
        # Last: a part with this file has all the others.
        self.write(self._file(part), {**fields.arrays(), **regions}, metadata)

    def open_part(self, part: int) -> CompleteFields:
        """A block of months, every byte checked.

        Raises
        ------
        Damaged
            If a file is lost or not as it was written.
        """
        arrays, metadata = open_arrays(self._file(part), check=True)
        groups = [open_arrays(self._group(part, n), check=True)[0] for n in range(int(metadata["groups"]))]
        drawn = [group["realisations"] for group in groups]
        return CompleteFields(
            **{name: arrays[name] for name in FIELDS if name in arrays},
            region_sd={name.removeprefix(_REGION): arrays[name] for name in arrays if name.startswith(_REGION)},
            realisations=Realisations(lambda: chain.from_iterable(drawn)) if drawn else None,
        )

    def remove(self) -> None:
        """Remove all files."""
        shutil.rmtree(self.folder, ignore_errors=True)


def group_size(months: int, grid: Grid) -> int:
    """Realisations in a file of about :data:`GROUP_BYTES`."""
    return max(1, int(GROUP_BYTES // max(4 * months * grid.area.size, 1)))


def joined(blocks: list[CompleteFields], scratch: Path) -> CompleteFields:
    """Blocks of months one after the other; realisations are joined whenever they are iterated over.

    Parameters
    ----------
    scratch:
        Folder for arrays that are too large for the memory.
    """

    def realisations() -> Iterator[FloatArray]:
        for parts in zip(*(block.realisations or () for block in blocks), strict=True):
            yield np.concatenate(parts)

    arrays = [block.arrays() for block in blocks]
    names = dict.fromkeys(name for one in arrays for name in one)
    return CompleteFields(
        **{name: one_after_the_other([one[name] for one in arrays if name in one], scratch) for name in names},
        region_sd={name: np.concatenate([one.region_sd[name] for one in blocks]) for name in blocks[0].region_sd},
        realisations=None if blocks[0].realisations is None else Realisations(realisations),
    )
