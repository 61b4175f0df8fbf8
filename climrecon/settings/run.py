"""Validation of a run's parameters: every problem found in one look, each with what would be right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, ValidationError

from climrecon import parameters as p
from climrecon.datasets import canonical_variable
from climrecon.errors import ProblemList
from climrecon.frequency import MONTH, Frequency, frequency_named
from climrecon.redaction import redacted
from climrecon.settings._fields import Fields
from climrecon.settings.benchmark import names_in, paths_in
from climrecon.settings.combinations import (
    DATASET_FACETS,
    SEARCH_FACETS,
    combinations,
    did_you_mean,
    is_empty,
    named_files,
    training_sets,
)
from climrecon.settings.periods import Period
from climrecon.settings.site import Site
from climrecon.variables import VARIABLES

#: Stands for the network that comes with the package for the variable; else for this baseline, the most accurate one of
#: docs/results.md, which is of temperature.
AUTO, BASELINE = p.BY_NAME["network"].default, "kriging"


class RunSettings(Fields):
    """The validated parameters of one run; one attribute for each parameter.

    ``given`` holds the names that the user set; the other parameters have their defaults.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True, extra="forbid")

    given: frozenset[str] = frozenset()

    @property
    def facets(self) -> dict[str, str]:
        """The search facets that have a value."""
        return {name: value for name in p.FACETS if (value := getattr(self, name))}

    @property
    def data_set(self) -> str:
        """The data set that ``obs_file`` holds, as the user names it; "" if the file decides."""
        return self.model or "" if self.obs_file and "model" in self.given else ""

    @property
    def frequency(self) -> Frequency:
        """The frequency of the observations."""
        return frequency_named(self.time_frequency) or MONTH

    @property
    def withholds(self) -> bool:
        """Whether an evaluation is on withheld observations."""
        return self.withhold != "none"

    @property
    def other_networks(self) -> list[str]:
        """The networks or baselines named by ``compare_with``."""
        return names_in(self.compare_with)

    @property
    def benchmark_methods(self) -> list[str]:
        """The networks or baselines that a benchmark runs."""
        return names_in(self.methods)

    @property
    def submission_paths(self) -> list[Path]:
        """The folders of submissions."""
        return paths_in(self.submissions)

    @property
    def auxiliary_variables(self) -> tuple[str, ...]:
        """The auxiliary variables of a training."""
        return tuple(name for part in (self.auxiliary or "").split(",") if (name := part.strip()))

    @property
    def auxiliary_paths(self) -> dict[str, Path]:
        """Auxiliary variable -> its file."""
        return dict(named_files(self.auxiliary_files))

    @property
    def product_paths(self) -> dict[str, Path]:
        """Product of a comparison -> its file or folder."""
        return dict(named_files(self.products))

    @property
    def explained_months(self) -> tuple[str, ...]:
        """The months whose value is explained."""
        return (self.month or "",) if self.task == p.EXPLAIN else self.explain_months or ()

    def fingerprinted(self, task: str) -> dict[str, Any]:
        """The parameters whose values change the result of ``task``, as JSON values."""
        plain = self.plain()
        # What the user states of the files enters where it is given; other runs keep their fingerprints.
        stated = {
            "model": self.data_set,
            "obs_variable": self.obs_variable,
            "allow_infilled": self.allow_infilled,
            "time_frequency": "" if self.frequency == MONTH else self.frequency.name,
            "grid": self.grid,
            "native_grid": self.native_grid,
            "domain": self.domain if self.domain != "auto" else "",
        }
        if task == "evaluate" and self.withholds:
            stated |= {"withhold": self.withhold, "folds": str(self.folds)}
        if task == p.EXPLAIN:  # in a reconstruction it adds files to the same result
            stated |= {"region": self.region}
        return {name: plain[name] for name in p.fingerprinted(task)} | {
            name: one for name, one in stated.items() if one
        }

    def recorded(self) -> dict[str, Any]:
        """As :meth:`plain`, for files that others read: without secrets."""
        return {name: redacted(value) if isinstance(value, str) else value for name, value in self.plain().items()}

    def plain(self) -> dict[str, Any]:
        """The parameters as JSON values, as a configuration file holds them; valid input again."""
        # With a file, the facets of a search are defaults that mean nothing and may not be given.
        idle = (SEARCH_FACETS if self.data_set else DATASET_FACETS) if self.obs_file else ()
        # A training starts from a network only if one was given: a default must not be given on.
        if self.task == "train" and "network" not in self.given:
            idle = (*idle, "network")
        if self.task == p.BENCHMARK:  # a repeat would take the sets of training_data for a truth that was asked for
            idle = tuple(
                q.name
                for q in p.PARAMETERS
                if (q.tasks and p.BENCHMARK not in q.tasks) or (q.name == "training_data" and q.name not in self.given)
            )
        return {q.name: _plain(getattr(self, q.name)) for q in p.PARAMETERS if q.name not in idle}


