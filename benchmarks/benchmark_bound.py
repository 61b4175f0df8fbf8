"""How small errors on the embedded benchmark set can be: optimal interpolation that knows the generator.

    python benchmarks/benchmark_bound.py [--climates 60] [--every 30]

Mean and covariance of a month are those of other climates of the same generator, 141 years of its calendar month in each.
RMSE over the cells that were missing, over that of inverse-distance weighting; every thirtieth month of each case. The
bound of ``climrecon.benchmark_set.scoring.SUSPICIOUS`` rests on it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from climrecon.benchmark_set import export_set
from climrecon.benchmark_set.cases import generated_truth
from climrecon.benchmark_set.truth import ScoredSet
from climrecon.fields import Context, Months
from climrecon.grid import FIVE_DEGREES as GRID
from climrecon.methods.simple import InverseDistance

RECORD = Months(np.arange(1850 * 12, 1991 * 12))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--climates", type=int, default=60)
    parser.add_argument("--every", type=int, default=30)
    options = parser.parse_args()
    # Months of one calendar month alone: one covariance serves all.
    chosen = RECORD.month == 6
    worlds = np.stack(
        [generated_truth(1, str(k), RECORD)[chosen].reshape(-1, GRID.area.size) for k in range(options.climates)]
    )
    mean = worlds.mean(axis=0)
    away = (worlds - mean).reshape(-1, GRID.area.size)
    covariance = away.T @ away / ((len(worlds) - 1) * len(mean))
    years = RECORD.year[chosen]
    with tempfile.TemporaryDirectory() as folder:
        export_set(Path(folder) / "set")
        scored = ScoredSet.of(Path(folder) / "set")
        for case in scored.card.cases:
            given = scored.input(case)
            known, area = scored.known(given), GRID.area.ravel()
            rows = np.flatnonzero(given.time.month == 6)[:: max(options.every // 12, 1)]
            near = InverseDistance().reconstruct(
                given.values, given.mask, given.stated, given.time.month, Context(GRID, given.time)
            ).mean  # fmt: skip
            squares = np.zeros(2)
            for row in rows:
                seen = given.mask[row].ravel()
                guess = mean[np.searchsorted(years, given.time.year[row])]
                noise = (case.noise**2 + 1e-4) * np.eye(seen.sum())
                weights = np.linalg.solve(
                    covariance[np.ix_(seen, seen)] + noise, given.values[row].ravel()[seen] - guess[seen]
                )
                best = guess + covariance[:, seen] @ weights
                truth = known.truth[row].ravel()
                squares += [(area * (one - truth) ** 2)[~seen].sum() for one in (best, near[row].ravel())]
            print(f"{case.name}: {np.sqrt(squares[0] / squares[1]):.2f} of inverse distances, n = {len(rows)} months")


if __name__ == "__main__":
    main()
