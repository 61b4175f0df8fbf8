"""The files of explained values, and their numbers for reports: maps in netCDF, figures, JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from climrecon.fields import Observations
from climrecon.output.content import content_sha256
from climrecon.output.explanation import Explained, how, sign_of, write_maps
from climrecon.output.product import mean_in_words
from climrecon.variables import VARIABLES
from climrecon.version import __version__
from climrecon.workflow.run_folder import RunFolder

#: The best place for one more observation is named where it reduces the standard deviation by this share.
_WORTH_A_LINE = 0.01


def add_explanation(
    results: RunFolder, observations: Observations, found: Sequence[Explained], numbers: str, stems: Sequence[str]
) -> dict[str, Any]:
    """Write the explanations of one month's value, and list their files.

    Parameters
    ----------
    observations:
        As read, of which the texts state the source.
    found:
        One for each method.
    numbers:
        Name of the JSON file of all.
    stems:
        Name of the maps and of the figure of each, without suffix.

    Returns
    -------
    The content of the JSON file, which reports show.
    """
    first, source = found[0], observations.source
    title = f"{source.label}, {first.month}: contributions to {_value_in_words(first)}"
    content = {
        "schema": 1,
        "title": title,
        "data_set": source.label,
        "month": first.month,
        "value": _value_in_words(first),
        "units": VARIABLES[first.variable].units,
        "sign": sign_of(first.variable),
        "methods": {one.info.name: one.content() for one in found},
        "notes": list(source.notes),
    }
    caption = f"{first.month}: contributions by month, region, block and cell, and what observations are worth"
    results.add_json(numbers, "explanation", caption, content)
    when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for one, stem in zip(found, stems, strict=True):
        path = results.stage / f"{stem}.nc"
        made = f"{when} climrecon {__version__} {results.settings.task}"
        attributes = {
            "title": f"{title}, {one.info.name}",
            "institution": source.institution or "unknown",
            "source": f"climrecon {__version__} with {one.info.name}: {one.info.title}",
            "references": source.references,
            "comment": "; ".join(one.notes),
            "history": "\n".join(filter(None, [made, source.history])),
        }
        write_maps(path, one, {key: text for key, text in attributes.items() if text}, source.calendar)
        caption = f"{one.month}: contributions, changes and reductions of variance with {one.info.name}"
        results.add(path, "explanation", caption, content_sha256(path))
    if results.settings.plots:
        from climrecon.plots.explanation import draw_explanation

        for one, stem in zip(found, stems, strict=True):
            results.add_figure(f"{stem}.png", draw_explanation(one, source.label, _value_in_words(one)))
    return content


def _value_in_words(one: Explained) -> str:
    """``Nino 3.4``, ``the global mean``, ``the mean over 10S-10N, 170W-120W``, ``the cell at …``."""
    target = one.target
    if target.index is not None or target.place is not None:
        return target.name
    return f"the mean over {target.name}" if target.box else f"the {mean_in_words(one.grid, one.variable)}"


def summary(content: Mapping[str, Any]) -> list[str]:
    """Lines for the end of the run."""
    units, sign, lines = content["units"], content["sign"], [f"{content['title']}."]
    for name, one in content["methods"].items():
        sd = one["stated_stddev"] if one["stated_stddev"] is not None else one["stddev"]
        spread = "" if sd is None else f", standard deviation {sd:.2f}"
        month = next(row for row in one["months"] if row["month"] == content["month"])
        lines.append(
            f"  {name}: {one['estimate']:{sign}.2f} {units}{spread}; {month['observed']} observations, {how(one)}."
        )
        largest = ", ".join(f"{row['block']} {row['contribution']:+.2f}" for row in one["blocks"][:3])
        lines.append(f"    largest contributions, {units}: {largest}")
        best = next(iter(one["wanted"]), None)
        if best is not None and best["stddev"] < (1.0 - _WORTH_A_LINE) * one["stddev"]:
            less = 100.0 * (1.0 - best["stddev"] / one["stddev"])
            lines.append(
                f"    one more observation reduces the standard deviation most at {best['cell']}, by {less:.0f} %"
            )
    return lines
