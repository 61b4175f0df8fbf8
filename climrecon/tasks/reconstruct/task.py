"""A large reconstruction in parts: blocks of months, each a file in the cache, collected into one result.

Stages: ``prepare`` brings the observations to the network's grid once, ``reconstruct`` has a part for each block,
``collect`` writes what a reconstruction in one go writes, bit for bit. Every file appears whole, carries its checksum
and is made anew where it is lost or damaged, by whichever stage misses it.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from climrecon.array_types import Array, FloatArray
from climrecon.arrays import Damaged, is_whole, open_arrays, write_arrays
from climrecon.errors import OutputError
from climrecon.fields import Months, Observations, Source
from climrecon.files import write_text
from climrecon.grid import Grid
from climrecon.methods.by_chunks import CHUNK
from climrecon.preprocess import FileGrid, read_observations
from climrecon.settings import RunSettings, Site
from climrecon.tasks.inputs import Inputs, resolve
from climrecon.tasks.methods import Method, load_method, on_method_grid
from climrecon.tasks.network_store import cache_folder
from climrecon.tasks.reconstruct.apply import OwnFields, blocks, complete_fields
from climrecon.tasks.reconstruct.dry_run import dry_run
from climrecon.tasks.reconstruct.ensemble import (
    Ensemble,
    applied,
    ensemble_files,
    errors_in,
    files_of,
    open_ensemble,
    prepare_ensemble,
)
from climrecon.tasks.reconstruct.product import (
    DEFAULT_FOLDER,
    STAGE_VERSION,
    methods_beside,
    product_of,
    reconstruct_observations,
    request_of,
    run_of,
)
from climrecon.tasks.reconstruct.results import write_results
from climrecon.tasks.reconstruct.size import GROUP_BYTES, Size, size_of
from climrecon.training.store import MemberStore
from climrecon.workflow.fingerprint import fingerprint
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.output_folder import staged
from climrecon.workflow.progress import Quiet, Reporter
from climrecon.workflow.stage import Stage
from climrecon.workflow.versions import versions

#: Parts of runs that nobody finished are removed after so many days.
KEPT_DAYS = 30
_FIELDS = ("mean", "stddev", "prior_stddev", "observational")


class Reconstruction:
    """One reconstruction: which observations, how large, in how many parts, and where it stands.

    Raises
    ------
    NoDataError, InputDataError
        When it is first asked for what depends on observations that cannot be found.
    """

    def __init__(self, settings: RunSettings, site: Site, about: dict[str, Any]) -> None:
        self.settings, self.site, self.about = settings, site, about
        self.store = MemberStore(cache_folder(settings.cachedir) / "reconstruction")
        self._observations: Observations | None = None
        self._adapted: str | None = None

    @cached_property
    def inputs(self) -> Inputs:
        """The observations' files."""
        return resolve(self.settings, self.site, Quiet())

    @cached_property
    def size(self) -> Size:
        """How large it is, by the files' headers."""
        return size_of(self.inputs, self.settings)

    @property
    def parts(self) -> int:
        """Parts it is reconstructed in; 1: in one go."""
        return self.size.parts(self.site.file.slurm.values_per_part, CHUNK)

    @cached_property
    def method(self) -> Method:
        """The network or baseline."""
        return load_method(self.settings.network, self.settings, self.site)

    def stages(self) -> tuple[Stage, ...]:
        """The stages of this run, in order."""
        if self.settings.dryrun or self.parts == 1:
            return (Stage("reconstruct", self.whole),)
        return (
            Stage("prepare", self.prepare, is_done=self.is_prepared),
            Stage("reconstruct", self.reconstruct, self.parts, self.is_reconstructed),
            Stage("collect", self.collect),
        )

    def whole(self, part: int, reporter: Reporter) -> Outcome:
        """Reconstruct in one go, or say what would be done."""
        self._say_inputs(reporter)
        if self.settings.dryrun:
            return dry_run(
                self.settings,
                self.inputs,
                self.method.info,
                reporter,
                self.size,
                self.parts,
                self.store.folder,
            )
        return reconstruct_observations(self.settings, self.site, reporter, self.about, self.inputs)

    def _say_inputs(self, reporter: Reporter) -> None:
        if self.settings.catalogue and not self.settings.obs_file:
            reporter.stage(f"Searching {self.settings.catalogue}")
        for note in self.inputs.notes:
            reporter.note(note)

    # where parts are

    @cached_property
    def key(self) -> str:
        """What makes two reconstructions have the same parts: also the versions of what works them out."""
        files = [*self.inputs.main, *([self.inputs.uncorrelated] if self.inputs.uncorrelated else [])]
        files += files_of(self.inputs, request_of(self.settings, self.inputs), self.settings.obs_members)
        settings = self.settings.fingerprinted("reconstruct")
        settings |= {"facets": self.inputs.facets, "versions": versions(), "parts": self.parts}
        return fingerprint(
            "reconstruct-parts",
            STAGE_VERSION,
            [
                *(f"{number:05d} {self.store.sha256(path)}" for number, path in enumerate(files)),
                *(digest for _, digest in self.method.info.inputs),
            ],
            settings,
            self.method.info.sha256 or self.method.info.name,
        )

    @property
    def folder(self) -> Path:
        """Where the parts are."""
        return self.store.folder / self.key[:32]

    @property
    def prepared(self) -> Path:
        """The file of observations on the network's grid."""
        return self.folder / "observations.safetensors"

    def _file(self, part: int) -> Path:
        return self.folder / f"part-{part:04d}.safetensors"

    def _group(self, part: int, group: int) -> Path:
        return self.folder / f"part-{part:04d}-realisations-{group:03d}.safetensors"

    def _write(self, path: Path, arrays: Mapping[str, Array], about: Mapping[str, Any]) -> None:
        self.store.make_room(sum(array.nbytes for array in arrays.values()))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_arrays(path, arrays, about)
        except OutputError:
            raise
        except Exception as error:  # safetensors raises its own error for what the system says
            raise OutputError(
                f"The part {path} cannot be written: {error}",
                "Is the disk full? Free some space or choose another cachedir; what is done stays.",
            ) from error

    # prepare

    def is_prepared(self, part: int) -> bool:
        """Whether the observations are there on the network's grid, and the members of their ensemble."""
        if not is_whole(self.prepared):
            return False
        try:
            _, about = open_arrays(self.prepared, check=False)
        except Damaged:
            return False
        return all(is_whole(path) for path in ensemble_files(self.folder, about["ensemble"]))

    def prepare(self, part: int, reporter: Reporter) -> None:
        """Bring the observations to the network's grid."""
        self._say_inputs(reporter)
        self._sweep()
        self.folder.mkdir(parents=True, exist_ok=True)
        begun = self.folder / "started.json"
        if not begun.exists():
            write_text(begun, json.dumps({"started": datetime.now(UTC).isoformat()}) + "\n")
        observations = self._read(reporter)
        about = prepare_ensemble(
            self.inputs,
            request_of(self.settings, self.inputs),
            self.settings.obs_members,
            observations,
            self.method,
            self.folder,
            keep_observed=self.settings.keep_observed,
            seed=self.settings.seed,
            sha256=self.store.sha256,
            write=self._write,
            reporter=reporter,
        )
        reporter.note(errors_in(about).describe())
        observations = applied(observations, about, open_ensemble(self.folder, about, check=False))
        with self.store.scratch() as scratch:
            found = on_method_grid(observations, self.method, scratch)
        for note in found.source.notes[len(observations.source.notes) :]:
            reporter.note(note)
        arrays: dict[str, Array] = {
            "values": found.values, "mask": found.mask, "index": found.time.index.astype(np.int64),
            "lat_edges": found.grid.lat_edges, "lon_edges": found.grid.lon_edges,
            "own_lat_edges": observations.grid.lat_edges, "own_lon_edges": observations.grid.lon_edges,
        }  # fmt: skip
        if found.obs_sd is not None:
            arrays["obs_sd"] = found.obs_sd
        # Last: observations with this file have all members.
        said = {"key": self.key, "notes": list(found.source.notes), "ensemble": about}
        self._write(self.prepared, arrays, said)

    def _read(self, reporter: Reporter) -> Observations:
        if self._observations is None:
            reporter.stage(f"Reading {', '.join(path.name for path in self.inputs.main)}")
            self._observations = read_observations(
                self.inputs.main,
                request_of(self.settings, self.inputs),
                uncorrelated=self.inputs.uncorrelated,
            )
            for note in self._observations.source.notes:
                reporter.note(note)
        return self._observations

    def _sweep(self) -> None:
        """Remove the parts of runs that nobody finished."""
        for left in self.store.folder.glob("*/"):
            with suppress(OSError):
                if len(left.name) == 32 and time.time() - left.stat().st_mtime > KEPT_DAYS * 86400:
                    shutil.rmtree(left)

    def _prepared(self, reporter: Reporter) -> tuple[Observations, Grid, dict[str, Any], Ensemble | None]:
        """Observations on the network's grid, their own grid, what is said of the ensemble, and its members.

        The method has seen all months of the observations.
        """
        try:
            arrays, about = open_arrays(self.prepared, check=True)
            ensemble = open_ensemble(self.folder, about["ensemble"])
        except Damaged as error:
            name = self.prepared.name if not is_whole(self.prepared) else "a file of the observations"
            reporter.warning(
                f"{name} is not as it was left in {self.folder}; it is made anew ({error.message})"
            )
            self.prepare(0, reporter)
            arrays, about = open_arrays(self.prepared, check=True)
            ensemble = open_ensemble(self.folder, about["ensemble"])
        found = {name: np.array(array) for name, array in arrays.items()}
        source = Source("", "", (), (), "", notes=tuple(about["notes"]))
        on_network = Observations(
            self.settings.variable, found["values"], found["mask"], found.get("obs_sd"),
            Months(found["index"]), Grid(found["lat_edges"], found["lon_edges"]), None, source,
        )  # fmt: skip
        if self._adapted is None:
            self._adapted = self.method.reconstructor.calibrate(on_network)
        own = Grid(found["own_lat_edges"], found["own_lon_edges"])
        return on_network, own, about["ensemble"], ensemble

    # reconstruct

    def is_reconstructed(self, part: int) -> bool:
        """Whether a part is there, by the headers of its files."""
        if not is_whole(self._file(part)):
            return False
        try:
            _, about = open_arrays(self._file(part), check=False)
        except Damaged:
            return False
        return all(is_whole(self._group(part, group)) for group in range(int(about["groups"])))

    def reconstruct(self, part: int, reporter: Reporter) -> None:
        """Reconstruct a block of months."""
        on_network, own, _, ensemble = self._prepared(reporter)
        block = blocks(len(on_network.time), self.parts, CHUNK)[part]
        count = block.stop - block.start
        reporter.stage(
            f"Reconstructing {count} months with {self.method.info.name}, part {part + 1} of {self.parts}"
        )
        with self.store.scratch() as scratch:
            complete = complete_fields(
                self.method.reconstructor,
                on_network,
                members=self.settings.realisations,
                seed=self.settings.seed,
                scratch=scratch,
                reporter=reporter,
                block=block,
                ensemble=ensemble.on_network if ensemble else (),
            )
            # The rows of a file that are written twice, and its order, concern the last stage alone.
            back = FileGrid(own, on_network.grid, on_network.source, scratch)
            size = max(1, int(GROUP_BYTES // max(4 * count * own.area.size, 1)))
            members = self.settings.realisations if complete.realisations is not None else 0
            groups = [slice(first, min(first + size, members)) for first in range(0, members, size)]
            about = {"key": self.key, "months": [block.start, block.stop], "groups": len(groups)}
            for number, group in enumerate(groups):
                assert complete.realisations is not None
                drawn = np.array(complete.realisations[group])
                flat = back.own_grid(drawn.reshape(-1, *drawn.shape[2:]))
                arrays = {"realisations": flat.reshape(len(drawn), count, *own.shape).astype(np.float32)}
                self._write(self._group(part, number), arrays, {**about, "first": group.start})
            (scratch / "realisations.npy").unlink(missing_ok=True)
            fields = {name: getattr(complete, name) for name in _FIELDS}
            arrays = {
                name: back.own_grid(field).astype(np.float32)
                for name, field in fields.items()
                if field is not None
            }
            arrays |= {f"region_sd {name}": series for name, series in complete.region_sd.items()}
            # Last: a part with this file has all the others.
            self._write(self._file(part), arrays, about)

    # collect

    def collect(self, part: int, reporter: Reporter) -> Outcome:
        """Check the parts, remake those that are lost or damaged, and write the results."""
        observations = self._read(reporter)
        on_network, _, about, ensemble = self._prepared(reporter)
        observations = applied(observations, about, ensemble)
        if self._adapted:
            reporter.note(self._adapted)
        reporter.stage(f"Collecting {self.parts} parts")
        opened = []
        for number in range(self.parts):
            opened.append(self._checked(number, reporter))
            reporter.step(number + 1, self.parts)
        own = _joined(opened, self.settings.realisations)
        folder = self.settings.outputdir or DEFAULT_FOLDER
        on_network = replace(on_network, source=replace(observations.source, notes=on_network.source.notes))
        with staged(folder) as stage:
            back = FileGrid(observations.grid, on_network.grid, observations.source, stage)
            product = product_of(
                self.settings, observations, own, self.method, on_network, back, reporter,
                self._adapted or "", ensemble, errors_in(about),
            )  # fmt: skip
            run = run_of(self.settings, observations, self.method, self.about, self._started())
            outcome = write_results(
                stage,
                folder,
                product,
                self.settings,
                run,
                self.inputs,
                methods_beside(self.settings, self.site),
                reporter,
            )
        shutil.rmtree(self.folder, ignore_errors=True)
        return outcome

    def _checked(self, part: int, reporter: Reporter) -> list[dict[str, Array]]:
        """The arrays of a part, every byte checked: fields first, then groups of realisations."""
        try:
            return self._open(part)
        except Damaged:
            if self._file(part).exists() or self._group(part, 0).exists():
                reporter.warning(f"part {part + 1} is not as it was left in {self.folder}; it is made anew")
            else:
                reporter.warning(f"part {part + 1} is not in {self.folder} any more; it is made anew")
        self.reconstruct(part, reporter)
        return self._open(part)

    def _open(self, part: int) -> list[dict[str, Array]]:
        fields, about = open_arrays(self._file(part), check=True)
        groups = [open_arrays(self._group(part, n), check=True)[0] for n in range(int(about["groups"]))]
        return [fields, *groups]

    def _started(self) -> datetime:
        try:
            text = json.loads((self.folder / "started.json").read_text(encoding="utf-8"))["started"]
            return datetime.fromisoformat(text)
        except (OSError, ValueError, KeyError):
            return datetime.now(UTC)


def _joined(parts: list[list[dict[str, Array]]], members: int) -> OwnFields:
    """Blocks of months one after the other; realisations one by one, from all blocks."""

    def joined(name: str) -> FloatArray | None:
        found = [part[0][name] for part in parts if name in part[0]]
        return np.concatenate(found) if found else None

    mean = joined("mean")
    assert mean is not None
    names = [name for name in parts[0][0] if name.startswith("region_sd ")]
    region_sd = {
        name.removeprefix("region_sd "): np.concatenate([part[0][name] for part in parts]) for name in names
    }

    def realisations() -> Iterator[FloatArray]:
        for number in range(members):
            yield np.concatenate([_member(part[1:], number) for part in parts])

    drawn: Callable[[], Iterator[FloatArray]] | None = realisations if len(parts[0]) > 1 else None
    return OwnFields(
        mean, joined("stddev"), joined("prior_stddev"), region_sd, drawn, joined("observational")
    )


def _member(groups: list[dict[str, Array]], number: int) -> FloatArray:
    for group in groups:
        drawn = group["realisations"]
        if number < len(drawn):
            return np.asarray(drawn[number])
        number -= len(drawn)
    raise AssertionError("every realisation is in a group")
