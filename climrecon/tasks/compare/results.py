"""The last stage of a comparison: numbers, netCDF, figures, provenance, report, manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from climrecon.array_types import FloatArray, IntArray
from climrecon.output.comparison import Maps, SeriesOfProducts, write_comparison_file
from climrecon.output.content import content_sha256
from climrecon.output.product import area_in_words, mean_in_words
from climrecon.report import write_comparison_report
from climrecon.scores.series import annual_means
from climrecon.scores.trends import DRAWS, FEWEST_YEARS, LEVEL
from climrecon.settings import RunSettings
from climrecon.steps import Steps
from climrecon.tasks.compare.numbers import COMMON, OWN, Series, numbers
from climrecon.tasks.compare.together import OF_PERIOD, OF_YEAR, OnGrid, Together, cut, period_maps
from climrecon.variables import VARIABLES
from climrecon.version import __version__
from climrecon.workflow.fingerprint import fingerprint
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Reporter
from climrecon.workflow.run_folder import RunFolder
from climrecon.workflow.run_info import RunInfo

VERSION = 1


def write_comparison(
    together: Together, series: Sequence[Series], settings: RunSettings, run: RunInfo, reporter: Reporter
) -> Outcome:
    """Write everything; results appear in the output folder together or not at all."""
    content = _content(together, series, settings)
    for note in content["notes"]:
        reporter.note(note)
    shares = [one.covered for one in series]
    maps = _maps(together, settings, reporter)
    inputs = [(str(path), str(digest)) for one in together.products for path, digest in one.about["files"]]
    named = [f"{one.name} {digest}" for one in together.products for _, digest in one.about["files"]]
    with RunFolder.create(run, settings, reporter) as results:
        results.add_json("comparison.json", "comparison", "All numbers, with the files they were made from", content)
        path = results.stage / "comparison.nc"
        names, variable = [one.name for one in together.products], settings.variable
        attributes = _attributes(content, run)
        write_comparison_file(
            path, together.grid, variable, names, _series_of(together, series, shares, content), maps, attributes
        )
        results.add(path, "comparison", "Series and maps of all products", content_sha256(path))
        if settings.plots:
            reporter.stage("Drawing figures")
            _figures(results, together, content, shares, maps)
        return results.finish(
            content["title"],
            {"product": "comparison", "model": names[0], "time_frequency": together.time.frequency.name},
            _summary(content),
            partial(write_comparison_report, content=content),
            network="",
            network_sha256=None,
            inputs=inputs,
            fingerprint=fingerprint("compare", VERSION, named, settings.fingerprinted("compare"), None),
            notes=[f"{one.name}: {note}" for one in together.products for note in one.about["notes"]],
        )


def _content(together: Together, series: Sequence[Series], settings: RunSettings) -> dict[str, Any]:
    """What ``comparison.json`` holds."""
    variable, grid = VARIABLES[settings.variable], together.grid
    reference = settings.reference_period.years
    covered = together.covered
    names = [one.name for one in together.products]
    return {
        "schema": 1,
        "title": f"{', '.join(names)} compared",
        "variable": settings.variable,
        "units": variable.units,
        "quantity": variable.held(reference, together.time.frequency.adjective),
        "decimals": variable.decimals,
        "reference_period": f"{reference[0]}-{reference[1]}",
        "frequency": together.time.frequency.name,
        "grid": grid.describe(),
        "area": area_in_words(grid, settings.variable),
        "mean": mean_in_words(grid, settings.variable),
        "products": {one.name: _about(one, of.covered) for one, of in zip(together.products, series, strict=True)},
        "common": {
            "period": together.time.span(),
            "steps": len(together.time),
            "step": together.time.word,
            "covered": round(float(covered.mean()), 4),
            "covered_least": round(float(covered.min()), 4),
        },
        "interval": f"{100 * LEVEL:.0f} %",
        "seed": settings.seed,
        **numbers(together, series, settings),
        "ranked_years": variable.ranked_years,
        "notes": _notes(together, settings),
        "rules": [
            f"Means are {'(NH + SH) / 2 of area-weighted hemispheric means' if grid.is_global else 'area-weighted'}; a "
            f"year counts with all its {together.time.plural}.",
            f"Common coverage: cells and {together.time.plural} in which every product has a value. Own coverage: all "
            "cells of a product.",
            f"Trends are least-squares lines through annual means of at least {FEWEST_YEARS} years; intervals take the "
            "lag-one autocorrelation of the residuals into account (Santer et al. 2008).",
            "Probabilities of ranks are shares of the members or realisations; without any they come from "
            f"{DRAWS} draws with the stated standard deviation, years independent.",
            f"On maps a cell's year counts with {100 * OF_YEAR:.0f} % of its months in common, a period with "
            f"{100 * OF_PERIOD:.0f} % of its years.",
        ],
    }


def _about(product: OnGrid, shares: FloatArray) -> dict[str, Any]:
    about, spread = product.about, None
    if about["members"] > 1:
        spread = f"{about['members']} {about['kind_of_members']}"
    elif product.sd is not None:
        spread = "stated for the global mean"
    return {
        **{key: about[key] for key in ("data_set", "version", "title", "variable_in_file", "notes")},
        "files": [{"name": Path(path).name, "sha256": digest} for path, digest in about["files"]],
        "period": product.time.span(),
        "steps": len(product.time),
        "covered": round(float(shares.mean()), 4),
        "spread": spread,
    }


def _notes(together: Together, settings: RunSettings) -> list[str]:
    """What a reader must know: periods that were cut or left out, products without spread."""
    notes, years = list[str](), together.years
    for period in settings.trend_periods:
        asked, used = "{}-{}".format(*period.years), cut(period, years)
        if used is None:
            inside = int(((years >= period.years[0]) & (years <= period.years[1])).sum())
            notes.append(
                f"{asked} is left out: {inside} of its years are common to all products, {FEWEST_YEARS} are needed"
            )
        elif used != period.years:
            notes.append(f"{asked} is cut to {used[0]}-{used[1]}, the years that all products have")
    without = [one for one in together.products if one.about["members"] < 2 and one.sd is None]
    if without:
        named = ", ".join(one.name for one in without)
        notes.append(f"no spread of the mean: {named} (neither members nor realisations, and none is stated)")
    unstated = [one.name for one in together.products if one.about["members"] > 1 and not one.about["persistent"]]
    if unstated:
        notes.append(
            f"{', '.join(unstated)}: whether errors of its realisations persist from {together.time.word} to "
            f"{together.time.word} is not stated, so the spread of annual means, ranks and trends may be too small"
        )
    ours = [one.name for one in without if one.about["cell_sd"]]
    if ours:
        notes.append(
            f"{', '.join(ours)}: standard deviations of cells give none of a mean, since errors are correlated; repeat "
            "the reconstruction with realisations=20"
        )
    return notes


def _periods(together: Together, settings: RunSettings) -> list[tuple[int, int]]:
    return list(dict.fromkeys(filter(None, (cut(period, together.years) for period in settings.trend_periods))))


def _maps(together: Together, settings: RunSettings, reporter: Reporter) -> Maps | None:
    """Maps of all periods that are long enough; None without any."""
    periods = _periods(together, settings)
    if not periods:
        return None
    mean, trend = (np.empty((len(together.products), len(periods), *together.grid.shape), np.float32) for _ in range(2))
    reporter.stage(f"Maps of {', '.join('{}-{}'.format(*one) for one in periods)}")
    for number in range(len(together.products)):
        fields = together.annual_fields(number)
        for at, period in enumerate(periods):
            mean[number, at], trend[number, at] = period_maps(together.years, fields, period)
        reporter.step(number + 1, len(together.products))
    return Maps(periods, mean, trend)


def _series_of(
    together: Together, series: Sequence[Series], shares: Sequence[FloatArray], content: Mapping[str, Any]
) -> SeriesOfProducts:
    """Monthly and annual series of all products on common time axes."""
    index = np.unique(np.concatenate([one.time.index for one in together.products]))
    time = Steps(index, together.time.frequency)
    units, mean, adjective = content["units"], content["mean"], time.frequency.adjective

    def on_axis(axis: IntArray, rows: Sequence[tuple[IntArray, FloatArray]]) -> FloatArray:
        found = np.full((len(rows), len(axis)), np.nan)
        for at, (own, values) in enumerate(rows):
            found[at, np.searchsorted(axis, own)] = values
        return found

    products = list(zip(together.products, series, strict=True))
    values: dict[str, tuple[str, str, FloatArray]] = {}
    titles = [(together.grid.whole.name, mean), *((one.name, one.title) for one in together.indices)]
    for number, (name, title) in enumerate(titles):
        stem = "area_mean" if number == 0 else name
        own = on_axis(index, [(one.time.index, of.own[number]) for one, of in products])
        common = on_axis(index, [(together.time.index, of.common[number]) for _, of in products])
        values[stem] = (f"{adjective} {title}, own coverage", units, own)
        values[f"{stem}_common"] = (f"{adjective} {title}, common coverage", units, common)
    covered = [(one.time.index, share) for one, share in zip(together.products, shares, strict=True)]
    values["coverage"] = ("share of the area with values", "1", on_axis(index, covered))
    annual: dict[str, tuple[str, str, FloatArray]] = {}
    years = np.unique(np.concatenate([rows["years"] for rows in content["annual_means"][OWN].values()])).astype(
        np.int64
    )
    for coverage, suffix in ((OWN, ""), (COMMON, "_common")):
        rows = [content["annual_means"][coverage][one.name] for one in together.products]
        for key, ending, what in (("values", "", ""), ("sd", "_stddev", ", standard deviation over members")):
            found = [(np.array(row["years"], np.int64), np.array(row[key] or np.nan, float)) for row in rows]
            name = f"annual_mean{suffix}{ending}"
            annual[name] = (f"annual {mean}, {coverage} coverage{what}", units, on_axis(years, found))
    return SeriesOfProducts(time, years, values, annual)


def _attributes(content: Mapping[str, Any], run: RunInfo) -> dict[str, str]:
    return {
        "title": str(content["title"]),
        "reference_period": str(content["reference_period"]),
        "comment": " ".join(content["rules"]),
        "history": f"{run.started:%Y-%m-%dT%H:%M:%SZ} climrecon compare, version {__version__}",
        "climrecon_run": run.id,
        "climrecon_products": json.dumps(
            {
                name: {key: one[key] for key in ("data_set", "version", "files")}
                for name, one in content["products"].items()
            }
        ),
    }


def _figures(
    results: RunFolder, together: Together, content: Mapping[str, Any], shares: Sequence[FloatArray], maps: Maps | None
) -> None:
    from climrecon.plots.comparison import draw_differences, draw_ranks, draw_series, draw_trends

    def row(coverage: str, name: str) -> tuple[IntArray, FloatArray, FloatArray | None]:
        one = content["annual_means"][coverage][name]
        values, sd = (None if one[key] is None else np.array(one[key], float) for key in ("values", "sd"))
        assert values is not None
        return np.array(one["years"]), values, sd

    names = [one.name for one in together.products]
    covered = {}
    for product, share in zip(together.products, shares, strict=True):
        years, values = annual_means(share, product.time)
        covered[product.name] = (years, 100.0 * values)
    drawn = {
        "series.png": draw_series(
            {name: row(OWN, name) for name in names}, {name: row(COMMON, name)[:2] for name in names}, covered,
            content["quantity"], content["mean"],
        ),
        "trends.png": draw_trends(content["trends"], names, content["units"], content["mean"]),
        "ranks.png": draw_ranks(content["ranks"], content["ranked_years"]),
    }  # fmt: skip
    for name, picture in drawn.items():
        if picture is not None:
            results.add_figure(name, picture)
    for at, period in enumerate(maps.periods if maps else ()):
        assert maps is not None
        picture = draw_differences(
            together.grid, names, maps.mean[:, at], maps.trend[:, at], period, content["variable"]
        )
        results.add_figure("differences_{}-{}.png".format(*period), picture)


def _summary(content: Mapping[str, Any]) -> list[str]:
    common, digits, units = content["common"], content["decimals"] + 1, content["units"]
    lines = [
        f"{content['title']}: {common['steps']} {common['step']}s in common ({common['period']}), "
        f"{100 * common['covered']:.0f} % of {content['area']} in common; base {content['reference_period']}."
    ]
    for entry in content["trends"]:
        rows = {name: row for name, row in entry["products"].items() if row["period"]}
        if entry["coverage"] != COMMON or not rows:
            continue
        lines.append(
            f"  trend of the annual {content['mean']}, {next(iter(rows.values()))['period']}, common coverage:"
        )
        for name, row in rows.items():
            reach = (
                "no interval"
                if row["interval"] is None
                else "{:+.{d}f} to {:+.{d}f}".format(*row["interval"], d=digits)
            )
            lines.append(f"    {name:<16} {row['slope']:+.{digits}f} {units} per decade ({reach})")
    return lines
