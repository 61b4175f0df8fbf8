r"""Render the tables of docs/results.md and docs/how-to/benchmark.md and a sentence of README.md from docs/results.

    python benchmarks/tables.py

Each table stands between two comments, ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``; a page must not have those of
a table whose JSON is missing. A test fails when a table is stale. docs/results/ablation.json is a list of rows with the
keys ``part``, ``split``, ``case`` and the scores. FOLDER/punet6-heldout is the network that a training scores (its folder
``network`` in the cache; ``refitted`` is the one that ships). The other JSON comes from::

    python benchmarks/skill.py --data DATA --networks FOLDER/punet6-heldout,kadow2020 --published --json \
        > docs/results/skill.json
    python benchmarks/skill.py --data DATA --split a --networks … --json > docs/results/skill-a.json    # and b, d
    python benchmarks/reconstruct.py --json > docs/results/reconstruct.json    # on a quiet machine
    python benchmarks/withheld.py --data DATA --json > docs/results/withheld.json
    python benchmarks/events.py --data DATA --networks FOLDER/punet6-heldout --parts bcd --json \
        > docs/results/events.json
    python benchmarks/radar.py --data DATA --json docs/results/radar.json

and, of other variables, from evaluations by the product (benchmarks/evaluation_table.py), and of the benchmark set
(benchmarks/leaderboard_table.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evaluation_table import evaluated
from leaderboard_table import leaderboards
from markdown_table import between, share, table
from radar_table import radar

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE, RESULTS = DOCS / "results.md", DOCS / "results"

#: Case of the skill benchmark -> its observations, in the order of the page.
CASES = {
    "clean": "Masks of HadCRUT4's 1877-09 and 1893-08 (means over both), no errors, 0.1 K stated.",
    "noisy": "The same masks, independent errors of 0.5 K, as stated; seeds 0-2.",
    "sparse": "Twelve masks of about 20 % coverage; errors of 0.4 K independent, 0.25 K regional (1,500 km, persisting) "
    "and 0.06 K slow; 0.47 K stated as independent; seeds 0-2.",
    "sparse, stated": "The observations of the case sparse; 0.4 K stated as independent, and 20 members with other draws "
    "of the regional and slow errors.",
    "cold": "The noisy months minus 1.3 K times the forced pattern.",
}
NAMES = {
    "published 20cr-1000000": "published, 20CR (2020)",
    "published 20crtasgn72": "published, later",
    "punet6-heldout": "**punet6-heldout**",
    "punet6": "**punet6**",
    "punet": "**punet**",
    "punet5 of 0.1": "punet5 of version 0.1",
    "kriging 2000 km": "kriging, 2,000 km, nugget 0.1",
    "kriging fitted": "kriging, fitted",
}
#: Split of the skill benchmark -> its months, in the order of the page.
SPLITS = {
    "a": "Warm: learned up to 1985, scored on 1988-2002.",
    "b": "Cold: learned from 1975 on, scored on 1930-1957, known cells alone.",
    "c": "Interleaved: the twenty years of the tables above.",
    "d": "Other models: learned as in (c), scored on CMCC-CESM of 2066-2075 and IPSL-CM6A-LR of 2040-2049.",
}
#: Cases in which splits are compared: those of one mask and independent errors.
COMPARED = ("clean", "noisy", "cold")
Row = dict[str, Any]


def name(method: str) -> str:
    return NAMES.get(method, method)


def skill(measured: Row) -> str:
    """A table for each case."""
    head = [
        "method", "RMSE, K", "less kriging's, K", "CRPS / kriging's", "90 % covers", "annual mean: detrended r",
        "bias, K", "trend ratio", "annual 90 % covers",
    ]  # fmt: skip
    parts = []
    for case in CASES:
        rows = []
        for method, row in measured["cases"][case].items():
            cells = [name(method), f"{row['rmse']:.3f}"]
            cells.append("" if method == "kriging" else between(row["rmse_minus_kriging_90"]))
            cells.append(f"{row['crps_over_kriging']:.2f}" if "crps_over_kriging" in row else "")
            cells.append(
                share(row["covers_90"], row["covers_90_lowest"], row["covers_90_highest"]) if "covers_90" in row else ""
            )
            cells += [
                f"{row['annual_mean_r_detrended']:.3f}",
                f"{row['annual_mean_bias']:+.3f}",
                f"{row['annual_mean_trend_ratio']:.3f}",
            ]
            annual = row.get("annual_mean_covers_90")
            cells.append("" if annual is None else share(annual, *row["annual_mean_covers_90_between"]))
            rows.append(cells)
        parts.append(f"**Case {case}.** {CASES[case]}\n\n{table(head, rows)}")
    return "\n\n".join(parts)


def splits(*measured: Row) -> str:
    """What the splits are for, in words, and a table for each; of several worlds the means first."""
    head = [
        "case", "method", "RMSE, K", "RMSE / kriging's", "RMSE / learned OI's", "less learned OI's, K",
        "CRPS / kriging's", "CRPS / learned OI's", "annual mean: bias, K", "RMSE, K", "trend ratio",
    ]  # fmt: skip
    parts = [
        "A method that is learned from some decades may do worse in others. Each table scores the methods in months "
        "warmer or colder than those learned from, or in the world of a climate model. A ratio below 1 is better than "
        "the reference. `learned OI + model patterns` also has the forced responses of climate models. The right trend "
        "ratio is 1."
    ]
    for one in measured:
        labelled = [("", one["cases"]), *((f", {world}", cases) for world, cases in one.get("worlds", {}).items())]
        rows = [
            [f"{case}{label}", name(method), *compared(row, itself=method == "learned OI")]
            for label, cases in labelled
            for case in COMPARED
            for method, row in cases.get(case, {}).items()
        ]
        doubtful = [f"`{network}`" for network, fine in one["held_out_ok"].items() if not fine]
        doubt = f" Not shown to be held out: {', '.join(doubtful)}." if doubtful else ""
        seeds = f" Seeds: {one['seeds']}; n = {one['n_months']} months."
        parts.append(f"**({one['split']})** {SPLITS[one['split']]}{seeds}{doubt}\n\n{table(head, rows)}")
    return "\n\n".join(parts)


def compared(row: Row, itself: bool) -> list[str]:
    """The cells of a method beside its name; ``itself``: of the one that differences are to."""
    ratios = ("rmse_over_kriging", "rmse_over_oi", "crps_over_kriging", "crps_over_oi")
    first, second, third, fourth = (f"{row[key]:.2f}" if key in row else "" for key in ratios)
    less = "" if itself else between(row["rmse_minus_oi_90"])
    trend = row.get("annual_mean_trend_ratio")
    return [
        f"{row['rmse']:.3f}", first, second, less, third, fourth, f"{row['annual_mean_bias']:+.3f}",
        f"{row['annual_mean_rmse']:.3f}", "" if trend is None else f"{trend:.3f}",
    ]  # fmt: skip


def ablation(measured: list[Row]) -> str:
    """RMSE in K, clean / noisy, of each part that is taken away, by split."""
    found = {(row["part"], row["split"], row["case"]): f"{row['rmse']:.3f}" for row in measured}
    parts, present = (list(dict.fromkeys(row[key] for row in measured)) for key in ("part", "split"))
    rows = [
        [part, *(" / ".join(found.get((part, split, case), "-") for case in ("clean", "noisy")) for split in present)]
        for part in parts
    ]
    return table(["taken away", *(f"({split}) clean / noisy, K" for split in present)], rows)


def response(measured: Row) -> str:
    rows = []
    for method, answers in measured["response_to_1K"].items():
        cells = []
        for kind in ("uniform", "pattern"):
            values = [value for label, value in answers.items() if label.endswith(kind)]
            cells.append(f"{min(values):.3f}-{max(values):.3f}")
        rows.append([name(method), *cells])
    return table(["network", "uniform, K", "pattern, K"], rows)


def withheld(measured: Row) -> str:
    months = measured["months"]
    head = [
        "withheld",
        "method",
        *(f"RMSE {month}, K" for month in months),
        "90 % covers",
        *(f"log score {month}" for month in months),
    ]
    rows = []
    for kind in ("cells", "boxes"):
        for method, entry in measured["methods"].items():
            row = entry[kind]
            less = row["less"].get("kriging fitted", {})
            cells = [
                [
                    f"{value:.3f}" + (f" ({between(less[score][at]['interval'])})" if score in less else "")
                    for at, value in enumerate(row[score] or [])
                ]
                for score in ("rmse", "log_score")
            ]
            covers = ", ".join(f"{value:.2f}" for value in row["covers_90"] or [])
            rows.append([kind, name(method), *cells[0], covers, *(cells[1] or [""] * len(months))])
    return table(head, rows)


def nino(measured: Row) -> str:
    rows = [[name(method), f"{row['nino34_1877_09_withheld']:+.2f}"] for method, row in measured["methods"].items()]
    return table(["method", "Nino 3.4 in 1877-09, K"], rows)


def geography(measured: Row) -> str:
    entry = measured["b_geography"]
    turns = list(next(iter(entry.values())))
    rows = []
    for method, row in entry.items():
        values = (row[turn] for turn in turns)
        rows.append([name(method), *(f"{value:.3f}" if isinstance(value, float) else value for value in values)])
    return table(["method", *(f"{turn}, K" for turn in turns)], rows)


def events(measured: Row) -> str:
    head = [
        "withheld", "method", "inside", "inside if exact", "RMSE, K", "stated sd, K", "nearer than kriging",
        "all months: 90 % covers", "RMSE, K", "sd, K",
    ]  # fmt: skip
    rows = []
    for box, entry in measured["c_events"].items():
        if not isinstance(entry, dict):
            continue
        for method, row in entry.items():
            if method == "climatology_sd":
                continue
            exact, months = row["inside_90_if_exact"], row["all_months"]
            low, high = exact["between"]
            rows.append(
                [
                    box,
                    name(method),
                    row["inside_90"],
                    f"{exact['mean']:.1f} ({low:.0f}-{high:.0f})",
                    f"{row['rmse']:.2f}",
                    f"{row['sd']:.2f}",
                    "" if method == "kriging" else row["nearer_than_kriging"],
                    f"{months['covers_90']:.2f}",
                    f"{months['rmse']:.2f}",
                    f"{months['sd']:.2f}",
                ]
            )
    return table(head, rows)


def early(measured: Row) -> str:
    rows = []
    for month, boxes in measured["c_early_months"].items():
        for box, entry in boxes.items():
            for method, row in entry.items():
                if method != "observed_mean":
                    rows.append(
                        [
                            month,
                            box,
                            f"{entry['observed_mean']:+.2f}",
                            name(method),
                            f"{row['mean']:+.2f}",
                            row["cells_inside_90"],
                        ]
                    )
    return table(["month", "withheld", "observed mean, K", "method", "mean, K", "cells inside"], rows)


def seams(measured: Row) -> str:
    rows = [
        [
            name(method),
            f"{row['step_at_0E_over_median']:.2f}",
            f"{row['step_at_180E_over_median']:.2f}",
            f"{row['largest_step_over_median']:.2f} ({row['at_longitude']:+.0f} E)",
            "" if method == "truth" else f"{row['poles_rmse']:.2f}",
            f"{row['poles_largest']:.1f}",
            f"{100 * row['poles_share_beyond_5_K']:.2f} %",
        ]
        for method, row in measured["d_seams_and_poles"].items()
    ]
    head = [
        "field",
        "step at 0 E",
        "at 180 E",
        "largest step",
        "RMSE at the poles, K",
        "largest value, K",
        "beyond 5 K",
    ]
    return table(head, rows)


def on(measured: Row) -> str:
    return f"{measured['cores']} cores of {measured['processor']}"


def cost_sentence(measured: Row) -> str:
    return f"{measured['n_months']:,} months take {measured['seconds_median']:.0f} s on {on(measured)}."


def cost(measured: Row) -> str:
    """Seconds and memory of a whole process."""
    low, high = measured["seconds_min_max"]
    rows = [
        [
            "without figures",
            f"{measured['seconds_median']:.1f} ({low:.1f}-{high:.1f})",
            f"{measured['peak_mb_median']}",
        ],
        [
            "with figures and report",
            f"{measured['with_figures_and_report_seconds']:.1f}",
            f"{measured['with_figures_and_report_peak_mb']}",
        ],
        ["observations without errors", f"{measured['without_errors_seconds']:.1f}", ""],
        [
            "kriging, extrapolated from every twelfth month",
            f"{measured['kriging_seconds_extrapolated_from_every_twelfth_month']:.0f}",
            "",
        ],
    ]
    head = (
        f"{measured['n_months']:,} months at 36 × 72 with the spread, whole process, {on(measured)}, "
        f"Python {measured['python']}; medians, the first row's of {measured['runs']} runs, "
        f"the next two of {max(measured['runs'] // 2, 1)}; `import torch` {measured['import_torch_seconds']:.1f} s."
    )
    return f"{head}\n\n{table(['run', 'seconds', 'peak memory, MB'], rows)}"


#: Name of a table -> the benchmarks' JSON and what renders it.
TABLES: dict[str, tuple[tuple[str, ...], Callable[..., str]]] = {
    "skill": (("skill",), skill),
    "splits": (("skill-a", "skill-b", "skill", "skill-d"), splits),
    "ablation": (("ablation",), ablation),
    "response": (("skill",), response),
    "withheld": (("withheld",), withheld),
    "nino": (("withheld",), nino),
    "geography": (("events",), geography),
    "events": (("events",), events),
    "early": (("events",), early),
    "seams": (("events",), seams),
    "cost": (("reconstruct",), cost),
    "radar": (("radar",), radar),
    "tos": (("tos-ship-tracks", "tos-hadsst-like", "tos-crutem"), evaluated),
    "pr": (("pr-stations",), evaluated),
}
#: Page -> its tables.
PAGES: dict[Path, dict[str, tuple[tuple[str, ...], Callable[..., str]]]] = {
    PAGE: TABLES,
    DOCS / "how-to" / "benchmark.md": {"leaderboards": (("leaderboard",), leaderboards)},
    DOCS.parent / "README.md": {"cost": (("reconstruct",), cost_sentence)},
}


def with_tables(text: str, results: Path = RESULTS, tables: dict[str, Any] = TABLES) -> str:
    """The page with its tables renewed.

    Parameters
    ----------
    results:
        Folder of the JSON.
    tables:
        The page's.

    Raises
    ------
    ValueError
        If the page lacks the comments of a table, or has those of one whose JSON is missing.
    """
    for label, (benchmarks, render) in tables.items():
        begin, end = f"<!-- {label}: begin -->", f"<!-- {label}: end -->"
        files = [results / f"{benchmark}.json" for benchmark in benchmarks]
        missing = [file.name for file in files if not file.exists()]
        if missing:
            if begin in text or end in text:
                raise ValueError(f"The page holds {begin} or {end}, but {', '.join(missing)} is missing")
            continue
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"The page must hold {begin} and {end} once")
        measured = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{render(*measured)}\n{end}{rest.split(end)[1]}"
    return text


def main() -> None:
    """Write the pages."""
    for page, tables in PAGES.items():
        page.write_text(with_tables(page.read_text(encoding="utf-8"), tables=tables), encoding="utf-8")


if __name__ == "__main__":
    main()
