r"""Render the tables of docs/results.md, and the cost in README.md, from the benchmarks' JSON in docs/results.

    python benchmarks/tables.py

Each stands between two comments, ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``. A test fails when a table is
stale. The JSON comes from::

    python benchmarks/held_out.py --data DATA --out FOLDER
    python benchmarks/skill.py --data DATA --networks FOLDER/punet5-heldout,kadow2020 --published --json \
        > docs/results/skill.json
    python benchmarks/withheld.py --data DATA --json > docs/results/withheld.json
    python benchmarks/events.py --data DATA --networks FOLDER/punet5-heldout --parts bcd --json \
        > docs/results/events.json
    python benchmarks/reconstruct.py --json > docs/results/reconstruct.json
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"

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
    "punet5-heldout": "**punet5-heldout**",
    "punet5": "**punet5**",
    "kriging 2000 km": "kriging, 2,000 km, nugget 0.1",
    "kriging fitted": "kriging, fitted",
}
Row = dict[str, Any]


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def name(method: str) -> str:
    return NAMES.get(method, method)


def between(interval: list[float], form: str = "+.3f") -> str:
    low, high = interval
    return f"{low:{form}}\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}{high:{form}}"


def share(value: float, low: float, high: float) -> str:
    """A share with the lowest and highest one in brackets; browsers do not break it."""
    return f"{value:.2f}\N{NO-BREAK SPACE}({low:.2f}\N{NON-BREAKING HYPHEN}{high:.2f})"


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


#: Page -> name of a table -> the benchmark and what renders it.
PAGES: dict[Path, dict[str, tuple[str, Callable[[Row], str]]]] = {
    ROOT / "docs" / "results.md": {
        "skill": ("skill", skill),
        "response": ("skill", response),
        "withheld": ("withheld", withheld),
        "nino": ("withheld", nino),
        "geography": ("events", geography),
        "events": ("events", events),
        "early": ("events", early),
        "seams": ("events", seams),
        "cost": ("reconstruct", cost),
    },
    ROOT / "README.md": {"cost": ("reconstruct", cost_sentence)},
}


def with_tables(page: Path) -> str:
    """Text of a page with its tables renewed.

    Raises
    ------
    ValueError
        If the page lacks the comments of a table.
    """
    text = page.read_text(encoding="utf-8")
    for label, (benchmark, render) in PAGES[page].items():
        begin, end = f"<!-- {label}: begin -->", f"<!-- {label}: end -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"{page.name} must hold {begin} and {end} once")
        measured = json.loads((RESULTS / f"{benchmark}.json").read_text(encoding="utf-8"))
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{render(measured)}\n{end}{rest.split(end)[1]}"
    return text


def main() -> None:
    """Write the pages."""
    for page in PAGES:
        page.write_text(with_tables(page), encoding="utf-8")


if __name__ == "__main__":
    main()
