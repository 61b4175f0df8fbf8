"""Parameters that do not go together, from raw values, so that problems of single values are reported with them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from climrecon import parameters as p
from climrecon.errors import UsageError
from climrecon.frequency import FREQUENCIES, MONTH, YEAR, frequency_named
from climrecon.netcdf.names import NETCDF
from climrecon.settings import benchmark
from climrecon.settings.kinds import TRUE, read_period
from climrecon.settings.site import Site
from climrecon.settings.targets import parse_target
from climrecon.variables import AUXILIARY, VARIABLES

#: Of a product, in tables and legends; matplotlib leaves names with a leading underscore out of legends.
_PRODUCT = re.compile(r"^[^\s_][^\n]{0,39}$")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
#: A step in degrees, or the columns and rows of a global grid.
_GRID = re.compile(r"r\d{1,4}x\d{1,4}|\d{1,2}(\.\d{1,4})?")
DATASET_FACETS = tuple(name for name in p.FACETS if name not in ("variable", "time_frequency"))
#: Of these the model may go with a file: it names the data set that the file holds.
SEARCH_FACETS = tuple(name for name in DATASET_FACETS if name != "model")
_OPTION = re.compile(r"^--?[A-Za-z][A-Za-z-]*(=[\w.:@%+/\-]*)?$")
#: Months that a reconstruction explains: each has a section of its report.
MOST_EXPLAINED = 6


def combinations(values: Mapping[str, Any], given: frozenset[str]) -> list[str]:
    """Problems of combinations. From raw values, so that problems of single values are reported with them."""
    problems = []
    if (variable := values["variable"]) not in VARIABLES:
        known = [name for name, one in VARIABLES.items() if one.observable]
        problems.append(
            f"variable: {variable!r} is none of {', '.join(known)}{did_you_mean(variable, known)}; another variable is "
            f"one more description, climrecon/variables/{variable}.toml (docs/how-to/own-variable.md)"
        )
    # A default that is given is no search: a history of Freva may hold it together with a file.
    dataset = [n for n in SEARCH_FACETS if n in given and values[n] != p.BY_NAME[n].default]
    if "obs_file" in given and dataset:
        problems.append(f"obs_file: a file was named and also a search ({', '.join(dataset)}); give one or the other")
    if "detach" in given and str(values["detach"]).lower() in TRUE and str(values["dispatch"]).lower() == "local":
        problems.append("detach: a local run cannot be detached; leave out detach or use dispatch=slurm")
    if "network_name" in given and not _NAME.match(str(values["network_name"])):
        problems.append(f"network_name: {_no_name(values['network_name'])}")
    problems += _frequency(values)
    grid = values["grid"]
    if not (is_empty(grid) or "/" in str(grid) or str(grid).endswith(NETCDF) or _GRID.fullmatch(str(grid).strip())):
        problems.append(f"grid: {grid!r} is no step in degrees (0.5), no global grid (r360x180), and no netCDF file")
    if is_empty(grid) and str(values["native_grid"]).strip().lower() in TRUE:
        problems.append(
            "native_grid: belongs to grid; without it the result is on the file's cells. Leave out native_grid"
        )
    options = values["extra_scheduler_options"]
    if not is_empty(options):
        bad = [part for part in str(options).split(",") if not _OPTION.match(part.strip())]
        problems += [f"extra_scheduler_options: {part!r} is no option like --partition=shared" for part in bad]
    problems += _reference_period(values["reference_period"])
    problems += _auxiliary(values)
    if str(values["task"]).strip().lower() == "evaluate":
        problems += _withheld(values, given)
    problems += _products(values)
    problems += _explanation(values)
    return problems + benchmark.problems(values, given)


def _explanation(values: Mapping[str, Any]) -> list[str]:
    """Problems of what is to be explained."""
    problems, task, months = [], str(values["task"]).strip().lower(), values["explain_months"]
    if task == p.EXPLAIN and is_empty(values["month"]):
        problems.append("month: task=explain needs the month to explain, e.g. month=1877-09")
    if task == p.RECONSTRUCT and not is_empty(values["month"]):
        problems.append("month: belongs to task=explain; a reconstruction takes explain_months")
    if is_empty(months):
        if task == p.RECONSTRUCT and not is_empty(values["region"]):
            problems.append(
                "region: is the value that explain_months explains; name months, e.g. explain_months=1877-09"
            )
    elif task != p.RECONSTRUCT:
        problems.append("explain_months: belongs to task=reconstruct; task=explain takes month")
    elif (count := len(months if isinstance(months, tuple) else str(months).split(","))) > MOST_EXPLAINED:
        problems.append(
            f"explain_months: names {count} months, at most {MOST_EXPLAINED} are explained in a report; for more use "
            "'climrecon explain', once for each"
        )
    if not is_empty(values["region"]) and values["variable"] in VARIABLES:
        try:
            parse_target(str(values["region"]).strip(), values["variable"])
        except ValueError as error:
            problems.append(f"region: {error}")
    return problems


def _withheld(values: Mapping[str, Any], given: frozenset[str]) -> list[str]:
    """Problems of an evaluation on withheld observations."""
    if not _withholds(values):
        changed = str(values["folds"]) != str(p.BY_NAME["folds"].default)
        return ["folds: belongs to withhold=cells, blocks or spans; name one of them"] if changed else []
    problems = [
        f"{name}: belongs to an evaluation on known fields; leave it out, or leave out withhold"
        for name in ("truth_file", "masks")
        if name in given
    ]
    if "noise" in given and str(values["noise"]).strip().lower() in TRUE:
        problems.append("noise: the observations have errors of their own; leave out noise, or leave out withhold")
    return problems


def _withholds(values: Mapping[str, Any]) -> bool:
    return str(values["withhold"]).strip().lower() != "none"


def _frequency(values: Mapping[str, Any]) -> list[str]:
    """Problems of the time frequency."""
    frequency, task = frequency_named(values["time_frequency"]), str(values["task"]).strip().lower()
    if frequency is None:
        known = ", ".join(FREQUENCIES)
        return [f"time_frequency: {values['time_frequency']!r} is none of {known}"]
    if frequency == MONTH:
        return []
    if task == p.COMPARE:
        return [] if frequency == YEAR else ["time_frequency: monthly or annual means are compared, mon or yr"]
    if task not in (p.TRAIN, p.EVALUATE):
        return []
    problems = []
    if str(values["training_target"]).strip().lower() == "blended":
        problems.append(
            f"training_target: monthly means are blended, not {frequency.adjective} ones; use auto or tas, or blend "
            "monthly means and make the others of them"
        )
    if task == p.TRAIN and not is_empty(values["forced_patterns"]):
        problems.append(
            f"forced_patterns: forced responses are those of monthly means; a network of {frequency.adjective} means has "
            "none; leave it out"
        )
    return problems


def _auxiliary(values: Mapping[str, Any]) -> list[str]:
    """Problems of auxiliary variables and their files."""
    problems, task, known = [], str(values["task"]).strip().lower(), ", ".join(AUXILIARY)
    names = [] if is_empty(values["auxiliary"]) else [n.strip() for n in str(values["auxiliary"]).split(",")]
    for name in names:
        if name not in AUXILIARY or names.count(name) > 1:
            near = did_you_mean(name, AUXILIARY)
            problems.append(
                f"auxiliary: {name!r} is no auxiliary variable, or stands there twice; choose from {known}{near}"
            )
    if not is_empty(values["auxiliary_files"]):
        if task not in (takers := p.BY_NAME["auxiliary_files"].tasks):
            problems.append(f"auxiliary_files: belongs to task={' or '.join(takers)}; task={task} takes none")
        for part in str(values["auxiliary_files"]).split(","):
            name, sign, path = (word.strip() for word in part.partition("="))
            if not sign or name not in AUXILIARY or not path:
                problems.append(f"auxiliary_files: {part.strip()!r} is not VARIABLE=FILE with one of {known}")
    return problems


def _products(values: Mapping[str, Any]) -> list[str]:
    """Problems of the products of a comparison."""
    task, given = str(values["task"]).strip().lower(), not is_empty(values["products"])
    if task != "compare":
        return [f"products: belongs to task=compare; task={task} takes none"] if given else []
    known = VARIABLES.get(values["variable"])
    problems = []
    if known and known.kind == "ratio":
        problems.append(f"variable: {known.name} is a share of its climatology; products of anomalies are compared")
    pairs = named_files(values["products"]) if given else []
    names = [name for name, _ in pairs]
    for name, path in pairs:
        if not _PRODUCT.match(name) or path == Path():
            text = f"{name}={'' if path == Path() else path}"
            problems.append(f"products: {text!r} is not NAME=FILE with a name of at most 40 characters")
        elif names.count(name) > 1:
            problems.append(f"products: the name {name!r} is given twice")
    if len(pairs) < 2 and is_empty(values["products_folder"]):
        problems.append("products: name at least two, NAME=FILE,NAME=FILE, or a products_folder")
    return list(dict.fromkeys(problems))


def _no_name(name: Any) -> str:
    return f"{name!r} is no name; use letters, digits, dot, dash and underscore"


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a network.

    Raises
    ------
    UsageError
        If it is none.
    """
    if not _NAME.match(name):
        raise UsageError(f"{_no_name(name)}.", "Choose another name, e.g. my-network.")


