"""One self-contained HTML report of a run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from climrecon.files import write_text
from climrecon.frequency import frequency_of
from climrecon.grid import NINO34
from climrecon.output.card import scored_on
from climrecon.output.explanation import how
from climrecon.output.product import NO_SKILL, Product
from climrecon.output.series import NINETY, Series, highest_years, trends
from climrecon.output.structural import rows, structural_rows
from climrecon.variables import VARIABLES
from climrecon.workflow.provenance import Activity, OutputFile

#: Templates are next to the package in a checkout, inside it in an installed wheel.
_PLACES = (Path(__file__).parent / "templates", Path(__file__).parent.parent / "templates")


def environment() -> Environment:
    """The template environment; everything is escaped: titles and names come from foreign files.

    The one script of a page sorts tables. It may run by its hash alone, so that none in a foreign text does.
    """
    made = Environment(
        loader=FileSystemLoader([str(place) for place in _PLACES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = made.get_template("sortable.js").render().strip()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    made.globals.update(sorting=Markup(script), sorting_sha256=digest)
    return made


def write_page(path: Path, template: str, **content: Any) -> None:
    """Render ``template`` with ``content`` to ``path``."""
    write_text(path, environment().get_template(template).render(**content))


def write_run_page(
    path: Path,
    template: str,
    *,
    figures: Sequence[tuple[Path, str]],
    outputs: Sequence[OutputFile],
    activity: Activity,
    **content: Any,
) -> None:
    """The page of a run; figures are embedded, so that the file can be sent on its own."""
    write_page(
        path,
        template,
        figures=[_embedded(*one) for one in figures],
        outputs=outputs,
        files=[*activity.inputs, *((file.path, file.sha256) for file in outputs)],
        activity=activity,
        **content,
    )


def write_report(
    path: Path,
    *,
    product: Product,
    series: Series,
    left_out: Sequence[tuple[str, str]],
    explanations: Sequence[tuple[dict[str, Any], str]] = (),
    figures: Sequence[tuple[Path, str]],
    **run: Any,
) -> None:
    """Render the report; ``run`` holds ``outputs`` and ``activity``, as of all reports here.

    Parameters
    ----------
    explanations:
        Content of each explained value, and the name of its figure, which its section shows.
    """
    source, card = product.observations.source, product.network.card
    variable = VARIABLES[product.observations.variable]
    units = variable.units
    write_run_page(
        path,
        "report.html.j2",
        title=f"{source.label} reconstructed with {product.network.name}",
        source=source,
        units=units,
        digits=variable.decimals,
        sign="+" if variable.kind == "anomaly" else "",
        quantity=" blended with ".join(variable.blend) if source.blended else variable.label,
        product=product,
        network=product.network,
        facts=_facts(product, series),
        trends=trends(series),
        ranked_years=variable.ranked_years,
        highest=highest_years(series) if variable.ranked_years else [],
        structural=structural_rows(product),
        baselines=rows(product, product.baselines, {}),
        scores=_scores(card, units),
        scored_on=scored_on(card) if card.get("scores") else "",
        caveats=card.get("caveats", []),
        left_out=left_out,
        ninety=NINETY,
        figures=[one for one in figures if one[0].name not in {name for _, name in explanations}],
        explanations=[
            (content, [_embedded(*one) for one in figures if one[0].name == name]) for content, name in explanations
        ],
        how=how,
        **run,
    )


def _embedded(figure: Path, caption: str) -> tuple[str, str]:
    return png_address(figure.read_bytes()), caption


def png_address(content: bytes) -> str:
    """A PNG as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(content).decode()


def _facts(product: Product, series: Series) -> dict[str, Any]:
    """Numbers of the summary."""
    covered = 100.0 * series.covered
    years = series.time.year
    status = product.status
    area = product.observations.grid.area
    unskilled = [((status[part] == NO_SKILL) * area).sum((1, 2)) for part in product.blocks()]
    return {
        "outside": 100.0 * product.observations.grid.outside_share,
        "steps": series.time.counted(),
        "step": series.time.word,
        "plural": series.time.plural,
        "first": series.time.labels()[0],
        "last": series.time.labels()[-1],
        "covered": float(covered.mean()),
        "covered_first": float(covered[years == years[0]].mean()),
        "covered_last": float(covered[years == years[-1]].mean()),
        "first_year": int(years[0]),
        "last_year": int(years[-1]),
        "no_skill": float(100.0 * np.concatenate(unskilled).mean()),
        "global_sd": None if series.ours_sd is None else float(NINETY * series.ours_sd.mean()),
    }


#: Score -> column; {} are the units.
_COLUMNS = {
    "rmse": "RMSE, {}",
    "crps": "CRPS, {}",
    "covers_90": "90 % covers",
    "annual_mean_bias": "annual bias, {}",
    "annual_mean_r_detrended": "annual r, detrended",
    "annual_mean_trend_ratio": "trend ratio",
}


