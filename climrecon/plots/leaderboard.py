"""The figure of a leaderboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from climrecon.plots.evaluation import COLOURS
from climrecon.plots.picture import OURS, Picture, new_figure, tidy
from climrecon.scores.paired import INTERVAL

_MARKS = "osD^vPX"
#: Rows that are drawn, best first.
MOST = 30


def draw_leaderboard(rows: Sequence[Mapping[str, Any]], cases: Sequence[str], units: str) -> Picture:
    """RMSE of each submission over all cases and in each, and its difference to the reference with its interval.

    Parameters
    ----------
    rows:
        Best first, with ``paired`` differences; the reference itself has none.
    cases:
        Their names.
    """
    shown = rows[:MOST]
    names = [_name_of(row) for row in shown]
    reference = next((_name_of(row) for row in rows if not row["paired"]), "")
    has_differences = any(row["paired"] for row in shown)
    figure = new_figure(10.5, 2.2 + 0.4 * len(shown))
    panels = figure.subplots(1, 1 + has_differences, sharey=True, squeeze=False)[0]
    places = range(0, -len(shown), -1)
    left = panels[0]
    for number, case in enumerate(cases):
        left.plot([row["cases"][case]["rmse"] for row in shown], places, _MARKS[number % len(_MARKS)], markersize=6,
                  color=COLOURS[(number + 1) % len(COLOURS)], label=case)  # fmt: skip
    left.plot([row["overall"]["rmse"] for row in shown], places, "|", markersize=18, markeredgewidth=3, color=OURS,
              label="all cases")  # fmt: skip
    left.set_xlabel(f"RMSE of the missing cells, {units}", fontsize=11)
    left.set_xlim(0.0, 1.05 * max(row["cases"][case]["rmse"] for row in shown for case in cases))
    left.set_yticks(list(places), names)
    left.set_ylim(-len(shown) + 0.4, 0.6)
    panel = " (a)" if has_differences else ""
    caption = f"RMSE of the cells that were missing{panel}, {units}: over all cases, and in each."
    if has_differences:
        right = panels[1]
        for place, row in zip(places, shown, strict=True):
            one = row["paired"].get("rmse") if row["paired"] else None
            if one is None:
                continue
            if one["interval"] is not None:
                right.plot(one["interval"], [place, place], color=OURS, linewidth=2.5)
            right.plot(one["difference"], place, "o", color=OURS, markersize=6)
        right.axvline(0.0, color="0.4", linewidth=0.8)
        right.set_xlabel(f"RMSE less that of {reference}, {units}", fontsize=11)
        caption += f" Difference to {reference} (b), with the {INTERVAL} over years."
    figure.legend(*left.get_legend_handles_labels(), frameon=False, fontsize=10, loc="outside upper center", ncols=5)
    for axes in panels:
        tidy(axes)
        axes.tick_params(labelsize=10)
    left_out = len(rows) - len(shown)
    return Picture(figure, caption + (f" {left_out} more are in the table." if left_out else ""))


def _name_of(row: Mapping[str, Any]) -> str:
    return " ".join(filter(None, (str(row["method"])[:40], str(row["method_version"])[:20])))
