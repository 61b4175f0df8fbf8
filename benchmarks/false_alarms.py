"""How often the paired test calls one of two equal methods better: simulated records of 150 to 5 years.

    python benchmarks/false_alarms.py [--records 600]

Squared errors of a year are log-normal: a part that both methods share, and one of each method's own, which correlates
from year to year by 0, 0.3 or 0.5. The level of the test is 10 %.
"""

from __future__ import annotations

import argparse

import numpy as np

from climrecon.scores import paired

#: Standard deviations of the logarithms of the shared and of the own part.
SHARED, OWN = 0.4, 0.2


def rate(years: int, records: int, persistence: float, seed: int = 0) -> float:
    """Share of records in which equal methods are called different."""
    rng, alarms = np.random.default_rng(seed), 0
    for _ in range(records):
        white = rng.normal(size=(3, years))
        parts = white.copy()
        for year in range(1, years):
            parts[:, year] = persistence * parts[:, year - 1] + np.sqrt(1 - persistence**2) * white[:, year]
        first, second = np.exp(SHARED * parts[0] + OWN * parts[1:])
        alarms += paired.difference(first, second, np.ones(years), [years])["first_is"] != paired.SIMILAR
    return alarms / records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=600)
    options = parser.parse_args()
    for persistence in (0.0, 0.3, 0.5):
        rates = {years: round(rate(years, options.records, persistence), 2) for years in (150, 40, 10, 5)}
        print(f"correlation {persistence}: {rates}", flush=True)


if __name__ == "__main__":
    main()
