"""A reconstruction in one go, or in parts: blocks of months, each in files of the cache.

Both take the same steps. In parts they are stages: ``prepare`` brings the observations to the network's grid once,
``reconstruct`` has a part for each block, ``collect`` writes the results, bit for bit those of one go. A file of a part
that is lost or damaged is made anew by the stage that misses it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from climrecon.arrays import Damaged, is_whole
from climrecon.errors import InputDataError
from climrecon.fields import Observations
from climrecon.files import input_sha256
from climrecon.grid import Grid
from climrecon.methods.by_chunks import CHUNK
from climrecon.output.explanation import Explained
from climrecon.preprocess import FileGrid, read_observations
from climrecon.preprocess.field import grid_within
from climrecon.preprocess.way_back import check_same_cells
from climrecon.settings import RunSettings, Site
from climrecon.tasks.explained.value import explain, months_at
from climrecon.tasks.inputs import Inputs, resolve
from climrecon.tasks.methods import (
    LoadedMethod,
    load_method,
    method_grid,
    notes_on_choice,
    on_method_grid,
    with_fitting_network,
)
from climrecon.tasks.network_store import cache_folder
from climrecon.tasks.reconstruct.apply import CompleteFields, blocks, complete_fields, to_native_grid
from climrecon.tasks.reconstruct.ensemble import (
    Write,
    all_members,
    applied,
    chosen_covariances,
    chosen_members,
    files_of,
    open_ensemble,
    prepare_ensemble,
)
from climrecon.tasks.reconstruct.parts import Parts, Size, group_size, joined, size_of, write_file
from climrecon.tasks.reconstruct.product import STAGE_VERSION, Prepared, fingerprint_of, product_of
from climrecon.tasks.reconstruct.results import write_results
from climrecon.training.store import MemberStore
from climrecon.workflow.disk_space import file_system_lines, megabytes
from climrecon.workflow.fingerprint import fingerprint
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Quiet, Reporter
from climrecon.workflow.run_folder import RunFolder, output_folder
from climrecon.workflow.run_info import RunInfo, start_noted
from climrecon.workflow.stage import Stage
from climrecon.workflow.versions import versions


class Reconstruction:
    """One reconstruction: which observations, how large, in how many parts, and where it stands.

    Raises
    ------
    NoDataError, InputDataError
        When it is first asked for what depends on observations that cannot be found.
    """

    def __init__(self, settings: RunSettings, site: Site, run: RunInfo) -> None:
        self._asked, self.site, self.run = settings, site, run
        self.store = MemberStore(cache_folder(settings.cachedir) / "reconstruction")
        self.arrays = cache_folder(settings.cachedir) / "arrays"
        self._observations: Observations | None = None
        self._calibration: str | None = None

    @cached_property
    def inputs(self) -> Inputs:
        """The observations' files."""
        return resolve(self._asked, self.site, Quiet())

    @cached_property
    def settings(self) -> RunSettings:
        """The settings; a network that was chosen for the user and has another grid than the files is a baseline."""
        return with_fitting_network(self._asked, self.grid)

    @cached_property
    def grid(self) -> Grid | None:
        """The grid of the observations, by the header of their file; None where it cannot be read."""
        return grid_within(self.inputs.main[0], self.inputs.request(self._asked))

    @cached_property
    def size(self) -> Size:
        """How large it is, by the files' headers."""
        return size_of(self.inputs, self._asked)

    @property
    def parts(self) -> int:
        """Parts it is reconstructed in; 1: in one go."""
        return self.size.parts(self.site.file.slurm.values_per_part, CHUNK)

    @cached_property
    def method(self) -> LoadedMethod:
        """The network or baseline."""
        return load_method(self.settings.network, self.settings, self.site)

    @cached_property
    def others(self) -> list[LoadedMethod]:
        """Networks and baselines that the result is compared with."""
        names = [name for name in self.settings.other_networks if name != self.settings.network]
        return [load_method(name, self.settings, self.site) for name in names]

    def stages(self) -> tuple[Stage, ...]:
        """The stages of this run, in order."""
        if self._asked.dryrun:
            return (Stage("dryrun", self.dry_run),)
        if self.parts == 1:
            return (Stage("reconstruct", self.whole),)
        return (
            Stage("prepare", self.prepare, is_done=lambda part: self.files.is_prepared()),
            Stage("reconstruct", self.reconstruct, self.parts, lambda part: self.files.is_written(part)),
            Stage("collect", self.collect),
        )

    def whole(self, part: int, reporter: Reporter) -> Outcome:
        """Reconstruct in one go."""
        self.load(reporter)
        with (
            RunFolder.create(self.run, self.settings, reporter) as results,
            TemporaryDirectory(prefix=".scratch-", dir=results.stage) as name,
        ):
            scratch = Path(name)
            observations, prepared = self.prepared(scratch, reporter)
            fields = self._fields(prepared, 0, 1, scratch, reporter)
            return self._write(results, observations, prepared, fields)

    def load(self, reporter: Reporter) -> None:
        """Find the observations and load all methods: what cannot be used is no reason to begin."""
        self._note_inputs(reporter)
        reporter.stage(f"Loading {self.settings.network}")
        _ = self.method, self.others

    def prepared(self, scratch: Path, reporter: Reporter) -> tuple[Observations, Prepared]:
        """The observations as read, and on the grid of the method, which is calibrated to them."""
        observations, prepared = self._prepare(scratch, scratch, input_sha256, write_file, reporter)
        prepared = self._calibrated(prepared)
        if prepared.calibration:
            reporter.note(prepared.calibration)
        return observations, prepared

    def dry_run(self, part: int, reporter: Reporter) -> Outcome:
        """Read the observations and describe the run: files, sizes, parts; writes nothing."""
        self._note_inputs(reporter)
        settings, inputs, network = self.settings, self.inputs, self.method.info
        members, covariances = chosen_members(inputs, settings), chosen_covariances(inputs, settings)
        reporter.stage("Dry run: reading, writing nothing")
        observations = read_observations(
            inputs.main, inputs.request(settings, self.arrays), uncorrelated=inputs.uncorrelated
        )
        source, months = observations.source, months_at(observations, settings)
        fields = (4 if network.sha256 else 3) + int(bool(self.size.members))
        size = observations.values.size * 4 * (fields + settings.realisations)
        folder = output_folder(settings)
        # Data, catalogue, provenance and manifest; figures; report.
        written = (
            4
            + (3 if settings.plots else 0)
            + (2 + settings.plots) * len(months)
            + settings.animation
            + settings.interactive_map
            + settings.report
        )
        needs: list[tuple[Path, float, int]] = [(folder, size, written + 6 * int(settings.add_to_databrowser))]
        lines = ["Would reconstruct, and write nothing now (dryrun):", "  inputs:"]
        lines += [f"    {path} ({megabytes(path.stat().st_size)})" for path in inputs.observations]
        if members:
            held = megabytes(sum(path.stat().st_size for path in {one.path for one in members}))
            total = len(all_members(inputs, settings))
            lines.append(f"    {len(members)} of {total} members, each reconstructed too (obs_members; {held})")
        if covariances:
            lines.append(f"    {len(covariances)} error covariances, which errors of the members are drawn from")
        lines += [f"  left out: {path}: {reason}" for path, reason in inputs.left_out]
        lines += [f"  note: {note}" for note in (*inputs.notes, *notes_on_choice(settings, self.grid), *source.notes)]
        lines += [
            f"  data: {source.label}, {observations.time.counted()} {observations.time.span()}, "
            f"{observations.grid.describe()}, {100 * float(observations.mask.mean()):.0f} % of cells observed",
            f"  network: {network.name} ({network.title})",
            f"  compared with: {', '.join(settings.other_networks) or 'nothing'}",
            f"  output: at most {megabytes(size)} before compression in {folder}",
        ]
        if months:
            labels = ", ".join(observations.time.labels()[at] for at in months)
            value = settings.region or "the index of the variable, else the mean"
            lines.append(f"  explained: {labels}; value: {value}")
        if settings.native_grid:
            lines.append("  and on the cells of the file: values, standard deviation and status, in a second file")
        if self.parts > 1:
            held, files = megabytes(self.size.bytes), self.size.files(self.parts)
            needs.append((self.store.folder, self.size.bytes, files))
            lines.append(
                f"  parts: {self.parts} blocks of {observations.time.plural}, {held} in about {files} files in "
                f"{self.store.folder} until all are done"
            )
        return Outcome.of_dry_run([*lines, *file_system_lines(needs)])

    # steps, in one go and in parts

    def _note_inputs(self, reporter: Reporter) -> None:
        if self.settings.catalogue and not self.settings.obs_file:
            reporter.stage(f"Searching {self.settings.catalogue}")
        for note in (*self.inputs.notes, *notes_on_choice(self.settings, self.grid)):
            reporter.note(note)

    def read(self, reporter: Reporter) -> Observations:
        """The observations as they are, read once."""
        if self._observations is None:
            reporter.stage(f"Reading {self.inputs.label}")
            self._observations = read_observations(
                self.inputs.main, self.inputs.request(self.settings, self.arrays), uncorrelated=self.inputs.uncorrelated
            )
            source = self._observations.source
            if self.settings.native_grid:
                if self.inputs.main[0] in self.inputs.members:
                    raise InputDataError(
                        f"{self.inputs.label} is a member of an ensemble without a mean, and native_grid keeps the "
                        "values of one file.",
                        "Leave out native_grid, or name a file of the mean.",
                    )
                check_same_cells(self.inputs.main, source.variable_in_file, self.settings.grid or "")
            for note in source.notes:
                (reporter.warning if note in source.warnings else reporter.note)(note)
            months_at(self._observations, self.settings)  # what cannot be explained is no reason to begin
        return self._observations

    def _prepare(
        self, folder: Path, scratch: Path, sha256: Callable[[Path], str], write: Write, reporter: Reporter
    ) -> tuple[Observations, Prepared]:
        """The observations as read and on the method's grid; members of their ensemble are left in ``folder``."""
        observations = self.read(reporter)
        for method in (self.method, *self.others):
            method_grid(observations.grid, method)  # a grid that cannot be used is no reason to begin
        record = prepare_ensemble(
            self.inputs, self.settings, observations, self.method, folder, sha256, write, reporter
        )
        reporter.note(record.errors.describe())
        ensemble = open_ensemble(folder, record, check=False)
        observations = applied(observations, record, ensemble)
        on_network = on_method_grid(observations, self.method, scratch)
        for note in on_network.source.notes[len(observations.source.notes) :]:
            reporter.note(note)
        months_at(on_network, self.settings)
        return observations, Prepared(on_network, observations.grid, record, ensemble)

    def _calibrated(self, prepared: Prepared) -> Prepared:
        """The method has seen all months of the observations, once."""
        if self._calibration is None:
            self._calibration = self.method.reconstructor.calibrate(prepared.on_network)
        return replace(prepared, calibration=self._calibration)

    def _fields(
        self, prepared: Prepared, part: int, parts: int, scratch: Path, reporter: Reporter, at_once: int = 1
    ) -> CompleteFields:
        """Complete fields of a block of months on the observations' grid."""
        block = self._block(prepared, part, parts)
        of = f", part {part + 1} of {parts}" if parts > 1 else ""
        steps = prepared.on_network.time[block].counted()
        reporter.stage(f"Reconstructing {steps} with {self.method.info.name}{of}")
        complete = complete_fields(
            self.method.reconstructor,
            prepared.on_network,
            members=self.settings.realisations,
            seed=self.settings.seed,
            scratch=scratch,
            reporter=reporter,
            block=block,
            ensemble=prepared.ensemble.on_network if prepared.ensemble else (),
            domain=self.settings.domain,
        )
        # Rows that a file has twice, and its order, concern the writing of results alone.
        back = FileGrid(prepared.grid, prepared.on_network.grid, prepared.on_network.source, scratch)
        return to_native_grid(complete, back, at_once)

    @staticmethod
    def _block(prepared: Prepared, part: int, parts: int) -> slice:
        return blocks(len(prepared.on_network.time), parts, CHUNK)[part]

    def _write(
        self, results: RunFolder, observations: Observations, prepared: Prepared, fields: CompleteFields
    ) -> Outcome:
        product = product_of(
            self.settings, observations, prepared, fields, self.method, results.stage, results.reporter
        )
        digest = fingerprint_of(self.settings, observations, self.method)
        explained = self._explained(prepared, results.reporter)
        return write_results(results, product, digest, self.inputs, self.others, explained)

    def _explained(self, prepared: Prepared, reporter: Reporter) -> list[Explained]:
        """The values of ``explain_months``, as ``task=explain`` has them."""
        found, observations = [], prepared.on_network
        notes = list(filter(None, [prepared.calibration]))
        for at in months_at(observations, self.settings):
            reporter.stage(f"Explaining {observations.time.labels()[at]} with {self.method.info.name}")
            found.append(explain(self.method, observations, self.settings, at, notes, reporter))
        return found

    # stages in parts

    @cached_property
    def files(self) -> Parts:
        """The parts' files; their key also has the versions of all that takes part."""
        files = [*self.inputs.observations, *files_of(self.inputs, self.settings)]
        settings = self.settings.fingerprinted("reconstruct")
        settings |= {"facets": self.inputs.facets, "versions": versions(), "parts": self.parts}
        key = fingerprint(
            "parts of a reconstruction",
            STAGE_VERSION,
            [
                *(f"{number:05d} {self.store.sha256(path)}" for number, path in enumerate(files)),
                *(digest for _, digest in self.method.info.inputs),
            ],
            settings,
            self.method.identity,
        )
        return Parts(self.store, key)

    def prepare(self, part: int, reporter: Reporter) -> None:
        """Bring the observations to the network's grid."""
        self._note_inputs(reporter)
        self.files.begin()
        with self.store.scratch() as scratch:
            _, prepared = self._prepare(self.files.folder, scratch, self.store.sha256, self.files.write, reporter)
        self.files.write_prepared(prepared)

    def _prepared(self, reporter: Reporter) -> Prepared:
        """What :meth:`prepare` left; the method is calibrated."""
        try:
            return self._calibrated(self.files.open_prepared())
        except Damaged as error:
            name = "a file of the observations" if is_whole(self.files.prepared) else self.files.prepared.name
            reporter.warning(f"{name} in {self.files.folder} is lost or damaged; it is made anew ({error.message})")
        self.prepare(0, reporter)
        return self._calibrated(self.files.open_prepared())

    def reconstruct(self, part: int, reporter: Reporter) -> None:
        """Reconstruct a block of months."""
        prepared = self._prepared(reporter)
        block = self._block(prepared, part, self.parts)
        size = group_size(block.stop - block.start, prepared.grid)
        with self.store.scratch() as scratch:
            fields = self._fields(prepared, part, self.parts, scratch, reporter, size)
            self.files.write_part(part, fields, block, self.settings.realisations, size)

    def collect(self, part: int, reporter: Reporter) -> Outcome:
        """Check the parts, remake those that are lost or damaged, and write the results."""
        observations = self.read(reporter)
        prepared = self._prepared(reporter)
        observations = applied(observations, prepared.record, prepared.ensemble)
        source = replace(observations.source, notes=prepared.on_network.source.notes)
        on_network = replace(
            prepared.on_network, source=source, reference_period=observations.reference_period
        )  # which the files of the parts lack
        prepared = replace(prepared, on_network=on_network)
        if prepared.calibration:
            reporter.note(prepared.calibration)
        reporter.stage(f"Collecting {self.parts} parts")
        opened = []
        for number in range(self.parts):
            opened.append(self._checked(number, reporter))
            reporter.step(number + 1, self.parts)
        run = replace(self.run, started=start_noted(self.files.folder))
        with RunFolder.create(run, self.settings, reporter) as results:
            outcome = self._write(results, observations, prepared, joined(opened, self.arrays))
        self.files.remove()
        return outcome

    def _checked(self, part: int, reporter: Reporter) -> CompleteFields:
        """A part, every byte checked, made anew where it is lost or damaged."""
        try:
            return self.files.open_part(part)
        except Damaged:
            state = "damaged" if self.files.exists(part) else "lost"
            reporter.warning(f"part {part + 1} in {self.files.folder} is {state}; it is made anew")
        self.reconstruct(part, reporter)
        return self.files.open_part(part)