def training_sets(values: Mapping[str, Any], given: Mapping[str, Any], site: Site) -> list[str]:
    """Training sets that the site does not know, where they matter."""
    task = str(values["task"]).strip().lower()
    truth = not is_empty(values["truth_file"])
    if task == p.BENCHMARK and (truth or "training_data" not in given):
        return []
    if task not in ("train", p.BENCHMARK) and (task != "evaluate" or truth or _withholds(values)):
        return []
    known = site.file.training_data
    names = [part.strip() for part in str(values["training_data"]).split("+") if part.strip()]
    there_are = f"the site knows {', '.join(known)}"
    problems = [] if names else [f"training_data: names no set; {there_are}"]
    return problems + [
        f"training_data: there is no set {name}; {there_are} (several are joined by +){did_you_mean(name, known)}"
        for name in names
        if name not in known
    ]


def _reference_period(value: Any) -> list[str]:
    try:
        period = None if is_empty(value) else read_period(value)
    except ValueError:
        return []  # reported with the single values
    if period is None or period.start is None or period.end is None:
        return ["reference_period: both ends are needed, e.g. 1961-1990"]
    if period.start % 12 or period.end % 12 != 11:
        return ["reference_period: whole years are needed, e.g. 1961-1990"]
    return []


def named_files(text: Any) -> list[tuple[str, Path]]:
    """Names and paths of a text ``NAME=FILE,NAME=FILE``; both may be empty."""
    pairs = [part.partition("=") for part in str(text or "").split(",") if part.strip()]
    return [(name.strip(), Path(path.strip()).expanduser()) for name, _, path in pairs]


def is_empty(value: Any) -> bool:
    """Whether a value counts as not given."""
    # Freva sends the text "None" for x=None, and blank web fields as empty texts or not at all.
    return value is None or (isinstance(value, str) and value.strip() in ("", "None"))


def did_you_mean(word: str, words: Iterable[str], cutoff: float = 0.6) -> str:
    """``; did you mean …?`` with the nearest of ``words``; empty if none is near."""
    near = difflib.get_close_matches(word, list(words), 1, cutoff)
    return f"; did you mean {near[0]}?" if near and near[0] != word else ""
