"""The parameters, defined once.

From this table come the command line, the typed and validated settings, the Freva ``ParameterDictionary``,
``tool.toml``, the table in the README, the settings that enter a fingerprint, and the paths that a job needs in full.
The host's Python imports it too, so it holds nothing but the standard library, in syntax that Python 3.8 reads.
:mod:`climrecon.settings` alone *checks* values.
"""

import os
import warnings
from pathlib import Path
from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple, Union

Default = Union[None, bool, int, float, str]

# Kinds of parameters. plugin.py chooses the Freva type for each.
FACET = "facet"  # a search facet; a drop-down fed by the data browser in the web form
TEXT = "text"
CHOICE = "choice"
BOOL = "bool"
INT = "int"
FLOAT = "float"
PERIOD = "period"  # 1850-2025, 1850:2025, 185001-202512, either end open
MONTH = "month"  # YYYY-MM
# Kinds of paths.
FILE = "file"
FOLDER = "folder"  # runs share it
OUTPUT = "output"  # a folder of this run alone: the host appends the run's number
FILE_OR_URL = "file or URL"
NAME_OR_PATH = "name or path"
NAMES_OR_PATHS = "names or paths"  # separated by commas
NAMED_FILES = "named files"  # NAME=FILE, separated by commas
PATHS = (FILE, FOLDER, OUTPUT, FILE_OR_URL, NAME_OR_PATH, NAMES_OR_PATHS, NAMED_FILES)

TASKS = RECONSTRUCT, TRAIN, EVALUATE = ("reconstruct", "train", "evaluate")

#: Old name -> name. The old names are accepted until the version after 0.2, with a note.
OLD_NAMES = {"against": "compare_with", "channel_files": "auxiliary_files", "channels": "auxiliary"}


class OldName(FutureWarning):
    """A parameter was given by its old name."""


class Parameter(NamedTuple):
    """One parameter of a run.

    Attributes
    ----------
    choices, minimum, maximum:
        What bounds a value.
    site:
        Whether the site file may change the default.
    host_default:
        Replaces ``default`` where Freva runs the plugin; may hold the host's own variables.
    tasks:
        Tasks that read the parameter; () for the call itself.
    in_fingerprint:
        Whether the value itself changes the result. Inputs and networks enter a fingerprint by their hashes instead.
    """

    name: str
    kind: str
    default: Default
    help: str
    choices: Tuple[str, ...] = ()
    minimum: Optional[float] = None
    maximum: Optional[float] = None
    site: bool = False
    host_default: Default = None
    tasks: Tuple[str, ...] = TASKS
    in_fingerprint: bool = False