def _scores(card: dict[str, Any], units: str) -> dict[str, Any] | None:
    """The card's scores as a table."""
    cases = card.get("scores", {}).get("cases")
    if not cases:
        return None
    rows = [
        [case, method, *_numbers(row, *_COLUMNS)] for case, methods in cases.items() for method, row in methods.items()
    ]
    return {"columns": ["Case", "Method", *(text.format(units) for text in _COLUMNS.values())], "rows": rows}


def write_training_report(path: Path, *, card: dict[str, Any], **run: Any) -> None:
    """Render the report of a training; ``card`` is the content of the network's card."""
    own, others = (card["training"].get(key, {}) for key in ("validation", "validation_beside"))
    units = VARIABLES[card["variable"]].units
    write_run_page(
        path,
        "training.html.j2",
        card=card,
        units=units,
        steps=frequency_of(card),
        training=card["training"],
        validation=[
            [name, *_numbers(row, "rmse", "annual_r", "annual_rmse", form="{:.4f}")]
            for name, row in {card["name"]: own, **others}.items()
        ],
        scores=_scores(card, units),
        **run,
    )


#: Score of cells -> column of an evaluation; {} are the units.
_CELLS = {
    "rmse": "RMSE, {}",
    "rmse_less_noise": "RMSE less noise, {}",
    "bias": "Bias, {}",
    "crps": "CRPS, {}",
    "log_score": "Log score",
    "covers_50": "50 % covers",
    "covers_90": "90 % covers",
    "total_ratio": "Total over the truth's",
    "rank_r": "Rank correlation",
}


def write_evaluation_report(path: Path, *, content: dict[str, Any], **run: Any) -> None:
    """Render the report of an evaluation; ``content`` is that of its ``scores.json``."""
    scores, series = content["scores"], ("r", "r_detrended", "rmse", "bias", "trend_ratio", "covers_90")
    units, surfaces = content["units"], content["surfaces"]
    steps = frequency_of(content)
    regions = list(next(iter(scores.values()))["regions"])
    paired = {"rmse": "RMSE, {}", "crps": "CRPS, {}", "log_score": "Log score"}
    if regions:
        paired[f"{regions[0]}_annual_rmse"] = f"RMSE of the annual {content['mean']}, {{}}"
    paired["nino34_rmse"] = f"RMSE of {NINO34.name}, {{}}"
    there = {key for row in scores.values() for key in row["paired"]}
    paired = {key: text for key, text in paired.items() if key in there}
    columns = {name: text for name, text in _CELLS.items() if any(name in row["cells"] for row in scores.values())}
    write_run_page(
        path,
        "evaluation.html.j2",
        content=content,
        units=units,
        steps=steps,
        cell_columns=[text.format(units) for text in columns.values()],
        cells=[[name, *_numbers(row["cells"], *columns)] for name, row in scores.items()],
        surfaces=[
            [name, surface, *_numbers(row, "rmse", "bias", "crps", "covers_90")]
            for name, both in surfaces.items()
            for surface, row in both.items()
        ],
        groups=[
            (title, list(scores), _by_group(scores, key, f"n_{steps.plural}"))
            for title, key in (("Decades", "decades"), (f"Observed share of {content['area']}", "coverage"))
        ],
        by_region=_by_region(content.get("regions", {})),
        realisations=[
            [name, row["n"], *_numbers(row, "crps", "energy_score", "rmse_of_mean", "spread", "spread_over_rmse")]
            for name, row in content["realisations"].items()
        ],
        regions=[
            (region, step, [[name, *_numbers(row["regions"][region][step], *series)] for name, row in scores.items()])
            for region in regions
            for step in dict.fromkeys(("annual", steps.adjective))
            if step in next(iter(scores.values()))["regions"][region]
        ],
        paired=[[name, *_paired_row(row["paired"], paired)] for name, row in scores.items() if row["paired"]],
        paired_columns=[text.format(units) for text in paired.values()],
        **run,
    )


def _by_group(scores: dict[str, Any], key: str, count: str) -> list[list[str]]:
    """A row a group of steps: its label, how many steps by the key ``count``, and RMSE and CRPS of each method."""
    rows = {name: {row["label"]: row for row in one[key]} for name, one in scores.items()}
    found = []
    for label, first in next(iter(rows.values())).items():
        cells = [own.get(label, {}) for own in rows.values()]
        texts = [_number(one.get("rmse")) + (f" ({_number(one['crps'])})" if one.get("crps") else "") for one in cells]
        found.append([label, str(first[count]), *texts])
    return found


def _by_region(scores: dict[str, dict[str, float]]) -> tuple[list[str], list[list[str]]] | None:
    """Methods, and a row of RMSEs for each region."""
    if not scores:
        return None
    regions = next(iter(scores.values()))
    return list(scores), [[region, *(_number(row[region]) for row in scores.values())] for region in regions]


