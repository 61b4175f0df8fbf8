"""A run's results appear together or not at all.

Everything is written to a hidden folder inside the output folder (:mod:`climrecon.working_folders`) and moved into place
at the end, the manifest last (:mod:`climrecon.workflow.publishing`). Whatever ends a run early, the folder is removed;
what a killed run leaves behind is hidden, and removed by the next run into the same folder.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from climrecon.errors import OutputError
from climrecon.files import sha256_of, write_text
from climrecon.jobs.record import chains_in
from climrecon.settings import RunSettings
from climrecon.variables import VARIABLES
from climrecon.workflow.manifest import FILE_NAME as MANIFEST
from climrecon.workflow.manifest import short, write_manifest
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Reporter
from climrecon.workflow.provenance import Activity, OutputFile, write_provenance
from climrecon.workflow.publishing import publish, refuse_foreign
from climrecon.workflow.run_info import RunInfo
from climrecon.workflow.versions import versions
from climrecon.working_folders import working_folder

PROVENANCE, REPORT = "provenance.json", "report.html"
#: Task -> names of its results beside manifest, provenance and report, as patterns; and of its figures.
NAMES = {
    "reconstruct": (
        "*_climrecon-*.nc",
        "catalogue.json",
        "structural.csv",
        "baselines.csv",
        "explanation_*.nc",
        "explanation_*.json",
    ),
    "train": ("card.json", "card.md", "log.csv", "weights.safetensors", "range.safetensors"),
    "evaluate": ("scores.json", "rmse_by_cell.nc"),
    "compare": ("comparison.json", "comparison.nc"),
    "explain": ("explanation.json", "explanation_*.nc"),
    "benchmark": ("leaderboard.html", "leaderboard.json", "set"),
}
FIGURES = {
    "reconstruct": (
        "maps_*.png",
        "global_mean.png",
        "regional_mean.png",
        *sorted({f"{index.name}.png" for one in VARIABLES.values() for index in one.indices}),
        "animation.*",
        "interactive_map.html",
        "explanation_*.png",
    ),
    "train": ("training.png", "samples.png", "sample_*.png"),
    "evaluate": (
        "global_mean.png",
        "regional_mean.png",
        "rmse_by_group.png",
        "rmse_by_cell.png",
        "reliability.png",
        "spread.png",
        "scales.png",
    ),
    "explain": ("explanation_*.png",),
    "benchmark": ("leaderboard.png",),
    "compare": ("series.png", "trends.png", "ranks.png", "differences_*.png"),
}
#: Task -> folder of its results where none is given.
DEFAULT_FOLDERS = {
    "reconstruct": "climrecon-result",
    "train": "climrecon-training",
    "evaluate": "climrecon-evaluation",
    "explain": "climrecon-explanation",
    "compare": "climrecon-comparison",
    "benchmark": "climrecon-benchmark",
}


def as_pdf(name: str) -> str:
    """The name of a figure's vector copy."""
    return name.replace(".png", ".pdf")


def output_folder(settings: RunSettings) -> Path:
    """Folder of a run's results; the command line takes one of :func:`own_folder`."""
    return settings.outputdir or Path(DEFAULT_FOLDERS[settings.task])


@contextmanager
def own_folder(settings: RunSettings) -> Iterator[RunSettings]:
    """``settings`` with a folder of this run's own where none is given: ``climrecon-result``, ``climrecon-result-2``, …

    The folder is made here, so two runs that begin together have one each; if it stays empty it is removed. Jobs that
    are not done keep theirs: the same command follows them.

    Raises
    ------
    OutputError
        If the folder cannot be made.
    """
    if settings.outputdir is not None:
        yield settings
        return
    first = output_folder(settings)
    for folder in (first, *(first.with_name(f"{first.name}-{number}") for number in range(2, 10000))):
        try:
            if settings.dryrun and not folder.exists():
                break
            folder.mkdir()
            break
        except FileExistsError:
            if chains_in(folder) and not (folder / MANIFEST).exists():
                break
        except OSError as error:
            raise _problem(error, folder) from error
    try:
        yield settings.model_copy(update={"outputdir": folder})
    finally:
        with suppress(OSError):  # it holds something
            folder.rmdir()


def check_output(settings: RunSettings) -> None:
    """Refuse an output folder in which the results of a run would replace files of others, before the run begins.

    Raises
    ------
    OutputError
        If there is such a file.
    """
    names = [PROVENANCE, *NAMES[settings.task], *([REPORT] if settings.report else ())]
    if settings.plots:
        names += [*FIGURES[settings.task], *(as_pdf(name) for name in FIGURES[settings.task])]
    refuse_foreign(output_folder(settings), [*names, *(["databrowser"] if settings.add_to_databrowser else ())])