PARAMETERS = (
    Parameter(
        "variable",
        FACET,
        "tas",
        "Variable to reconstruct, by its CMOR name, e.g. tas (near-surface temperature).",
        site=True,
        in_fingerprint=True,
    ),
    Parameter(
        "project",
        FACET,
        "observations",
        "Project of the observations in the data browser or catalogue. Case does not matter.",
        site=True,
    ),
    Parameter("product", FACET, None, "Product of the observations. Empty: any that matches.", site=True),
    Parameter("institute", FACET, None, "Institute of the observations. Empty: any that matches.", site=True),
    Parameter(
        "model",
        FACET,
        None,
        "Data set to reconstruct, e.g. HadCRUT5, HadCRUT4, CRUTEM4, GISTEMP. Empty: the site's default "
        "(HadCRUT5) where the catalogue has several.",
        site=True,
    ),
    Parameter(
        "experiment", FACET, None, "Experiment of the observations. Empty: any that matches.", site=True
    ),
    Parameter("ensemble", FACET, None, "Ensemble of the observations. Empty: any that matches.", site=True),
    Parameter(
        "time_frequency",
        FACET,
        "mon",
        "Time frequency; only monthly means (mon) are reconstructed.",
        site=True,
    ),
    Parameter(
        "obs_file",
        FILE,
        None,
        "A netCDF file of gridded observations to use instead of a search by facets. "
        "It must have gaps, monthly means and a global latitude-longitude grid.",
    ),
    Parameter(
        "period",
        PERIOD,
        None,
        "Months to use: 1850-2025, 1850:2025 or 185001-202512; either end may be open. Empty: all months.",
        in_fingerprint=True,
    ),
    Parameter(
        "network",
        NAME_OR_PATH,
        "punet5",
        "Network or baseline that fills the gaps: a name from 'climrecon networks' (e.g. punet5, kriging), or the "
        "path of a network. A training starts from this network, if one is given.",
        site=True,
    ),
    Parameter(
        "auxiliary_files",
        NAMED_FILES,
        None,
        "Files of the auxiliary variables that the network takes, VARIABLE=FILE separated by commas, e.g. "
        "psl=/data/psl.nc. A file may have gaps; a variable without a file counts as not observed.",
        tasks=(RECONSTRUCT,),
    ),
    Parameter(
        "compare_with",
        NAMES_OR_PATHS,
        "kriging",
        "Other networks or baselines to compare the result with, separated by commas; 'none' for none. Each network "
        "fills all months; the spread between networks is reported as structural uncertainty.",
        site=True,
        tasks=(RECONSTRUCT, EVALUATE),
    ),
    Parameter(
        "realisations",
        INT,
        0,
        "Number of realisations (equally likely complete fields), 0 to 1000. Each takes as much disk space as the "
        "result.",
        minimum=0,
        maximum=1000,
        site=True,
        tasks=(RECONSTRUCT, EVALUATE),
        in_fingerprint=True,
    ),
    Parameter(
        "obs_members",
        INT,
        20,
        "Number of members of the observations' ensemble (HadCRUT5 has 200) to reconstruct too, spread evenly over "
        "all members. Their spread is the observational part of the uncertainty. Each member takes as long as the "
        "result. 0 or 1: none.",
        minimum=0,
        maximum=1000,
        site=True,
        tasks=(RECONSTRUCT,),
        in_fingerprint=True,
    ),
    Parameter(
        "keep_observed",
        BOOL,
        True,
        "True: observed cells keep their values. False: observed cells hold the analysis too.",
        site=True,
        tasks=(RECONSTRUCT,),
        in_fingerprint=True,
    ),
    Parameter(
        "reference_period",
        PERIOD,
        "1961-1990",
        "Years whose mean is the zero of the anomalies. A reconstruction is referred to these years after the gaps "
        "are filled; 20 of the years are needed in each calendar month.",
        site=True,
        in_fingerprint=True,
    ),
    Parameter(
        "values",
        CHOICE,
        "auto",
        "Whether the input holds anomalies or absolute temperatures; auto decides from the file, and stops in doubt.",
        choices=("auto", "anomaly", "absolute"),
        in_fingerprint=True,
    ),
    Parameter(
        "catalogue",
        FILE_OR_URL,
        None,
        "Path or URL of an intake-esm catalogue to search. Empty: the site's catalogue.",
        site=True,
    ),
    Parameter("plots", BOOL, True, "Draw maps and series (PNG).", site=True),
    Parameter(
        "plot_month",
        MONTH,
        None,
        "Month on the maps, YYYY-MM. Empty: the month of the strongest reconstructed El Nino.",
        tasks=(RECONSTRUCT,),
    ),
    Parameter(
        "animation",
        BOOL,
        False,
        "Write a month-by-month animation of the reconstruction.",
        site=True,
        tasks=(RECONSTRUCT,),
    ),
    Parameter(
        "report",
        BOOL,
        True,
        "Write one self-contained HTML report.",
        site=True,
        tasks=(RECONSTRUCT, EVALUATE),
    ),
    Parameter(
        "add_to_databrowser",
        BOOL,
        False,
        "Add the result to the data browser (product 'reconstruction'), one file for each variable.",
        site=True,
        tasks=(RECONSTRUCT,),
    ),
    Parameter(
        "dryrun",
        BOOL,
        False,
        "Print the input files, the steps and the size of the result, and stop before computing.",
    ),
    Parameter(
        "outputdir",
        OUTPUT,
        None,
        "Folder for the results; Freva adds the number of the run.",
        host_default="$USER_OUTPUT_DIR",
        site=True,
    ),
    Parameter(
        "cachedir",
        FOLDER,
        None,
        "Folder for intermediate results that your runs share. Empty: your cache folder.",
        host_default="$USER_CACHE_DIR",
        site=True,
    ),
    Parameter(
        "device",
        CHOICE,
        "auto",
        "Processor for the network; auto takes a GPU if there is one. A reconstruction needs no GPU.",
        choices=("auto", "cpu", "cuda"),
        site=True,
    ),
    Parameter(
        "seed",
        INT,
        0,
        "Seed of the random numbers; equal seeds give equal results.",
        minimum=0,
        maximum=2**31 - 1,
        in_fingerprint=True,
    ),
    Parameter(
        "dispatch",
        CHOICE,
        "auto",
        "Where the stages run: local (on this machine), slurm (as batch jobs), auto (Slurm if needed and available).",
        choices=("auto", "local", "slurm"),
        site=True,
    ),
    Parameter(
        "detach", BOOL, False, "Return at once after submitting batch jobs instead of waiting for them."
    ),
    Parameter(
        "task",
        CHOICE,
        "reconstruct",
        "Task: reconstruct observations, train a network, or evaluate networks on known fields.",
        choices=TASKS,
        tasks=(),
    ),
    Parameter(
        "truth_file",
        FILE,
        None,
        "netCDF file of complete monthly fields, taken as the truth and masked with the gaps of the observations. "
        "Empty: the held-out members of training_data.",
        tasks=(EVALUATE,),
    ),
    Parameter(
        "noise",
        BOOL,
        False,
        "Add errors to the masked truth, drawn as in the training with these observations.",
        tasks=(EVALUATE,),
        in_fingerprint=True,
    ),
    Parameter(
        "training_data",
        TEXT,
        "20cr+cmip5",
        "Training sets of the site file, joined by +, e.g. 20cr+cmip5. An evaluation without truth_file takes the "
        "held-out members of these sets as the truth.",
        site=True,
        tasks=(TRAIN, EVALUATE),
    ),
    Parameter(
        "training_target",
        CHOICE,
        "auto",
        "Field to learn: blended (air temperature over land and ice, sea-surface temperature over open water, as in "
        "HadCRUT), tas (air temperature everywhere), auto (blended for members that have tos, sic and sftlf).",
        choices=("auto", "blended", "tas"),
        site=True,
        tasks=(TRAIN, EVALUATE),
        in_fingerprint=True,
    ),
    Parameter(
        "recipe",
        NAME_OR_PATH,
        "native",
        "Recipe: native or analysis (our own; analysis uses the neighbouring months too, as punet5 does), kadow2020 "
        "(the published network). Settings may follow: native,width=24,depth=2 (depth: at most 3 on 36 x 72 cells). "
        "Or a TOML file.",
        site=True,
        tasks=(TRAIN,),
    ),
    Parameter(
        "auxiliary",
        TEXT,
        None,
        "Auxiliary variables that the network takes beside tas, separated by commas: psl, tos, pr. Members without "
        "these variables are left out. recipe=native alone.",
        site=True,
        tasks=(TRAIN,),
    ),
    Parameter("network_name", TEXT, None, "Name of the trained network in the store.", tasks=(TRAIN,)),
    Parameter(
        "masks",
        NAME_OR_PATH,
        None,
        "Observation file or data set whose gaps mask the complete fields. Empty: the observations of this run.",
        tasks=(TRAIN, EVALUATE),
    ),
    Parameter(
        "iterations",
        INT,
        None,
        "Number of training steps. Empty: the recipe's.",
        minimum=1,
        maximum=100_000_000,
        tasks=(TRAIN,),
    ),
    Parameter(
        "max_hours",
        FLOAT,
        None,
        "Longest training time in hours. Empty: the recipe's.",
        minimum=0.001,
        maximum=10_000,
        tasks=(TRAIN,),
        in_fingerprint=True,
    ),
    Parameter(
        "extra_scheduler_options",
        TEXT,
        None,
        "Options for the batch job of a submitted run, separated by commas, e.g. --partition=shared,--cpus-per-task=4. "
        "Empty: the site's.",
        site=True,
        tasks=(),
    ),
)

BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}
FACETS = tuple(parameter.name for parameter in PARAMETERS if parameter.kind == FACET)


def of_task(task: str) -> Tuple[Parameter, ...]:
    """The parameters that ``task`` reads; those of a training or evaluation alone come first."""
    chosen = [parameter for parameter in PARAMETERS if task in parameter.tasks]
    return tuple(sorted(chosen, key=lambda one: task != RECONSTRUCT and RECONSTRUCT in one.tasks))


def fingerprinted(task: str) -> Tuple[str, ...]:
    """Names of the parameters whose values enter the fingerprint of ``task``."""
    return tuple(one.name for one in PARAMETERS if one.in_fingerprint and task in one.tasks)


def help_with_task(parameter: Parameter) -> str:
    """The help for a form that shows the parameters of all tasks."""
    if not parameter.tasks or RECONSTRUCT in parameter.tasks:
        return parameter.help
    return "{} For task={} alone.".format(parameter.help, " or ".join(parameter.tasks))


def shown(default: Default) -> str:
    """A default as users write it."""
    return str(default).lower() if isinstance(default, bool) else str(default)


def allowed(parameter: Parameter) -> str:
    """The allowed values, in words: ``auto | anomaly | absolute``, ``integer, 0 to 1000`` ..."""
    if parameter.choices:
        return " | ".join(parameter.choices)
    words = {
        FACET: "text",
        TEXT: "text",
        BOOL: "true | false",
        INT: "integer",
        FLOAT: "number",
        PERIOD: "1850-2025, 1850:2025, 185001-202512, 1850-, -2025",
        MONTH: "YYYY-MM",
        FILE: "path of a file",
        FOLDER: "path of a folder",
        OUTPUT: "path of a folder",
        NAMED_FILES: "NAME=FILE, separated by commas",
        NAMES_OR_PATHS: "names or paths, separated by commas",
    }.get(parameter.kind, parameter.kind)
    if parameter.minimum is not None and parameter.maximum is not None:
        words += ", {:g} to {:g}".format(parameter.minimum, parameter.maximum)
    return words


