r"""The tables of networks for other variables.

Their JSON is the ``scores.json`` of evaluations by the product, of ERSST and nClimDiv::

    climrecon evaluate --variable tos --truth-file ERSST.nc --period 1992-2002 --network punet-tos \
        --compare-with kriging,pca,oi --masks ship-tracks    # tos-ship-tracks.json; hadsst-like and CRUTEM4 likewise
    python benchmarks/stations.py NCLIMDIV.nc stations.nc
    climrecon evaluate --variable pr --truth-file NCLIMDIV.nc --period 1901-1940 --network punet-pr \
        --compare-with kriging,idw,pca,oi --masks stations.nc    # pr-stations.json
"""

from __future__ import annotations

from typing import Any

from markdown_table import between, table


def number(score: float | None) -> str:
    """A score with three decimals; "" where it is not defined."""
    return "" if score is None else f"{score:.3f}"


def evaluated(*measured: dict[str, Any]) -> str:
    """A table for each evaluation; ratios are to the method that the others are compared with."""
    parts = []
    for one in measured:
        reference, units = one["reference"], one["units"]
        usual = one["scores"][reference]["cells"]
        skewed = "total_ratio" in usual
        head = [
            "method", f"RMSE, {units}", f"RMSE / {reference}'s", f"less {reference}'s, {units}", f"CRPS, {units}",
            "90 % covers", *(["total / truth's", "rank correlation"] if skewed else []),
        ]  # fmt: skip
        rows = []
        for method, row in one["scores"].items():
            cells = row["cells"]
            rows.append(
                [
                    f"**{method}**" if one["methods"][method]["sha256"] else method,
                    f"{cells['rmse']:.3f}",
                    f"{cells['rmse'] / usual['rmse']:.2f}",
                    between(row["paired"]["rmse"]["interval"]) if row["paired"] else "",
                    f"{cells['crps']:.3f}" if "crps" in cells else "",
                    f"{cells['covers_90']:.2f}" if "covers_90" in cells else "",
                    *([f"{cells['total_ratio']:.3f}", number(cells["rank_r"])] if skewed else []),
                ]
            )
        truth = one["truth"][0]
        share = f"{100 * truth['observed_share']:.0f} % of the domain observed"
        title = (
            f"Gaps of {', '.join(one['gaps']['files'])}. Truth {truth['name']}, {truth['months']}, "
            f"n = {truth['n_months']} months; {share}; errors added: {one['errors_added']}; seed {one['seed']}."
        )
        parts.append(f"**{title}**\n\n{table(head, rows)}")
    return "\n\n".join(parts)