def _number(value: float | None, form: str = "{:.3f}") -> str:
    return "–" if value is None else form.format(value)


def _numbers(row: dict[str, Any], *keys: str, form: str = "{:.3f}") -> list[str]:
    return [_number(row.get(key), form) for key in keys]


def _paired_row(row: dict[str, Any], keys: Iterable[str]) -> list[str]:
    found = []
    for key in keys:
        one = row.get(key)
        if one is None:
            found.append("–")
            continue
        reach = "" if one["interval"] is None else " ({:+.3f} to {:+.3f})".format(*one["interval"])
        found.append(f"{_number(one['difference'], '{:+.3f}')}{reach}: {one['first_is']}")
    return found


def write_comparison_report(path: Path, *, content: dict[str, Any], **run: Any) -> None:
    """Render the report of a comparison; ``content`` is that of its ``comparison.json``."""
    names, digits, units = list(content["products"]), content["decimals"] + 1, content["units"]
    write_run_page(
        path,
        "comparison.html.j2",
        content=content,
        trends=[
            (
                f"{coverage.capitalize()} coverage, {units} per decade",
                ["Product", *(entry["asked"] for entry in entries)],
                [
                    *([name, *(_trend_cell(entry, name, digits) for entry in entries)] for name in names),
                    *(
                        [f"{name} less {names[0]}", *(_difference_cell(entry, name, digits) for entry in entries)]
                        for name in names[1:]
                        if coverage == "common"
                    ),
                ],
            )
            for coverage in ("common", "own")
            if (entries := [one for one in content["trends"] if one["coverage"] == coverage])
        ],
        ranks=[
            (
                f"{coverage.capitalize()} coverage",
                ["Rank", *(one["product"] for one in entries)],
                [
                    [str(rank + 1), *(_rank_cell(one["years"], rank, content["decimals"]) for one in entries)]
                    for rank in range(max(len(one["years"]) for one in entries))
                ],
            )
            for coverage in ("common", "own")
            if (entries := [one for one in content["ranks"] if one["coverage"] == coverage])
        ],
        event_columns=["Index", "Event", "Months", *names],
        events=[
            [row["index"], row["event"], row["months"], *(_event_cell(row["products"][n], digits - 1) for n in names)]
            for row in content["events"]
        ],
        pairs=[
            [
                f"{row['first']}, {row['second']}",
                row["years"],
                *_numbers(row, "annual_mean_difference", form="{:+.3f}"),
                *_numbers(row, *_AGREEMENT),
            ]
            for row in content["pairs"]
        ],
        notes=[f"{name}: {note}" for name, one in content["products"].items() for note in one["notes"]],
        **run,
    )


_AGREEMENT = ("annual_rms_difference", "annual_r", "annual_r_detrended", "cells_rms_difference", "cells_r")


def _trend_cell(entry: dict[str, Any], name: str, digits: int) -> str:
    row = entry["products"][name]
    if row["period"] is None:
        return f"– ({row['years']} years)"
    reach = "no interval" if row["interval"] is None else "{:+.{d}f} to {:+.{d}f}".format(*row["interval"], d=digits)
    text = f"{row['slope']:+.{digits}f} ({reach})"
    if "members" in row:
        text += f"; members {row['members']['mean']:+.{digits}f} ± {row['members']['sd']:.{digits + 1}f}"
    return f"{text}, {row['period']}" if row["cut"] else text


def _difference_cell(entry: dict[str, Any], name: str, digits: int) -> str:
    row = entry["differences"].get(name)
    if row is None:
        return "–"
    if row["interval"] is None:
        return f"{row['slope']:+.{digits}f} (no interval)"
    reach = "{:+.{d}f} to {:+.{d}f}".format(*row["interval"], d=digits)
    return f"{row['slope']:+.{digits}f} ({reach}), {'significant' if row['significant'] else 'not significant'}"


#: A year with less of the area covered is marked.
_SPARSE = 0.5


def _rank_cell(years: list[dict[str, Any]], rank: int, digits: int) -> str:
    if rank >= len(years):
        return "–"
    row = years[rank]
    chance = "" if row["probability"] is None else f", {100 * row['probability']:.0f} %"
    sparse = f"; {100 * row['covered']:.0f} % of the area" if row["covered"] < _SPARSE else ""
    return f"{row['year']} ({row['value']:+.{digits}f}{chance}{sparse})"


def _event_cell(row: dict[str, Any] | None, digits: int) -> str:
    if row is None:
        return "–"
    sd = "" if row["sd"] is None else f" ± {row['sd']:.{digits}f}"
    covered = "" if row["covered"] > 0.995 else f" ({100 * row['covered']:.0f} % of the box)"
    return f"{row['value']:+.{digits}f}{sd}{covered}"
