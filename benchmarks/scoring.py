"""Time to score methods: 2,028 months at 36 x 72 of made-up fields, without and with realisations.

    python benchmarks/scoring.py [--methods 5] [--realisations 0]

Half of the cells are observed. What is timed is what an evaluation does besides reconstructing: sums of each method, of
its realisations, the tables, and the paired differences.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from climrecon.fields import Months
from climrecon.grid import FIVE_DEGREES
from climrecon.scores.details import detailed_scores
from climrecon.scores.ensembles import draw_sums
from climrecon.scores.masked_truth import MaskedTruth, MethodOutput, sums_of
from climrecon.scores.structure import structure_sums
from climrecon.scores.table import score_methods

MONTHS, CHUNK = 2028, 96


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", type=int, default=5)
    parser.add_argument("--realisations", type=int, default=0)
    options = parser.parse_args()
    rng, grid = np.random.default_rng(0), FIVE_DEGREES
    truth = rng.standard_normal((MONTHS, *grid.shape), np.float32)
    axis = Months(np.arange(1850 * 12, 1850 * 12 + MONTHS))
    known = MaskedTruth("made up", truth, rng.random(truth.shape) < 0.5, axis, grid)
    draws = rng.standard_normal((options.realisations, CHUNK, *grid.shape), np.float32)
    began, used = time.perf_counter(), time.process_time()
    sums = {}
    for number in range(options.methods):
        parts = []
        for start in range(0, MONTHS if options.realisations else 0, CHUNK):
            part = slice(start, min(start + CHUNK, MONTHS))
            drawn = draws[:, : part.stop - start]
            parts.append(draw_sums(drawn, truth[part], known.scored[part], grid.area))
            parts[-1] |= structure_sums(drawn[0], known.known[part], grid)
        of_draws = {key: np.concatenate([one[key] for one in parts]) for key in (parts[0] if parts else ())}
        made = MethodOutput(0.5 * truth, np.full(truth.shape, 0.5, np.float32), draws=of_draws)
        sums[f"method {number + 1}"] = [sums_of(known, made)]
    score_methods(sums, "method 1")
    detailed_scores(sums, [structure_sums(truth, known.known, grid)], grid)
    print(
        f"{MONTHS} months, {options.methods} methods, {options.realisations} realisations: "
        f"{time.perf_counter() - began:.1f} s, {time.process_time() - used:.1f} s of processors"
    )


if __name__ == "__main__":
    main()
