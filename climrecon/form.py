"""The forms of the Freva plugins: the fields of each task in their order, and their help.

What a form has no field for stands in its field ``options``: ``name=value``, separated by commas. All fields are empty
at first: the host sends its defaults as if a user had given them, and a default of the site would be lost.
The host's Python imports this module, see :mod:`climrecon.freva`: standard library alone.
"""

import ast
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

from climrecon import parameters as p

PACKAGE = Path(__file__).resolve().parent
OPTIONS = "options"
#: The host adds this field to each form by itself.
SCHEDULER = "extra_scheduler_options"
_OPTIONS_HELP = (
    "Other parameters as name=value, separated by commas, e.g. {}; docs/reference/parameters.md and 'climrecon {} "
    "--help' list them."
)

#: Task -> the parameters that its form shows, in this order.
FORMS = {
    p.RECONSTRUCT: ("variable", "model", "obs_file", "period", "network", "compare_with", "obs_members", "realisations",
                    "reference_period", "plot_month", "animation", "interactive_map", "add_to_databrowser", "outputdir"),
    p.TRAIN: ("training_data", "recipe", "network_name", "network", "variable", "model", "obs_file", "masks", "auxiliary",
              "training_target", "iterations", "max_hours", "outputdir"),
    p.EVALUATE: ("network", "compare_with", "truth_file", "training_data", "noise", "withhold", "variable", "model",
                 "obs_file", "masks", "period", "realisations", "outputdir"),
    p.COMPARE: ("products", "products_folder", "variable", "reference_period", "period", "trend_periods", "outputdir"),
    p.BENCHMARK: ("methods", "submissions", "benchmark", "truth_file", "masks", "model", "gaps", "period",
                  "realisations", "key", "leaderboard", "outputdir"),
    p.EXPLAIN: ("variable", "model", "obs_file", "month", "region", "network", "compare_with", "period", "outputdir"),
}  # fmt: skip

#: Parameters that are settings of a recipe too: behind ``recipe=`` they are the recipe's.
OF_RECIPES = ("folds", "iterations", "masks", "noise")

_GAPS = "whose gaps and errors are put on the complete fields"
#: Help of parameters that mean something else in a training or an evaluation.
_HELP = {
    (p.TRAIN, "network"): "Network that the training starts from. Empty: none.",
    (p.TRAIN, "variable"): "Variable to learn, by its CMOR name, e.g. tas (near-surface temperature).",
    (p.TRAIN, "model"): "Observations {}, e.g. HadCRUT5.".format(_GAPS),
    (p.TRAIN, "obs_file"): "A netCDF file of observations {}.".format(_GAPS),
    (p.EVALUATE, "network"): "Network or baseline to score, e.g. punet6.",
    (p.EVALUATE, "compare_with"): "Networks or baselines to score too, separated by commas; 'none' for none.",
    (p.EVALUATE, "variable"): "Variable of the fields, by its CMOR name, e.g. tas (near-surface temperature).",
    (p.EVALUATE, "model"): "Observations {}, or which are withheld, e.g. HadCRUT5.".format(_GAPS),
    (p.EVALUATE, "obs_file"): "A netCDF file of observations {}, or which are withheld.".format(_GAPS),
    (p.EVALUATE, "withhold"): "Observed cells that are withheld and scored, in place of known fields: cells, blocks, "
    "regions or spans.",
    (p.COMPARE, "variable"): "Variable of the products, by its CMOR name, e.g. tas (near-surface temperature).",
    (p.COMPARE, "reference_period"): "Years whose mean is the zero of all products.",
    (p.EVALUATE, "training_data"): "Training sets whose held-out members are the truth, joined by +.",
    (p.BENCHMARK, "truth_file"): "netCDF file of monthly anomalies that a new set is made of; needed again to score on "
    "it. Empty: generated fields.",
    (p.BENCHMARK, "masks"): "Observation file or data set whose gaps a new set takes. Empty: generated gaps, or "
    "those of model where there is a truth_file.",
    (p.BENCHMARK, "model"): "Data set of the catalogue whose gaps a new set takes, e.g. HadCRUT5. Empty: the site's "
    "default.",
    (p.BENCHMARK, "period"): "Whole years of the truth of a new set, e.g. 1900-1927. Empty: all, or of generated "
    "fields 1911-1940.",
    (p.BENCHMARK, "realisations"): "Equally likely complete fields that each method draws, to score intervals of the "
    "annual mean: 0, or 2 to 1000.",
    (p.EXPLAIN, "network"): "Network or baseline whose value is explained, e.g. punet6.",
    (p.EXPLAIN, "compare_with"): "Networks or baselines to explain too, separated by commas; 'none' for none.",
    (p.EXPLAIN, "variable"): "Variable of the value, by its CMOR name, e.g. tas (near-surface temperature).",
    (p.EXPLAIN, "model"): "Data set of the observations, e.g. HadCRUT5, HadCRUT4, CRUTEM4, GISTEMP. Empty: the site's "
    "default (HadCRUT5) where the catalogue has several.",
}


