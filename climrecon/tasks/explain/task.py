"""``task=explain``: which observations the reconstructed value of a month comes from, by each method.

The observations are read, and the methods calibrated, as a reconstruction does: the same weights are explained.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from climrecon.errors import UsageError
from climrecon.settings import RunSettings, Site
from climrecon.tasks.explain.results import write_explanation
from climrecon.tasks.explained.value import explain, months_at
from climrecon.tasks.methods import on_method_grid
from climrecon.tasks.reconstruct.task import Reconstruction
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Reporter
from climrecon.workflow.run_folder import RunFolder
from climrecon.workflow.run_info import RunInfo
from climrecon.workflow.stage import Stage

#: Version of this stage: raised whenever equal inputs and settings give another result.
VERSION = 2


class Explanation:
    """One explanation, of the reconstruction with the same parameters.

    Raises
    ------
    NoDataError, InputDataError
        When it is first asked for what depends on observations that cannot be found.
    """

    def __init__(self, settings: RunSettings, site: Site, run: RunInfo) -> None:
        self._asked, self.site, self.run = settings, site, run

    def stages(self) -> tuple[Stage, ...]:
        """The stages of this run, in order."""
        if self._asked.dryrun:
            return (Stage("dryrun", self.dry_run),)
        return (Stage("explain", self.explain),)

    def _reconstruction(self) -> Reconstruction:
        """Of the mean alone: members of an ensemble are read where the data set has no mean."""
        one = Reconstruction(self._asked, self.site, self.run)
        if one.inputs.main[0] in one.inputs.members:
            return one
        return Reconstruction(self._asked.model_copy(update={"obs_members": 0}), self.site, self.run)

    def explain(self, part: int, reporter: Reporter) -> Outcome:
        """Explain the value with each method, and write the results."""
        reconstruction = self._reconstruction()
        reconstruction.load(reporter)
        settings = reconstruction.settings
        methods = (reconstruction.method, *reconstruction.others)
        _check_names([method.info.name for method in methods])
        (at,) = months_at(reconstruction.read(reporter), settings)
        with (
            RunFolder.create(self.run, settings, reporter) as results,
            TemporaryDirectory(prefix=".scratch-", dir=results.stage) as name,
        ):
            scratch = Path(name)
            observations, prepared = reconstruction.prepared(scratch, reporter)
            found = []
            for method in methods:
                notes = [prepared.calibration]
                on_grid = prepared.on_network
                if method is not reconstruction.method:
                    on_grid = on_method_grid(observations, method, scratch)
                    notes = [method.reconstructor.calibrate(on_grid)]
                reporter.stage(f"Explaining {settings.month} with {method.info.name}")
                found.append(explain(method, on_grid, settings, at, list(filter(None, notes)), reporter))
            return write_explanation(results, observations, found, methods, reconstruction.inputs, VERSION)

    def dry_run(self, part: int, reporter: Reporter) -> Outcome:
        """The inputs and methods; reads no fields and writes nothing."""
        reconstruction = self._reconstruction()
        reconstruction.load(reporter)
        settings, inputs = reconstruction.settings, reconstruction.inputs
        methods = (reconstruction.method, *reconstruction.others)
        return Outcome.of_dry_run(
            [
                "Would explain, and write nothing now (dryrun):",
                *(f"  input: {path}" for path in inputs.observations),
                f"  month: {settings.month}; value: {settings.region or 'the index of the variable, else the mean'}",
                f"  methods: {', '.join(method.info.name for method in methods)}",
                *(f"  note: {note}" for note in inputs.notes),
            ]
        )


def _check_names(names: Sequence[str]) -> None:
    """Refuse methods of one name: a network given by its path goes by the name in its card."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(
            f"network and compare_with hold two methods called {twice}; the files of a result go by that name.",
            "Give one of them, or run twice.",
        )
