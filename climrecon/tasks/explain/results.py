"""Writing the results of an explanation: maps, numbers, figures, provenance, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from climrecon.fields import Observations
from climrecon.output.content import content_sha256
from climrecon.output.explanation import Explained, sign_of, write_maps
from climrecon.output.product import mean_in_words
from climrecon.report import write_explanation_report
from climrecon.tasks.inputs import Inputs
from climrecon.tasks.methods import LoadedMethod
from climrecon.variables import VARIABLES
from climrecon.version import __version__
from climrecon.workflow.fingerprint import fingerprint
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.run_folder import RunFolder

#: The best place for one more observation is named where it reduces the standard deviation by this share.
_WORTH_A_LINE = 0.01


def write_explanation(
    results: RunFolder,
    observations: Observations,
    found: Sequence[Explained],
    methods: Sequence[LoadedMethod],
    inputs: Inputs,
    version: int,
) -> Outcome:
    """Write everything; ``found`` has one entry for each of the methods, that of ``network`` first."""
    first, source, settings = found[0], observations.source, results.settings
    when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
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
    results.reporter.stage("Writing the explanation")
    caption = "Contributions by month, block and cell, and what observations are worth"
    results.add_json("explanation.json", "explanation", caption, content)
    for one in found:
        path = results.stage / f"explanation_{one.info.name}.nc"
        attributes = {
            "title": f"{title}, {one.info.name}",
            "institution": source.institution or "unknown",
            "source": f"climrecon {__version__} with {one.info.name}: {one.info.title}",
            "references": source.references,
            "comment": "; ".join(one.notes),
            "history": "\n".join(filter(None, [f"{when} climrecon {__version__} explain", source.history])),
        }
        write_maps(path, one, {key: text for key, text in attributes.items() if text}, source.calendar)
        caption = f"Contributions, changes and reductions of variance with {one.info.name}"
        results.add(path, "explanation", caption, content_sha256(path))
    if settings.plots:
        from climrecon.plots.explanation import draw_explanation

        results.reporter.stage("Drawing figures")
        for one in found:
            picture = draw_explanation(one, source.label, _value_in_words(one))
            results.add_figure(f"explanation_{one.info.name}.png", picture)
    main, *others = methods
    return results.finish(
        title,
        {"product": "explanation", "model": source.dataset.lower(), "experiment": main.info.name.lower()},
        summary(content),
        partial(write_explanation_report, content=content),
        network=main.info.name,
        network_sha256=main.info.sha256,
        inputs=[
            *zip(source.files, source.sha256, strict=True),
            *(file for method in methods for file in method.info.inputs),
        ],
        fingerprint=fingerprint(
            "explain",
            version,
            [*source.sha256, *(digest for method in methods for _, digest in method.info.inputs)],
            settings.fingerprinted("explain"),
            " ".join(method.identity for method in methods),
        ),
        other_networks=[(one.info.name, one.info.sha256) for one in others if one.info.sha256],
        notes=[*source.notes, *inputs.notes, *(f"{one.info.name}: {note}" for one in found for note in one.notes)],
    )


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


def how(one: Mapping[str, Any]) -> str:
    """How contributions were found, with their error."""
    if one["how"] == "occlusion":
        return "each left out in turn, since the method offers no gradients"
    if one["how"] == "exact":
        return "exact weights"
    return f"integrated gradients, whose sum misses the value by {100 * one['completeness_error']:.2f} %"
