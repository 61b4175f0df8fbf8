"""The parameters, defined once.

From this table come the command line, the validated settings, the Freva ``ParameterDictionary``,
``tool.toml`` and the table in the README. The host's Python imports it too, so it holds nothing but
the standard library, in syntax that Python 3.8 reads. What a value may be is *checked* in
:mod:`climrecon.settings` alone.
"""

from typing import NamedTuple, Optional, Tuple, Union

Default = Union[None, bool, int, float, str]

# What a parameter is. The Freva type that follows from each is chosen in plugin.py.
FACET = "facet"  # a search facet; a drop-down fed by the data browser in the web form
TEXT = "text"
CHOICE = "choice"
BOOL = "bool"
INT = "int"
FLOAT = "float"
FILE = "file"
FOLDER = "folder"  # the host appends the run's number to it
PERIOD = "period"  # 1850-2025, 1850:2025, 185001-202512, either end open
MONTH = "month"  # YYYY-MM


class Parameter(NamedTuple):
    """One parameter of a run.

    ``host_default`` replaces ``default`` where Freva runs the plugin (it may hold the host's own
    variables); ``site`` says that the site file may change the default; ``minimum`` and ``maximum``
    bound numbers.
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
    unit: str = ""


PARAMETERS = (
    Parameter(
        "variable",
        FACET,
        "tas",
        "Variable to reconstruct, by its CMOR name, e.g. tas (near-surface temperature).",
        site=True,
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
        "Months to reconstruct: 1850-2025, 1850:2025 or 185001-202512; either end may be left open. Empty: all.",
    ),
    Parameter(
        "network",
        TEXT,
        "punet5",
        "Network or baseline that fills the gaps: a name from 'climrecon networks' (e.g. punet5, kriging), "
        "or a network file. With task=train: the network that training starts from, only where it is given.",
        site=True,
    ),
    Parameter(
        "channel_files",
        TEXT,
        None,
        "Files of the further variables that a network takes (see channels), VARIABLE=FILE separated by commas, e.g. "
        "psl=/data/psl.nc. Gaps are allowed; what is not given counts as not observed.",
    ),
    Parameter(
        "against",
        TEXT,
        "kriging",
        "Further networks or baselines to show or score beside it, separated by commas; 'none' for none. Networks are "
        "applied to all months: how far they differ is reported as structural uncertainty.",
        site=True,
    ),
    Parameter(
        "realisations",
        INT,
        0,
        "Number of realisations (equally likely complete fields) to write, 0 to 1000. Each is as large as the result.",
        minimum=0,
        maximum=1000,
        site=True,
    ),
    Parameter(
        "obs_members",
        INT,
        20,
        "Members of the observations' ensemble (HadCRUT5 has 200) that are reconstructed too, spread evenly over those "
        "there are: their spread is the observational part of the uncertainty. Each takes as long as the result itself. "
        "0 or 1: none.",
        minimum=0,
        maximum=1000,
        site=True,
    ),
    Parameter(
        "keep_observed",
        BOOL,
        True,
        "True: observed cells come back unchanged. False: the analysis stands at observed cells too.",
        site=True,
    ),
    Parameter(
        "reference_period",
        PERIOD,
        "1961-1990",
        "Years whose mean the anomalies of the result refer to. A complete field is re-based to it after "
        "reconstruction; needs 20 of its years in each calendar month.",
        site=True,
    ),
    Parameter(
        "values",
        CHOICE,
        "auto",
        "Whether the input holds anomalies or absolute temperatures; auto decides from the file and refuses in doubt.",
        choices=("auto", "anomaly", "absolute"),
    ),
    Parameter(
        "catalogue",
        TEXT,
        None,
        "Path or URL of an intake-esm catalogue to search. Empty: the site's catalogue.",
        site=True,
    ),
    Parameter("plots", BOOL, True, "Draw maps and series (PNG).", site=True),
    Parameter(
        "plot_month",
        MONTH,
        None,
        "Month the maps show, YYYY-MM. Empty: the month of the largest reconstructed El Nino.",
    ),
    Parameter(
        "animation", BOOL, False, "Also write a month-by-month animation of the reconstruction.", site=True
    ),
    Parameter("report", BOOL, True, "Write one self-contained HTML report.", site=True),
    Parameter(
        "add_to_databrowser",
        BOOL,
        False,
        "Offer the result in the data browser (product 'reconstruction'), each variable in a file of its own.",
        site=True,
    ),
    Parameter(
        "dryrun",
        BOOL,
        False,
        "Say which files would be used, what would be done and how large it is, then stop.",
    ),
    Parameter(
        "outputdir",
        FOLDER,
        None,
        "Folder for the results; Freva adds the number of the run.",
        host_default="$USER_OUTPUT_DIR",
        site=True,
    ),
    Parameter(
        "cachedir",
        TEXT,
        None,
        "Folder for intermediate results that your runs share. Empty: your cache folder.",
        host_default="$USER_CACHE_DIR",
        site=True,
    ),
    Parameter(
        "device",
        CHOICE,
        "auto",
        "Where the network runs; auto takes a GPU where there is one. Reconstruction needs none.",
        choices=("auto", "cpu", "cuda"),
        site=True,
    ),
    Parameter(
        "seed",
        INT,
        0,
        "Seed of every random draw; equal seeds give equal results.",
        minimum=0,
        maximum=2**31 - 1,
    ),
    Parameter(
        "dispatch",
        CHOICE,
        "auto",
        "Where the stages run: local (here), slurm (batch jobs), auto (Slurm where it is needed and answers).",
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
        "What to do: reconstruct observations, train a network, or evaluate networks on known fields.",
        choices=("reconstruct", "train", "evaluate"),
    ),
    Parameter(
        "truth_file",
        FILE,
        None,
        "[evaluate] A netCDF file of complete monthly fields that are taken as the truth and seen through the gaps of "
        "the observations. Empty: the held-out members of training_data.",
    ),
    Parameter(
        "noise",
        BOOL,
        False,
        "[evaluate] Add errors to what is shown of the truth, as the training draws them for these observations.",
    ),
    Parameter(
        "training_data",
        TEXT,
        "20cr+cmip5",
        "[train] Training sets of the site file, joined by +, e.g. 20cr+cmip5. With task=evaluate and no truth_file: "
        "the sets whose held-out members are the truth.",
        site=True,
    ),
    Parameter(
        "training_target",
        CHOICE,
        "auto",
        "[train] What is learned: blended (air temperature over land and ice, sea-surface temperature over open water, "
        "as in HadCRUT), tas (air temperature everywhere), auto (blended for members that have tos, sic and sftlf).",
        choices=("auto", "blended", "tas"),
        site=True,
    ),
    Parameter(
        "recipe",
        TEXT,
        "native",
        "[train] Recipe: native or analysis (our own; analysis sees the months before and after, as punet5 does), "
        "kadow2020 (the published network). Settings may follow: native,width=24,depth=2 (levels; at most 3, as 36 x 72 "
        "cells halve twice). Or a TOML file.",
        site=True,
    ),
    Parameter(
        "channels",
        TEXT,
        None,
        "[train] Further variables that the network sees as channels beside tas, separated by commas: psl, tos, pr. Of "
        "the training sets' members those that have them are used. recipe=native alone.",
        site=True,
    ),
    Parameter("network_name", TEXT, None, "[train] Name under which the trained network is stored."),
    Parameter(
        "masks",
        TEXT,
        None,
        "[train] Observation file or data set whose gaps the network is trained with; with task=evaluate: seen through. "
        "Empty: the observations above.",
    ),
    Parameter(
        "iterations",
        INT,
        None,
        "[train] Number of training steps. Empty: the recipe's.",
        minimum=1,
        maximum=100_000_000,
    ),
    Parameter(
        "max_hours",
        FLOAT,
        None,
        "[train] Longest training time in hours. Empty: the recipe's.",
        minimum=0.001,
        maximum=10_000,
    ),
    Parameter(
        "extra_scheduler_options",
        TEXT,
        None,
        "Options for the batch job of a submitted run, separated by commas, e.g. --partition=shared,--cpus-per-task=4. "
        "Empty: the site's.",
        site=True,
    ),
)

BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}
FACETS = tuple(parameter.name for parameter in PARAMETERS if parameter.kind == FACET)


def is_training(parameter: Parameter) -> bool:
    """Whether the parameter matters for training alone (its help begins with ``[train]``)."""
    return parameter.help.startswith("[train]")


def is_evaluation(parameter: Parameter) -> bool:
    """Whether the parameter matters for evaluations alone (its help begins with ``[evaluate]``)."""
    return parameter.help.startswith("[evaluate]")


def allowed(parameter: Parameter) -> str:
    """What a value may be, in words: ``auto | anomaly | absolute``, ``integer, 0 to 1000`` ..."""
    if parameter.choices:
        return " | ".join(parameter.choices)
    words = {
        FACET: "text",
        TEXT: "text",
        BOOL: "true | false",
        INT: "integer",
        FLOAT: "number",
        FILE: "path of a file",
        FOLDER: "path of a folder",
        PERIOD: "1850-2025, 1850:2025, 185001-202512, 1850-, -2025",
        MONTH: "YYYY-MM",
    }[parameter.kind]
    if parameter.minimum is not None and parameter.maximum is not None:
        words += ", {:g} to {:g}".format(parameter.minimum, parameter.maximum)
    return words
