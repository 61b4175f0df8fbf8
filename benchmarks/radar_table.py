"""The table of benchmarks/radar.py in docs/results.md."""

from __future__ import annotations

from typing import Any

from markdown_table import between, table

NAMES = {"in time": "interpolation in time", "idw": "IDW", "oi": "OI with the network's covariance"}
#: Parts of the day -> what they serve.
PARTS = ("learned", "validated", "scored")


def radar(measured: dict[str, Any]) -> str:
    """A paragraph and a table for each archive."""
    cell, window = measured["cell_km"], measured["window"] * measured["cell_km"]
    shortest, longest = measured["short_waves_km"]
    head = [
        "method", "RMSE, mm/h", "less interpolation in time's", "less kriging's", "bias, mm/h", "CSI 1", "CSI 5",
        f"FSS 1, {window:g} km", f"FSS 5, {window:g} km", f"power at {shortest:g}-{longest:g} km / truth's",
        "RMSE sector", "disc", "radar",
    ]  # fmt: skip
    parts = []
    for name, one in measured["sets"].items():
        rows = [
            [
                f"**{method}**" if method.startswith("network, k") else NAMES.get(method, method),
                f"{scores['rmse']:.2f}",
                *(between(one["less"][to][method], "+.2f") if method in one["less"][to] else "" for to in one["less"]),
                f"{scores['bias']:+.2f}",
                *(f"{scores[key]:.2f}" for key in ("csi_1", "csi_5", "fss_1", "fss_5", "short_waves")),
                *(f"{value:.2f}" for value in scores["rmse_of"].values()),
            ]
            for method, scores in one["methods"].items()
        ]
        steps = ", ".join(f"{part} on {'-'.join(map(str, sorted(set(one['steps'][part]))))}" for part in PARTS)
        wet = ", ".join(f"{100 * share:.0f} % reach {rain} mm/h" for rain, share in one["rain_above"].items())
        parts.append(
            f"**{name}.** Steps of {one['minutes']} minutes: {steps} of the day. {one['outages']} outages of "
            f"{one['duration']} steps, k = {one['neighbours']}; {one['cells']:,} missing values of {cell:g} km, of which "
            f"{wet}. {one['training']['fields']:,} fields learned from. Seed {measured['seed']}.\n\n{table(head, rows)}"
        )
    return "\n\n".join(parts)
