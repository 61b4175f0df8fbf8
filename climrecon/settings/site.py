"""The site file ``climrecon.toml``: what an operator sets once for all users.

Searched in this order, the first file that gives a value wins: the file named by the variable
``CLIMRECON_CONFIG``; ``climrecon.toml`` in the plugin's folder; ``climrecon.toml`` in the user's
configuration folder. A relative path among the defaults is taken from the folder of its file.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from climrecon.errors import ProblemList, UsageError
from climrecon.files import ABSENT, CLOSED, read_text, why_unreadable
from climrecon.parameters import BY_NAME, FACETS, with_absolute_paths, with_new_names
from climrecon.settings.kinds import read_period
from climrecon.settings.periods import Period
from climrecon.settings.slurm import Slurm
from climrecon.settings.watch import Watch

FILE_NAME = "climrecon.toml"
VARIABLE = "CLIMRECON_CONFIG"
PLUGIN_FOLDER = Path(__file__).resolve().parents[2]


class TrainingSet(BaseModel):
    """One named training set: a query of the catalogue, or a list of files.

    Attributes
    ----------
    query:
        Facets of the catalogue. Runs of years, seasons or days ask for theirs, whatever ``time_frequency`` stands here.
    files:
        Paths and patterns.
    join:
        Whether all ``files`` are one record of anomalies: of months that stand in several, those of the file named last
        are taken.
    period:
        Months that are used of every member, as the parameter ``period`` has them (``1930-2002``); None: all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: dict[str, str] = Field(default_factory=dict)
    files: list[str] = Field(default_factory=list)
    join: bool = False
    period: Annotated[Period, BeforeValidator(read_period)] | None = None


class SiteFile(BaseModel):
    """The tables a site file may hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    defaults: dict[str, bool | int | float | str] = Field(default_factory=dict)
    dataset: dict[str, str] = Field(default_factory=dict)
    training_data: dict[str, TrainingSet] = Field(default_factory=dict)
    slurm: Slurm = Field(default_factory=Slurm)
    network_store: list[str] = Field(default_factory=list)
    watch: Watch = Field(default_factory=Watch)
    schema_version: Literal[1] = 1


#: What holds where no site file says otherwise.
BUILT_IN: dict[str, Any] = {
    "dataset": {"model": "HadCRUT5"},
    "training_data": {
        "20cr": {"query": {"project": "reanalysis", "model": "20CR", "time_frequency": "mon"}},
        "cmip5": {"query": {"project": "CMIP5", "experiment": "historical", "time_frequency": "mon"}},
    },
}


#: Setting of the ``[slurm]`` table -> option of sbatch, for a job that needs no GPU.
_OPTIONS = {
    "partition": "partition",
    "cpus_per_task": "cpus-per-task",
    "memory": "mem",
    "walltime": "time",
    "account": "account",
}


@dataclass(frozen=True)
class Site:
    """The merged site settings and where each value came from.

    ``origin`` maps a dotted key (``defaults.model``) to the file that gave it; a key that is absent
    has its built-in value.
    """

    file: SiteFile
    origin: Mapping[str, str] = field(default_factory=dict)

    def default(self, name: str) -> Any:
        """The default of parameter ``name`` at this site."""
        return self.file.defaults.get(name, BY_NAME[name].default)

    @property
    def batch_options(self) -> str:
        """Options of a batch job that reconstructs: a shared CPU partition and a few cores, no GPU."""
        return self._batch_options(set(_OPTIONS), self.file.slurm.walltime)

    def host_batch_options(self, task: str) -> str:
        """Those of the job that the host submits for ``task``, as far as a site file gives them: the host has its own.

        The job of a training waits for its jobs, longer than it would compute.
        """
        slurm = self.file.slurm
        given = set(slurm.model_fields_set)
        if task == "train" and given & {"caller_walltime", "walltime", "gpu_walltime", "max_links"}:
            return self._batch_options(given | {"walltime"}, slurm.waiting_walltime)
        return self._batch_options(given, slurm.walltime)

    def _batch_options(self, chosen: set[str], walltime: str) -> str:
        if options := self.file.defaults.get("extra_scheduler_options"):
            return str(options)
        values = {**self.file.slurm.model_dump(), "walltime": walltime}
        pairs = ((name, values[key]) for key, name in _OPTIONS.items() if key in chosen)
        return ",".join(f"--{name}={value}" for name, value in pairs if value)


def candidates() -> list[Path]:
    """The places a site file is looked for, most important first."""
    # Imported here: needed once a run, while the module is imported by every command.
    from platformdirs import user_config_path

    places = [PLUGIN_FOLDER / FILE_NAME, user_config_path("climrecon") / FILE_NAME]
    named = os.environ.get(VARIABLE)
    return [Path(named), *places] if named else places


def load_site() -> Site:
    """Read and merge the site files.

    Raises
    ------
    UsageError
        If a file cannot be read or holds something a site file may not hold.
    """
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    named = os.environ.get(VARIABLE)
    for path in candidates():
        why = why_unreadable(path)
        if why and named and path == Path(named):
            raise UsageError(
                f"The variable {VARIABLE} names {path}, which is no file that can be read: {why}.",
                "Correct or unset the variable.",
            )
        if why in (ABSENT, CLOSED):
            continue
        content = _read(path)
        if isinstance(content.get("defaults"), dict):
            content["defaults"] = with_new_names(content["defaults"])
        _check(content, path)
        if "defaults" in content:
            content["defaults"] = with_absolute_paths(content["defaults"], path.absolute().parent)
        _merge(merged, content, str(path), origin)
    _merge(merged, BUILT_IN, "", origin)
    return Site(SiteFile.model_validate(merged), origin)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The site file {path} cannot be read: {error}", "Make it readable for all users, or move it away."
        ) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"The site file {path} is no valid TOML: {error}", "Correct the line it names.") from error


def _check(content: dict[str, Any], path: Path) -> None:
    problems = []
    try:
        SiteFile.model_validate(content)
    except ValidationError as error:
        for item in error.errors():
            key = ".".join(str(part) for part in item["loc"])
            near = difflib.get_close_matches(str(item["loc"][0]), list(SiteFile.model_fields), 1)
            extra = f" (did you mean [{near[0]}]?)" if item["type"] == "extra_forbidden" and near else ""
            problems.append(f"{key}: {item['msg']}{extra}")
    for name in content.get("defaults", {}):
        if name not in BY_NAME:
            near = difflib.get_close_matches(name, list(BY_NAME), 1)
            problems.append(f"defaults.{name}: unknown parameter" + (f"; did you mean {near[0]}?" if near else ""))
        elif not BY_NAME[name].site:
            problems.append(f"defaults.{name}: this default cannot be set by a site file")
    for name in content.get("dataset", {}):
        if name not in FACETS:
            problems.append(f"dataset.{name}: unknown facet; there are {', '.join(FACETS)}")
    if problems:
        raise ProblemList(problems, f"The site file {path} has errors:", "Correct them, or ask its owner to.")


def _merge(
    target: dict[str, Any], source: Mapping[str, Any], path: str, origin: dict[str, str], prefix: str = ""
) -> None:
    """Add to ``target`` what it lacks, table by table, and note where it came from."""
    for key, value in source.items():
        dotted = f"{prefix}{key}"
        # A training set is one thing: half of one file's query and half of another's is neither.
        if isinstance(value, Mapping) and not prefix.startswith("training_data."):
            _merge(target.setdefault(key, {}), value, path, origin, f"{dotted}.")
        elif key not in target:
            target[key] = value
            if path:
                origin[dotted] = path
