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

# Kinds of parameters. climrecon/freva.py chooses the Freva type for each.
FACET = "facet"  # a search facet; a drop-down fed by the data browser in the web form
TEXT = "text"
CHOICE = "choice"
BOOL = "bool"
INT = "int"
FLOAT = "float"
PERIOD = "period"  # 1850-2025, 1850:2025, 185001-202512, either end open
PERIODS = "periods"  # several with both ends, separated by commas
MONTH = "month"  # YYYY-MM
MONTHS = "months"  # several, separated by commas
# Kinds of paths.
FILE = "file"
FOLDER = "folder"  # runs share it
OUTPUT = "output"  # a folder of this run alone: the host appends the run's number
FILE_OR_URL = "file or URL"
NAME_OR_PATH = "name or path"
NAMES_OR_PATHS = "names or paths"  # separated by commas
NAMED_FILES = "named files"  # NAME=FILE, separated by commas
FOLDERS = "folders"  # separated by commas
PATHS = (FILE, FOLDER, OUTPUT, FILE_OR_URL, NAME_OR_PATH, NAMES_OR_PATHS, NAMED_FILES, FOLDERS)

TASKS = RECONSTRUCT, TRAIN, EVALUATE, EXPLAIN, COMPARE, BENCHMARK = (
    "reconstruct", "train", "evaluate", "explain", "compare", "benchmark",
)  # fmt: skip
#: Tasks that work on observations and apply methods; a comparison reads finished products.
WITH_OBSERVATIONS = (RECONSTRUCT, TRAIN, EVALUATE, EXPLAIN)
#: Tasks that search a catalogue for observations; a benchmark takes their gaps alone.
SEARCHING = (*WITH_OBSERVATIONS, BENCHMARK)
#: Tasks on fields of any variable, grid and frequency; a benchmark set has its own.
ON_ANY_FIELDS = (*WITH_OBSERVATIONS, COMPARE)

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
        What Freva's form holds at first, where it is not empty; may hold the host's own variables.
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
    Parameter("variable", FACET, "tas", site=True, in_fingerprint=True, tasks=ON_ANY_FIELDS,
              help="Variable to reconstruct, by its CMOR name, e.g. tas (near-surface air temperature), psl "
                   "(sea-level pressure)."),
    Parameter("project", FACET, "observations", site=True, tasks=SEARCHING,
              help="Project of the observations in the data browser or catalogue. Case does not matter."),
    Parameter("product", FACET, None, site=True, tasks=SEARCHING,
              help="Product of the observations. Empty: any that matches."),
    Parameter("institute", FACET, None, site=True, tasks=SEARCHING,
              help="Institute of the observations. Empty: any that matches."),
    Parameter("model", FACET, None, site=True, tasks=SEARCHING,
              help="Data set to reconstruct, e.g. HadCRUT5, HadCRUT4, CRUTEM4, GISTEMP. Empty: the site's default "
                   "(HadCRUT5) where the catalogue has several."),
    Parameter("experiment", FACET, None, site=True, tasks=SEARCHING,
              help="Experiment of the observations. Empty: any that matches."),
    Parameter("ensemble", FACET, None, site=True, tasks=SEARCHING,
              help="Ensemble of the observations. Empty: any that matches."),
    Parameter("time_frequency", FACET, "mon", site=True, tasks=ON_ANY_FIELDS,
              help="Frequency of the means: mon (months), yr (years), sem (seasons DJF, MAM, JJA, SON) or day. The "
                   "networks that come with climrecon are monthly; other frequencies take a baseline, e.g. kriging, or a "
                   "network trained on them: a training is of this frequency too."),
    Parameter("obs_file", FILE, None, tasks=WITH_OBSERVATIONS,
              help="A netCDF file of gridded observations to use instead of a search by facets. It must have gaps, "
                   "means of time_frequency on a latitude-longitude grid, global or regional. Of the other facets only "
                   "model may be given with it: the data set that the file holds, where the file does not state it or "
                   "contradicts itself."),
    Parameter("obs_variable", TEXT, None, site=True, tasks=ON_ANY_FIELDS,
              help="Name of the variable in the files of the observations; of products in those files that hold it. "
                   "Empty: names and attributes in the files decide."),
    Parameter("allow_infilled", BOOL, False, tasks=WITH_OBSERVATIONS,
              help="Read a product whose gaps seem to be filled. The result states it: interpolated cells then count as "
                   "observations."),
    Parameter("grid", NAME_OR_PATH, None, tasks=ON_ANY_FIELDS,
              help="Regular grid that the files of the observations, and the fields of a training or evaluation, are "
                   "remapped to as they are read, conservatively: a step in degrees over their extent (0.5), a global "
                   "grid (r360x180), or a netCDF file on the grid. For curvilinear, rotated and unstructured grids. "
                   "Empty: the grid of the files."),
    Parameter("native_grid", BOOL, False, tasks=(RECONSTRUCT,),
              help="With grid: write the reconstruction on the cells of the file too, in a second netCDF file with their "
                   "coordinates, bounds and grid mapping. Observed cells have the file's values, the others those of the "
                   "regular grid, bilinearly."),
    Parameter("domain", CHOICE, "auto", choices=("auto", "everywhere", "sea", "land"), tasks=ON_ANY_FIELDS,
              help="Cells that are estimated and counted in means. auto: where the variable exists; in a regional file "
                   "without the cells beyond the observed ones, and without water if only land is observed."),
    Parameter("period", PERIOD, None, in_fingerprint=True,
              help="Months to use: 1850-2025, 1850:2025 or 185001-202512; either end may be open. Empty: all months."),
    Parameter("network", NAME_OR_PATH, "auto", site=True, tasks=WITH_OBSERVATIONS,
              help="Network or baseline that fills the gaps: a name from 'climrecon networks' (e.g. punet6, kriging), "
                   "the path of a network, or auto (the network that comes with climrecon for the variable, else "
                   "kriging, as for other frequencies than mon). A training starts from this network, if one is given."),
    Parameter("auxiliary_files", NAMED_FILES, None, tasks=(RECONSTRUCT, EXPLAIN),
              help="Files of the auxiliary variables that the network takes, VARIABLE=FILE separated by commas, e.g. "
                   "psl=/data/psl.nc. A file may have gaps; a variable without a file counts as not observed."),
    Parameter("compare_with", NAMES_OR_PATHS, "kriging", site=True, tasks=(RECONSTRUCT, EVALUATE, EXPLAIN),
              help="Other networks or baselines to compare the result with, separated by commas; 'none' for none. Each "
                   "network fills all months; the spread between networks is reported as structural uncertainty."),
    Parameter("compare_series", BOOL, False, site=True, tasks=(RECONSTRUCT,),
              help="Fill all months with the baselines of compare_with too, as with its networks: their means stand on "
                   "the series, in a table and in baselines.csv. Kriging takes minutes for 2,000 months."),
    Parameter("realisations", INT, 0, minimum=0, maximum=1000, site=True, tasks=(RECONSTRUCT, EVALUATE, BENCHMARK),
              in_fingerprint=True,
              help="Number of realisations (equally likely complete fields), 0 to 1000. Each takes as much disk space "
                   "as the result."),
    Parameter("obs_members", INT, 20, minimum=0, maximum=1000, site=True, tasks=(RECONSTRUCT,), in_fingerprint=True,
              help="Number of members of the observations' ensemble (HadCRUT5 has 200) to reconstruct too, spread "
                   "evenly over all members. Their spread is the observational part of the uncertainty. Each member "
                   "takes as long as the result. 0 or 1: none."),
    Parameter("keep_observed", BOOL, True, site=True, tasks=(RECONSTRUCT,), in_fingerprint=True,
              help="True: observed cells keep their values. False: observed cells hold the analysis too."),
    Parameter("reference_period", PERIOD, "1961-1990", site=True, in_fingerprint=True, tasks=ON_ANY_FIELDS,
              help="Years whose mean is the zero of the anomalies. A reconstruction is referred to these years after "
                   "the gaps are filled; 20 of the years are needed in each calendar month or season."),
    Parameter("values", CHOICE, "auto", choices=("auto", "anomaly", "absolute"), in_fingerprint=True,
              tasks=ON_ANY_FIELDS,
              help="Whether the input holds anomalies or absolute values; auto decides from the file, and stops "
                   "in doubt."),
    Parameter("catalogue", FILE_OR_URL, None, site=True, tasks=SEARCHING,
              help="Path or URL of an intake-esm catalogue to search. Empty: the site's catalogue."),
    Parameter("plots", BOOL, True, site=True, help="Draw maps and series (PNG)."),
    Parameter("plot_month", MONTH, None, tasks=(RECONSTRUCT,),
              help="Month on the maps, YYYY-MM; of years and seasons that which holds it, of days its first. Empty: "
                   "that of the largest event of the variable's index (for temperatures the strongest El Nino), else the "
                   "last."),
    Parameter("explain_months", MONTHS, None, tasks=(RECONSTRUCT,),
              help="Months, YYYY-MM separated by commas, at most six, whose value of region the report explains: which "
                   "observations it comes from, and where one more would help most. A few seconds each; of days the "
                   "first of the month. Empty: none."),
    Parameter("region", TEXT, None, tasks=(RECONSTRUCT, EXPLAIN),
              help="Value to explain, in a reconstruction that of explain_months: an index of the variable (nino34, "
                   "land_mean), global (the mean of all cells), nh, sh, a box lat0,lat1,lon0,lon1, or a place lat,lon in "
                   "degrees. Empty: the variable's index, else global."),
    Parameter("animation", BOOL, False, site=True, tasks=(RECONSTRUCT,),
              help="Write an animation of all months (years, seasons, days) of the reconstruction."),
    Parameter("interactive_map", BOOL, False, site=True, tasks=(RECONSTRUCT,),
              help="Write a page (about 5 MB, larger on fine grids; works offline) with a map whose month is chosen by a "
                   "slider, and the series of the cell that is clicked on."),
    Parameter("vector_figures", BOOL, False, site=True,
              help="Write each figure as PDF too."),
    Parameter("report", BOOL, True, site=True, tasks=(RECONSTRUCT, EVALUATE, EXPLAIN, COMPARE, BENCHMARK),
              help="Write one self-contained HTML report."),
    Parameter("add_to_databrowser", BOOL, False, site=True, tasks=(RECONSTRUCT,),
              help="Add the result to the data browser: product climrecon.reconstruction of your own project, one file "
                   "for each variable."),
    Parameter("dryrun", BOOL, False,
              help="Print the input files, the steps and the size of the result, and stop before computing."),
    Parameter("outputdir", OUTPUT, None, site=True, host_default="$USER_OUTPUT_DIR",
              help="Folder for the results; Freva adds the number of the run. Empty: climrecon-result, or the next free "
                   "name (climrecon-result-2); climrecon-training, climrecon-evaluation, climrecon-explanation, "
                   "climrecon-comparison and climrecon-benchmark for the other tasks."),
    Parameter("cachedir", FOLDER, None, site=True,
              help="Folder for intermediate results that your runs share. Empty: your cache folder."),
    Parameter("device", CHOICE, "auto", choices=("auto", "cpu", "cuda"), site=True, tasks=SEARCHING,
              help="Processor for the network; auto takes a GPU if there is one. A reconstruction needs no GPU."),
    Parameter("seed", INT, 0, minimum=0, maximum=2**31 - 1, in_fingerprint=True,
              help="Seed of the random numbers; equal seeds give equal results."),
    Parameter("dispatch", CHOICE, "auto", choices=("auto", "local", "slurm"), site=True,
              help="Where the stages run: local (on this machine), slurm (as batch jobs), auto (Slurm if needed and "
                   "available)."),
    Parameter("detach", BOOL, False, help="Return at once after submitting batch jobs instead of waiting for them."),
    Parameter("task", CHOICE, "reconstruct", choices=TASKS, tasks=(),
              help="Task: reconstruct observations, train a network, evaluate networks (on known fields, or on "
                   "withheld observations), explain which observations a reconstructed value comes from, compare "
                   "infilled products, or score methods and submissions of other tools on a benchmark set."),
    Parameter("month", MONTH, None, tasks=(EXPLAIN,), in_fingerprint=True,
              help="Month to explain, YYYY-MM; of years and seasons that which holds it, of days its first. Needed."),
    Parameter("truth_file", FILE, None, tasks=(EVALUATE, BENCHMARK),
              help="netCDF file of complete fields of time_frequency, taken as the truth and masked with the gaps of the "
                   "observations. Empty: the held-out members of training_data; of a benchmark that names none "
                   "either, generated fields."),
    Parameter("withhold", CHOICE, "none", choices=("none", "cells", "blocks", "regions", "spans"), tasks=(EVALUATE,),
              help="Score on the observations themselves: observed cells are withheld in turn and reconstructed from the "
                   "others. cells: single cells; blocks: 20 degrees; regions: continents and ocean basins; spans: these "
                   "for 24 months. none: known fields are the truth."),
    Parameter("folds", INT, 10, minimum=2, maximum=100, tasks=(EVALUATE,),
              help="Folds that cells, blocks or spans are drawn into, to be withheld in turn: 2 to 100. Each method "
                   "reconstructs all months (years, seasons, days) once for each fold. Of regions each one is a fold."),
    Parameter("noise", BOOL, False, tasks=(EVALUATE,), in_fingerprint=True,
              help="Add errors to the masked truth, drawn as in the training with these observations."),
    Parameter("training_data", TEXT, "20cr+cmip5", site=True, tasks=(TRAIN, EVALUATE, BENCHMARK),
              help="Training sets of the site file, joined by +, e.g. 20cr+cmip5. Name first the set closest to "
                   "observations: its months judge how much each set counts. An evaluation without "
                   "truth_file takes the held-out members of these sets as the truth, a benchmark that names a set its "
                   "first member."),
    Parameter("training_target", CHOICE, "auto", choices=("auto", "blended", "tas"), site=True, tasks=(TRAIN,
              EVALUATE), in_fingerprint=True,
              help="Field to learn: blended (air temperature over land and ice, sea-surface temperature over open "
                   "water, as in HadCRUT), tas (air temperature everywhere), auto (blended for members that have tos, "
                   "sic and sftlf)."),
    Parameter("recipe", NAME_OR_PATH, "punet", site=True, tasks=(TRAIN,),
              help="Recipe: punet (our own, as punet6), kadow2020 (the published network). Settings may follow: "
                   "punet,width=24,depth=2 (depth: at most 3 on 36 x 72 cells). Or a TOML file."),
    Parameter("auxiliary", TEXT, None, site=True, tasks=(TRAIN,),
              help="Auxiliary variables that the network takes besides its own, with commas between: psl, tos, pr. "
                   "Members without these variables are left out. recipe=punet alone."),
    Parameter("forced_patterns", FILE, None, site=True, tasks=(TRAIN,),
              help="netCDF file of forced response patterns of climate models (K per kelvin of global warming; by season "
                   "where there are): with them the network knows climates that its training data do not hold. Empty: "
                   "the patterns of the training data alone."),
    Parameter("network_name", TEXT, None, tasks=(TRAIN,), help="Name of the trained network in the store."),
    Parameter("masks", NAME_OR_PATH, None, tasks=(TRAIN, EVALUATE, BENCHMARK),
              help="Observation file or data set whose gaps mask the complete fields, or made-up coverage of the sea "
                   "(hadsst-like, ship-tracks). Empty: the observations of this run; of a benchmark of "
                   "generated fields, generated gaps."),
    Parameter("iterations", INT, None, minimum=1, maximum=100_000_000, tasks=(TRAIN,),
              help="Number of training steps. Empty: the recipe's."),
    Parameter("max_hours", FLOAT, None, minimum=0.001, maximum=10_000, tasks=(TRAIN,), in_fingerprint=True,
              help="Longest training time in hours. Empty: the recipe's."),
    Parameter("products", NAMED_FILES, None, tasks=(COMPARE,),
              help="Products to compare, NAME=FILE separated by commas, e.g. ours=climrecon-result,"
                   "GISTEMP=gistemp1200_GHCNv4_ERSSTv5.nc. FILE may also be a zip of members, or the folder of one "
                   "product (a mean and members, or the results of a reconstruction). Differences are taken to the "
                   "first product."),
    Parameter("products_folder", FOLDER, None, tasks=(COMPARE,),
              help="Folder of further products: each netCDF file, zip and folder in it is one, called as it is there."),
    Parameter("trend_periods", PERIODS, "1850-2018,1901-2018,1998-2012", site=True, tasks=(COMPARE,),
              in_fingerprint=True,
              help="Whole years of the trends and of the maps, periods separated by commas. Each is cut to the years "
                   "that all products have; ten years are needed."),
    Parameter("methods", NAMES_OR_PATHS, "auto,kriging,idw", site=True, tasks=(BENCHMARK,),
              help="Networks and baselines of climrecon that are run on the set and scored, separated by commas: names "
                   "from 'climrecon networks' or paths; auto is the network for tas, 'none' for none. Differences are "
                   "taken to kriging."),
    Parameter("submissions", FOLDERS, None, tasks=(BENCHMARK,),
              help="Folders of submissions of other tools, separated by commas. A submission holds a netCDF file for "
                   "each case, as the README.md of the set describes it; a folder of submissions may be named too."),
    Parameter("benchmark", FOLDER, None, tasks=(BENCHMARK,),
              help="Folder of the benchmark set to score on, or of an earlier result that holds one. Empty: a set is "
                   "exported and is part of the result, the embedded one if no truth, masks or gaps are named."),
    Parameter("gaps", TEXT, None, tasks=(BENCHMARK,),
              help="Years of the gaps of a set that is exported, NAME=PERIOD separated by commas; each gives the cases "
                   "NAME-clean and NAME-noisy. Empty: sparse=1851-1880,dense=1951-1980."),
    Parameter("key", FILE, None, tasks=(BENCHMARK,),
              help="Key file of a set with a hidden seed, as 'climrecon benchmark export --hidden FILE' writes it; its "
                   "scorer has it."),
    Parameter("leaderboard", FILE, None, tasks=(BENCHMARK,),
              help="Leaderboard that several runs share, FILE.html: the rows are entered in it too, and the page of the "
                   "result holds all its rows. Empty: the page holds the rows of this run."),
    Parameter("extra_scheduler_options", TEXT, None, site=True, tasks=(),
              help="Options for the batch job of a submitted run, separated by commas, e.g. "
                   "--partition=shared,--cpus-per-task=4. Empty: the site's."),
)  # fmt: skip

BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}
FACETS = tuple(parameter.name for parameter in PARAMETERS if parameter.kind == FACET)


def of_task(task: str) -> Tuple[Parameter, ...]:
    """The parameters that ``task`` reads; those of a training or evaluation alone come first."""
    chosen = [parameter for parameter in PARAMETERS if task in parameter.tasks]
    return tuple(sorted(chosen, key=lambda one: task != RECONSTRUCT and RECONSTRUCT in one.tasks))


def command_of(task: str) -> str:
    """The words of the command line that run ``task``, after ``climrecon``."""
    return "benchmark leaderboard" if task == BENCHMARK else task


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
        PERIODS: "periods with both ends, e.g. 1850-2018, separated by commas",
        MONTH: "YYYY-MM",
        MONTHS: "months YYYY-MM, separated by commas",
        FILE: "path of a file",
        FOLDER: "path of a folder",
        OUTPUT: "path of a folder",
        NAMED_FILES: "NAME=FILE, separated by commas",
        NAMES_OR_PATHS: "names or paths, separated by commas",
        FOLDERS: "paths of folders, separated by commas",
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
    if kind in (NAMES_OR_PATHS, FOLDERS):
        one = NAME_OR_PATH if kind == NAMES_OR_PATHS else FOLDER
        return ",".join(_absolute(one, part.strip(), folder) for part in text.split(",") if part.strip())
    if kind == NAMED_FILES:
        pairs = [part.partition("=") for part in text.split(",") if part.strip()]
        return ",".join(name.strip() + sign + _absolute(FILE, path.strip(), folder) for name, sign, path in pairs)
    path = folder / os.path.expanduser(text.strip())
    if kind == NAME_OR_PATH:
        # A recipe may name a file in its settings: punet,setting=folder/file is no path.
        named = "/" in text.partition("=")[0] or text.endswith(".toml")
        if not (named or path.is_file() or (path / "card.json").is_file()):
            return value
    return str(path)
