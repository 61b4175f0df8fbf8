"""Submissions of this package's methods, with the processor time that they took."""

from __future__ import annotations

import os
import platform
import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from climrecon.array_types import FloatArray, IntArray
from climrecon.benchmark_set.card import MEMBERS, OF_FILE, STDDEV, VALUES, SetCard, read_card
from climrecon.benchmark_set.files import HISTORY, CaseInput, read_input, write_fields
from climrecon.errors import ClimReconError, InputDataError, NetworkError, OutputError, ProblemList, UsageError
from climrecon.fields import Months
from climrecon.methods.by_chunks import reconstruct
from climrecon.methods.optimal_interpolation import PATTERNS
from climrecon.methods.store import load_network, shipped
from climrecon.netcdf.opening import opened
from climrecon.settings import Site, validate
from climrecon.settings.periods import parse_month, parse_period
from climrecon.tasks.methods import OI, LoadedMethod, load_method
from climrecon.training.store import runs_of
from climrecon.version import __version__
from climrecon.workflow.progress import Quiet, Reporter

#: Seed of the members.
_SEED = 0


def run_methods(
    names: Sequence[str],
    benchmark: Path,
    output: Path,
    site: Site,
    *,
    members: int = 0,
    reporter: Reporter | None = None,
) -> list[Path]:
    """Let methods reconstruct all cases of a set; returns the folders of their submissions.

    Parameters
    ----------
    names:
        Networks and baselines by name or path.
    output:
        Gets a folder for each method.
    members:
        Equally likely fields of methods that draw them; 0 for none, else two or more.

    Raises
    ------
    NetworkError, ProblemList
        If a method is unknown or its weights are absent, or it learned from months of the truth: before any is run.
    InputDataError
        If the set cannot be read.
    OutputError
        If the submissions cannot be written.
    """
    reporter, card = reporter or Quiet(), read_card(benchmark)
    if members == 1 or members < 0:
        raise UsageError(f"members is {members}.", "Give 0 for none, or two and more, e.g. 20.")
    inputs = [read_input(benchmark, card, case) for case in card.cases]
    methods = method_runs(names, site)
    check_learned(methods, card, inputs)
    for run in methods:
        for given in inputs:
            _refuse_foreign(output / run.label / f"{given.card.name}.nc")
    return [run.submit(output / run.label, inputs, members, reporter) for run in methods]


def method_runs(names: Sequence[str], site: Site, device: str = "auto") -> list[MethodRun]:
    """Methods ready to run, by their names or paths.

    Raises
    ------
    NetworkError, ProblemList
        If some are unknown or cannot be loaded, with all of them.
    UsageError
        If two have one name: their submissions would be one.
    """
    runs: list[MethodRun] = []
    problems: list[ClimReconError] = []
    for name in dict.fromkeys(names):
        try:
            runs.append(MethodRun.of(name, site, device))
        except NetworkError as error:
            problems.append(error)
    _raise(problems)
    labels = [run.label for run in runs]
    if twice := [label for label in labels if labels.count(label) > 1]:
        raise UsageError(
            f"Two methods are called {twice[0]}; submissions go by that name.", "Give one of them, or run twice."
        )
    return runs


def check_learned(runs: Sequence[MethodRun], card: SetCard, inputs: Sequence[CaseInput]) -> None:
    """Refuse methods that learned from months of the truth of a file, by their cards.

    Raises
    ------
    NetworkError, ProblemList
        If there are some.
    """
    scored = np.concatenate([given.time.index for given in inputs])
    counts = {run.name: 0 if run.months is None else int(np.isin(scored, run.months).sum()) for run in runs}
    _raise([
        NetworkError(
            f"{name} learned from {count} of the {len(scored)} months of this set, by the periods of its card: its "
            "scores would be flattered.",
            "Export a set of other months (--years, or period), or leave the method out.",
        )
        for name, count in counts.items()
        if count and card.truth.kind == OF_FILE
    ])  # fmt: skip


def _raise(problems: Sequence[ClimReconError]) -> None:
    if len(problems) == 1:
        raise problems[0]
    if problems:
        hint = " ".join(dict.fromkeys(error.hint for error in problems if error.hint))
        raise ProblemList([error.message for error in problems], "These methods cannot be run:", hint)


def _refuse_foreign(path: Path) -> None:
    """Refuse to replace a file that was not written here."""
    if not path.exists():
        return
    try:
        with opened(path) as file:
            if str(file.__dict__.get("history", "")).startswith(HISTORY):
                return
    except InputDataError:
        pass
    raise OutputError(f"{path} is there already and is no submission of climrecon.", "Name another --output.")


