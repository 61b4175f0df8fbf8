"""Parts of the pages that are made from the code when the site is built.

A page holds a comment where a part belongs: ``<!-- table of parameters -->``, ``<!-- fields of the forms -->``,
``<!-- public modules -->``, ``<!-- table of refusals -->``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from climrecon import form
from climrecon import parameters as p

sys.path.insert(0, str(Path(__file__).parent))  # mkdocs loads this file by its path
from refusals import table_of_refusals

#: The public modules, in the order of the page; whatever else the package holds may change without notice.
PUBLIC_MODULES = (
    "climrecon.api",
    "climrecon.benchmark_set",
    "climrecon.methods.contract",
    "climrecon.fields",
    "climrecon.grid",
    "climrecon.errors",
)
TABLE = "<!-- table of parameters -->"
FORMS = "<!-- fields of the forms -->"
MODULES = "<!-- public modules -->"
REFUSALS = "<!-- table of refusals -->"


def table_of_parameters() -> str:
    """A definition of each parameter: name, default, allowed values, tasks, and help."""
    lines = ["| parameter | default | values | help |", "|---|---|---|---|"]
    for parameter in p.PARAMETERS:
        default = parameter.default
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        cells = [
            f"`{parameter.name}`{'*' if parameter.site else ''}",
            "" if default is None else f"`{shown}`",
            p.allowed(parameter).replace("|", "\\|"),
            parameter.help.replace("|", "\\|"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def fields_of_forms() -> str:
    """The fields of each Freva plugin in their order, with their help there."""
    plugins = {
        p.RECONSTRUCT: "ClimRecon",
        p.TRAIN: "ClimReconTrain",
        p.EVALUATE: "ClimReconEvaluate",
        p.COMPARE: "ClimReconCompare",
        p.EXPLAIN: "ClimReconExplain",
        p.BENCHMARK: "ClimReconBenchmark",
    }
    lines = []
    for task, plugin in plugins.items():
        rows = [(field.name, field.help) for field in form.fields(task)]
        rows += [(form.OPTIONS, form.options_help(task)), (form.SCHEDULER, "Options for the batch job.")]
        lines += [f"**{plugin}**", "", "| field | help |", "|---|---|"]
        lines += [f"| `{name}` | {text.replace('|', chr(92) + '|')} |" for name, text in rows] + [""]
    return "\n".join(lines)


def public_modules() -> str:
    """The directives that put the docstrings of the public modules into the page."""
    return "\n\n".join(f"::: {name}" for name in PUBLIC_MODULES)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for each page before it is rendered."""
    if TABLE in markdown:
        markdown = markdown.replace(TABLE, table_of_parameters())
    if FORMS in markdown:
        markdown = markdown.replace(FORMS, fields_of_forms())
    if MODULES in markdown:
        markdown = markdown.replace(MODULES, public_modules())
    if REFUSALS in markdown:
        markdown = markdown.replace(REFUSALS, table_of_refusals())
    return markdown