def _plain(value: Any) -> Any:
    if isinstance(value, Period):
        return str(value)
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value) if isinstance(value, Path) else value


def validate(raw: Mapping[str, Any], site: Site) -> RunSettings:
    """Check ``raw`` parameters against the table and fill in the defaults of ``site``.

    Raises
    ------
    ProblemList
        With every unknown name, bad value and impossible combination, each with what is near or allowed.
    """
    raw = p.with_new_names(raw)
    problems = [_unknown(name) for name in raw if name not in p.BY_NAME]
    given = {name: value for name, value in raw.items() if name in p.BY_NAME and not is_empty(value)}
    values = {q.name: given.get(q.name, site.default(q.name)) for q in p.PARAMETERS}
    variable = str(values["variable"]).strip()
    values["variable"] = canonical_variable(variable, {}) or variable  # tasa is tas
    values["network"], chosen = _network(values, given, site)
    if chosen:
        given.pop("network", None)
    settings: RunSettings | None = None
    try:
        settings = RunSettings.model_validate({**values, "given": frozenset(given)})
    except ValidationError as error:
        problems += [_problem(item, values) for item in error.errors()]
    problems += combinations(values, frozenset(given))
    problems += training_sets(values, given, site)
    if problems or settings is None:
        task = str(values["task"]).strip().lower()
        task = task if task in p.TASKS else p.RECONSTRUCT
        raise ProblemList(
            problems,
            "These parameters cannot be used:",
            f"See 'climrecon {p.command_of(task)} --help' for all of them.",
        )
    return settings


def _network(values: Mapping[str, Any], given: Mapping[str, Any], site: Site) -> tuple[Any, bool]:
    """The network that is named, else the variable's own, and whether it was chosen here.

    A site's default is of the site's variable, and networks are monthly.
    """
    of_site = "network" not in given and values["variable"] != site.default("variable")
    if frequency_named(values["time_frequency"]) not in (None, MONTH):
        if "network" not in given or str(values["network"]).strip().lower() == AUTO:
            return BASELINE, True
        return values["network"], False
    if not of_site and str(values["network"]).strip().lower() != AUTO:
        return values["network"], False
    description = VARIABLES.get(values["variable"])
    return (description and description.network) or BASELINE, True


def _unknown(name: str) -> str:
    if name in p.OLD_NAMES:
        return f"{name}: is the old name of {p.OLD_NAMES[name]}, which is given too; leave out {name}"
    return f"{name}: there is no such parameter" + did_you_mean(name, p.BY_NAME, cutoff=0.5)


def _problem(item: Any, values: Mapping[str, Any]) -> str:
    name = str(item["loc"][0])
    parameter = p.BY_NAME[name]
    if item["type"] == "value_error":
        return f"{name}: {item['ctx']['error']}"
    if item["type"] == "literal_error":
        text = str(values[name])
        near = did_you_mean(text.strip().lower(), parameter.choices)
        return f"{name}: {text!r} is none of {', '.join(parameter.choices)}{near}"
    return f"{name}: {values[name]!r} is not allowed; expected {p.allowed(parameter)}"