def learned_months(training: Mapping[str, Any]) -> IntArray | None:
    """Months since 0000-01 that a network learned from, by the entry ``training`` of its card; None if not listed.

    Validation chooses the weights, and so counts. Covariances of all months count those of the test as well.
    """
    members = training.get("members")
    whole = str(training.get("covariances", "")).startswith("all ")
    uses = ("train", "validation", *(["test"] if whole else []))
    listed = [one for use in uses for one in members.get(use, ())] if isinstance(members, dict) else []
    periods = [parse_period(text) for one in listed for text in one.get("periods", ())]
    found = [np.arange(one.start or 0, (9999 * 12 if one.end is None else one.end) + 1) for one in periods]
    labels = [training[key] for key in ("months", "months_of_training") if isinstance(training.get(key), list)]
    found += [np.array([parse_month(label) for label in months]) for months in labels]
    return np.unique(np.concatenate(found)) if found else None


@dataclass(frozen=True)
class MethodRun:
    """A method, its name in the call, that of its submission, its attributes, and the months that it learned from.

    ``months`` is None where its card lists none.
    """

    name: str
    label: str
    method: LoadedMethod
    attributes: Mapping[str, str]
    months: IntArray | None

    @classmethod
    def of(cls, name: str, site: Site, device: str = "auto") -> MethodRun:
        """The method called ``name``.

        Raises
        ------
        NetworkError
            If it cannot be loaded.
        """
        settings = validate({"task": "reconstruct", "variable": VALUES, "network": name, "device": device}, site)
        method = load_method(settings.network, settings, site)
        network = method.info.card or (load_network(PATTERNS).card.model_dump(mode="json") if name == OI else {})
        months = learned_months(network.get("training", {})) if network else np.empty(0, np.int64)
        version = method.info.package or (method.info.sha256 or "")[:8] or __version__
        attributes = {
            "method": method.info.name,
            "method_version": version,
            "authors": _authors(method),
            "training_data": _learned(network, name, months),
            "training_months": "" if months is None else ", ".join(Months(run).span() for run in runs_of(months)),
            "hardware": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        }
        return cls(name, method.info.name, method, attributes, months)

    def submit(self, folder: Path, inputs: Sequence[CaseInput], members: int, reporter: Reporter) -> Path:
        """Reconstruct all cases, and write the submission to ``folder``; returns it.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        for number, given in enumerate(inputs):
            reporter.stage(f"{self.label}: case {number + 1} of {len(inputs)}, {given.card.name}")
            try:
                self._write(folder / f"{given.card.name}.nc", given, members, reporter)
            except OSError as error:
                raise OutputError(f"{folder} cannot be written: {error}", "Choose another folder.") from error
        return folder

    def _write(self, path: Path, given: CaseInput, members: int, reporter: Reporter) -> None:
        began = clock.process_time()
        fields = self._estimate(given, members, reporter)
        hours = (clock.process_time() - began) / 3600.0
        write_fields(path, given.time, fields, {**self.attributes, "cpu_hours": f"{hours:.6f}"})

    def _estimate(self, given: CaseInput, members: int, reporter: Reporter) -> dict[str, FloatArray]:
        observations, shape = given.observations(), given.values.shape
        method = self.method.reconstructor
        if note := method.calibrate(observations):
            reporter.note(note)
        mean, stddev = np.empty(shape, np.float32), np.empty(shape, np.float32)
        drawn: list[FloatArray] = []
        certain = False
        for months, estimate in reconstruct(method, observations, progress=reporter.step):
            mean[months] = estimate.mean
            if estimate.stddev is None:
                certain = True
            else:
                stddev[months] = estimate.stddev
            if members and estimate.sample is not None:
                drawn.append(estimate.sample(members, method.capabilities.seed_at(_SEED, months.start)))
        fields = {VALUES: mean} if certain else {VALUES: mean, STDDEV: stddev}
        return {**fields, MEMBERS: np.concatenate(drawn, axis=1)} if drawn else fields


def _authors(method: LoadedMethod) -> str:
    ours = method.network is None or method.network.path.parent == shipped()
    return (
        "climrecon developers"
        if ours and not method.info.package
        else f"authors of {method.info.package or method.info.name}"
    )


def _learned(network: Mapping[str, Any], name: str, months: IntArray | None) -> str:
    if not network:
        return "none: its numbers are fitted to the inputs"
    training = network.get("training", {})
    data = str(training.get("data", "") or network.get("title", name))
    return data if months is not None else f"{data}; the months are not listed"