def _problem(error: Exception, folder: Path) -> OutputError:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(
            f"The disk is full: {folder} took no more data.", "Free some space or choose another outputdir."
        )
    return OutputError(f"Results cannot be written to {folder}: {error}", "Choose another outputdir.")


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Give a folder to write to; on success move its files to ``folder``, on failure remove it.

    Raises
    ------
    OutputError
        If ``folder`` cannot be made or written to, the disk is full, or a file of others is in the way.
    """
    with ExitStack() as held:
        try:
            str(folder.absolute()).encode()  # else neither netCDF nor provenance can name a file in it
            folder.mkdir(parents=True, exist_ok=True)
            stage = held.enter_context(working_folder(folder))
        except (OSError, UnicodeEncodeError) as error:
            raise _problem(error, folder) from error
        try:
            yield stage
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
                raise _problem(error, folder) from error
            raise
        try:
            publish(stage, folder)
        except OSError as error:
            raise _problem(error, folder) from error


class Picture(Protocol):
    """A figure with its full caption."""

    @property
    def caption(self) -> str:
        """Not shortened."""

    def save(self, path: Path) -> None:
        """Write a PNG or a PDF, by the path."""


class RunFolder:
    """The results of one run, in the order of their hashes: data, figures, provenance, report, manifest.

    Attributes
    ----------
    folder, stage:
        Folder of the results, and the hidden folder in it where they are written.
    files:
        What has been added.
    figures:
        Path and full caption of each figure; the manifest's captions are cut to what the host stores.
    """

    def __init__(self, folder: Path, stage: Path, run: RunInfo, settings: RunSettings, reporter: Reporter) -> None:
        self.folder, self.stage, self.reporter = folder, stage, reporter
        self.run, self.settings = run, settings
        self.files: list[OutputFile] = []
        self.figures: list[tuple[Path, str]] = []

    @classmethod
    @contextmanager
    def create(cls, run: RunInfo, settings: RunSettings, reporter: Reporter) -> Iterator[RunFolder]:
        """A new folder, published as :func:`staged` does."""
        folder = output_folder(settings)
        with staged(folder) as stage:
            yield cls(folder, stage, run, settings, reporter)

    def add(self, file: str | Path, role: str, caption: str, content_sha256: str | None = None) -> None:
        """Add a file that has been written to ``stage``; by its name there, or its path."""
        path = Path(file) if Path(file).is_relative_to(self.stage) else self.stage / file
        name = str(path.relative_to(self.stage))
        self.files.append(OutputFile(name, role, short(caption), sha256_of(path), content_sha256))
        if role == "figure":
            self.figures.append((path, caption))

    def add_json(self, name: str, role: str, caption: str, content: Mapping[str, Any]) -> None:
        """Write numbers and texts, None where there is no number, and list the file."""
        write_text(self.stage / name, json.dumps(content, indent=1, allow_nan=False) + "\n")
        self.add(name, role, caption)

    def add_figure(self, name: str, picture: Picture) -> None:
        """Save a figure and add it."""
        picture.save(self.stage / name)
        self.add(name, "figure", picture.caption)
        if self.settings.vector_figures:
            picture.save(self.stage / as_pdf(name))
            self.add(as_pdf(name), "vector figure", picture.caption)

    def finish(
        self,
        title: str,
        facets: Mapping[str, str],
        summary: Sequence[str],
        report: Callable[..., None],
        *,
        network: str,
        network_sha256: str | None,
        inputs: Iterable[tuple[str, str]],
        fingerprint: str,
        other_networks: Sequence[tuple[str, str]] = (),
        notes: Sequence[str] = (),
    ) -> Outcome:
        """Write provenance, report and manifest.

        Parameters
        ----------
        facets:
            Under which the results are found, where they are not those of every run.
        summary:
            Lines for the end of the run; the list of files follows them.
        report:
            Writes the report: ``report(path, figures=…, outputs=…, activity=…)``; called if ``settings.report``.
        inputs:
            Path and hash of each input; one that is named twice is recorded once.
        notes:
            Decisions that were taken, with their evidence.
        """
        activity = Activity(
            run_id=self.run.id,
            started=self.run.started,
            ended=datetime.now(UTC),
            user=self.run.user,
            settings=self.settings.recorded(),
            versions=versions(),
            network=network,
            network_sha256=network_sha256,
            inputs=list(dict.fromkeys(inputs)),
            fingerprint=fingerprint,
            other_networks=other_networks,
            notes=notes,
        )
        write_provenance(self.stage / PROVENANCE, activity, self.files)
        self.add(PROVENANCE, "provenance", "W3C provenance: inputs, networks, settings, versions, outputs")
        if self.settings.report:
            self.reporter.stage("Writing the report")
            path = self.stage / REPORT
            report(path, figures=self.figures, outputs=self.files, activity=activity)
            self.add(path, "report", f"Report: {title}")
        every = {
            "project": "climrecon", "institute": "", "experiment": "", "time_frequency": "mon",
            "variable": self.settings.variable, "ensemble": "",
        }  # fmt: skip
        manifest = write_manifest(self.stage, self.run.id, fingerprint, {**every, **facets}, self.files)
        listed = [f"  {role:<15} {path}" for path, role in [(f.path, f.role) for f in self.files]]
        lines = [*summary, f"Results in {self.folder}:", *listed, f"  {'manifest':<15} {MANIFEST}"]
        return Outcome(self.folder, manifest, lines)
