"""Write beside a network what its training months reached: cell by cell and calendar month, lowest, highest, sd.

    python benchmarks/training_range.py --data SHARED_DATA --network FOLDER

From GISTEMP v4 (1,200 km), 5 degrees, of the years 1930-2002: the months that the shipped network's covariances
were learned from, gaps and all. A cell and calendar month with fewer than 20 values has no range. Half precision:
0.2 MB. The network's card is given the hash of the file; run it again when the network is trained anew.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import netCDF4
import numpy as np
import torch

from climrecon.files import sha256_of, write_text
from climrecon.methods.card import Card
from climrecon.methods.checkpoint import save_weights
from climrecon.methods.store import CARD, RANGE

FIRST, FEWEST = 1930, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--network", type=Path, required=True)
    options = parser.parse_args()
    name = "observations/gistemp/gistemp1200_v4_5x5_base6190_188001-200212.nc"
    with netCDF4.Dataset(options.data / name) as file:
        variable = next(v for v in file.variables.values() if v.ndim == 3)
        values = np.ma.filled(variable[:].astype(np.float64), np.nan)
    index = np.arange(len(values)) + 1880 * 12
    values, index = values[index >= FIRST * 12], index[index >= FIRST * 12]
    found: dict[str, list[np.ndarray]] = {"lowest": [], "highest": [], "sd": []}
    for month in range(12):
        own = values[index % 12 == month]
        known = np.isfinite(own)
        enough = known.sum(axis=0) >= FEWEST
        count = np.maximum(known.sum(axis=0), 2)
        mean = np.where(known, own, 0.0).sum(axis=0) / count
        squares = np.where(known, (own - mean) ** 2, 0.0).sum(axis=0)
        for key, field in (
            ("lowest", np.where(known, own, np.inf).min(axis=0)),
            ("highest", np.where(known, own, -np.inf).max(axis=0)),
            ("sd", np.sqrt(squares / (count - 1))),
        ):
            found[key].append(np.where(enough, field, np.nan))
    tensors = {key: torch.as_tensor(np.stack(parts)).half() for key, parts in found.items()}
    save_weights(tensors, options.network / RANGE)
    card = Card.model_validate_json((options.network / CARD).read_text(encoding="utf-8"))
    card = card.model_copy(update={"range_sha256": sha256_of(options.network / RANGE)})
    write_text(options.network / CARD, card.model_dump_json(indent=1) + "\n")
    without = 100 * np.isnan(np.stack(found["sd"])).mean()
    print(f"{RANGE}: {(options.network / RANGE).stat().st_size / 1e3:.0f} kB; {without:.1f} % without a range")


if __name__ == "__main__":
    main()