def fields(task: str) -> List[p.Parameter]:
    """The parameters of the form of ``task``, each with its help there."""
    chosen = (p.BY_NAME[name] for name in FORMS[task])
    return [one._replace(help=_help(task, one)) for one in chosen]


def options_help(task: str) -> str:
    """Help of the field :data:`OPTIONS`."""
    example = "keep_observed=false, seed=1" if task == p.RECONSTRUCT else "plots=false, seed=1"
    return _OPTIONS_HELP.format(example, p.command_of(task))


def _help(task: str, parameter: p.Parameter) -> str:
    """One sentence, and what an empty field means."""
    text = _HELP.get((task, parameter.name), parameter.help)
    first, *others = re.split(r"(?<=\.)(?<!e\.g\.)\s+(?=[A-Z])", text)
    empty = next((one for one in others if one.startswith("Empty:")), "")
    if not empty and parameter.default is not None and (task, parameter.name) != (p.TRAIN, "network"):
        empty = "Empty: {}{}.".format("the site's, else " if parameter.site else "", p.shown(parameter.default))
    return " ".join(filter(None, (first, empty)))


def to_form(task: str, values: Mapping[str, str]) -> Dict[str, str]:
    """``values`` as the form has them: those of other parameters stand in its field ``options``."""
    others = {n: v for n, v in values.items() if n in p.BY_NAME and n not in (*FORMS[task], SCHEDULER)}
    shown = {name: value for name, value in values.items() if name not in others}
    pairs = sorted(others.items(), key=lambda pair: pair[0] == "recipe")  # last: its value may look like other pairs
    given = [shown.get(OPTIONS, "").strip(), *("{}={}".format(*pair) for pair in pairs)]
    text = ",".join(filter(None, given))
    return {**shown, OPTIONS: text} if text else shown


def from_form(values: Mapping[str, Any]) -> Dict[str, Any]:
    """The parameters that were given: of the fields that are not empty, and of ``options``.

    Raises
    ------
    ValueError
        If a parameter is given twice.
    """
    given = {name: value for name, value in values.items() if name != OPTIONS and value is not None}
    for name, value in _options(str(values.get(OPTIONS) or "")):
        if str(given.get(name, value)) != value:
            raise ValueError("{}: is given twice, as {} and as {}".format(name, given[name], value))
        given[name] = value
    return given


def _options(text: str) -> List[Tuple[str, str]]:
    """Names and values of the field ``options``; a value may hold commas (recipe=punet,width=24)."""
    names = "|".join([*p.BY_NAME, *p.OLD_NAMES])
    parts = re.split(r"[,\s]\s*(?=(?:{})\s*=)".format(names), text.strip())
    pairs: List[Tuple[str, str]] = []
    for part in parts:
        name, _, value = (word.strip(" ,") for word in part.partition("="))
        if pairs and pairs[-1][0] == "recipe" and name in OF_RECIPES:
            pairs[-1] = ("recipe", "{},{}={}".format(pairs[-1][1], name, value))
        elif name:
            pairs.append((name, value))
    return pairs


@lru_cache(maxsize=1)
def baselines() -> Tuple[str, ...]:
    """Names of the baselines. The registry imports numpy, which the host lacks, so its table is read as text."""
    tree = ast.parse((PACKAGE / "methods" / "registry.py").read_text(encoding="utf-8"))
    (table,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "_BASELINES"
    ]
    return tuple(ast.literal_eval(table))


def offered() -> List[str]:
    """Networks that are shipped or in the site's store, and baselines: what the form offers."""
    places = [PACKAGE / "weights", *_stores()]
    networks = [card.parent.name for place in places for card in sorted(place.glob("[!.]*/card.json"))]
    default = str(p.BY_NAME["network"].default)
    return list(dict.fromkeys([default, *networks, *baselines()]))


def _stores() -> List[Path]:
    """The stores that the first site file names; none where the host's Python reads no TOML (before 3.11)."""
    named = os.environ.get("CLIMRECON_CONFIG")
    for path in (*([Path(named)] if named else []), PACKAGE.parent / "climrecon.toml"):
        try:
            text = path.read_text(encoding="utf-8")
            import tomllib  # only for a site file: each listing of plugins would pay for it

            stores = tomllib.loads(text)["network_store"]
        except (ImportError, OSError, ValueError, KeyError):
            continue
        return [Path(os.path.expanduser(place)) for place in stores]
    return []
