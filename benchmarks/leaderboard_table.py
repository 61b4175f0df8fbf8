r"""The leaderboards of docs/how-to/benchmark.md.

    climrecon benchmark export set && climrecon benchmark run METHOD… --benchmark set --output made
    climrecon benchmark score made/* --benchmark set --leaderboard board.html
    python benchmarks/leaderboard_table.py board.json real.json > docs/results/leaderboard.json

docs/how-to/benchmark.md has the calls of the real sets.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from evaluation_table import number
from markdown_table import between, table

from climrecon.benchmark_set.leaderboard import compared

#: Parts of a row that are for further comparisons alone.
_LONG = ("years", "probes", "sha256")


def leaderboards(boards: list[dict[str, Any]]) -> str:
    """For each set its cases and the rows of its board, best RMSE first."""
    parts = []
    for board in boards:
        card = board["card"]
        cases = [
            [one["name"], one["months"], one["n_months"], f"{100 * one['observed_share']:.0f} %", f"{one['noise']:g}",
             one["gaps"]]
            for one in card["cases"]
        ]  # fmt: skip
        seed = "" if card["truth"]["seed"] is None else f"; seed {card['truth']['seed']}"
        rows = [
            [
                f"{row['method']} {row['method_version']}",
                number(row["overall"]["rmse"]),
                between(row["paired"]["rmse"]["interval"]) if row["paired"] else "",
                number(row["overall"]["skill"]),
                number(row["overall"]["crps"]),
                number(row["overall"]["covers_90"]),
                f"{row['overall']['annual_bias']:+.3f}",
                number(row["overall"]["annual_r_detrended"]),
                number(row["overall"]["annual_trend_ratio"]),
                number(row["overall"]["small_scales"]),
                f"{row['overall']['event']['estimate']:+.2f}",
                f"{3600 * row['cpu_hours']:.1f}",
                *(number(row["cases"][one["name"]]["rmse"]) for one in card["cases"]),
            ]
            for row in board["rows"]
        ]
        event = board["rows"][0]["overall"]["event"]
        head = [
            "method", "RMSE, K", "less kriging's, K", "skill", "CRPS, K", "90 % covers", "annual bias, K",
            "r, detrended", "trend ratio", "small scales", "event, K", "CPU s",
            *(f"RMSE, {one['name']}" for one in card["cases"]),
        ]  # fmt: skip
        parts.append(
            f"**{card['name']}**, set `{board['set']}`. Truth: {card['truth']['description']}{seed}; "
            f"n = {sum(one['n_months'] for one in card['cases'])} months. Event: {event['month']} of {event['case']}, "
            f"{event['truth']:+.2f} K.\n\n"
            + table(["case", "months", "n", "observed", "errors, K", "gaps"], cases)
            + "\n\n"
            + table(head, rows)
        )
    return "\n\n".join(parts)


def main() -> None:
    """Print the boards of the files that are named, without what tables do not show."""
    boards = [board for path in sys.argv[1:] for board in json.loads(Path(path).read_text(encoding="utf-8"))["boards"]]
    for board in boards:
        board["rows"] = [{k: v for k, v in row.items() if k not in _LONG} for row in compared(board["rows"])]
    print(json.dumps(boards))


if __name__ == "__main__":
    main()