def with_new_names(values: Mapping[str, Any]) -> Dict[str, Any]:
    """``values`` with today's names for old ones; an :class:`OldName` warning names each.

    An old name beside the new one stays, and is refused as unknown where values are checked.
    """
    renamed = {}
    for name, value in values.items():
        new = OLD_NAMES.get(name, name)
        if new != name and new not in values:
            warnings.warn(note_on(name), OldName, stacklevel=3)
            renamed[new] = value
        else:
            renamed[name] = value
    return renamed


def note_on(old: str) -> str:
    """The note on an old name."""
    return "{} is now called {}; the next version no longer accepts the old name".format(old, OLD_NAMES[old])


def with_absolute_paths(values: Mapping[str, Any], folder: Path) -> Dict[str, Any]:
    """``values`` with every path in full, for a job that starts elsewhere; relative ones are taken from ``folder``.

    Names stay names: a word of a parameter that takes either is a path where it holds a slash, ends in ``.toml``, or
    is a file or a network's folder in ``folder``.
    """
    return {
        name: _absolute(BY_NAME[name].kind, value, folder) if name in BY_NAME else value
        for name, value in values.items()
    }


def _absolute(kind: str, value: Any, folder: Path) -> Any:
    text = str(value)
    if kind not in PATHS or value is None or not text.strip() or (kind == FILE_OR_URL and "://" in text):
        return value
    if kind == NAMES_OR_PATHS:
        return ",".join(_absolute(NAME_OR_PATH, part.strip(), folder) for part in text.split(","))
    if kind == NAMED_FILES:
        pairs = [part.partition("=") for part in text.split(",") if part.strip()]
        return ",".join(
            name.strip() + sign + _absolute(FILE, path.strip(), folder) for name, sign, path in pairs
        )
    path = folder / os.path.expanduser(text.strip())
    if kind == NAME_OR_PATH:
        # A recipe may name a file in its settings: native,setting=folder/file is no path.
        named = "/" in text.partition("=")[0] or text.endswith(".toml")
        if not (named or path.is_file() or (path / "card.json").is_file()):
            return value
    return str(path)
