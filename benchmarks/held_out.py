"""Write the shipped network on covariances that have not seen the test years, to be scored with benchmarks/skill.py.

    python benchmarks/held_out.py --data SHARED_DATA --out FOLDER [--network punet5] [--json]

FOLDER/NAME-heldout has the weights and the calibration of the network NAME and covariances of the months of 1930-2002
without the test years and two months on either side. ``benchmarks/train_shipped.py`` writes both networks when it
trains; this script makes the second one from the first within minutes.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import torch
from splits import held_out, near
from train_shipped import months_of, prior_of

from climrecon.methods.store import load_network, save_network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--network", default="punet5")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    started = time.monotonic()
    loaded = load_network(options.network)
    network = loaded.reconstructor.network  # type: ignore[attr-defined]
    _, filled, index = months_of(options.data)
    architecture = loaded.card.architecture
    learned = {
        name: prior_of(filled[rows], index[rows], architecture["rank"], architecture["trailing"])
        for name, rows in (("all months", np.ones(len(index), bool)), ("held out", ~near(held_out(index // 12))))
    }
    # The covariances of all months are learned anew too: a difference shows that data or code are not those of then.
    months = torch.arange(1, 13)
    shipped_sd = network.prior.prior_sd(months)
    difference = float((learned["all months"].prior_sd(months) - shipped_sd).abs().max())
    weights = network.state_dict()
    prior = {f"prior.{key}": value for key, value in learned["held out"].state_dict().items()}
    network.load_state_dict({**weights, **prior})
    name = f"{loaded.card.name}-heldout"
    training = {**loaded.card.training, "covariances": "all but the test years and two months beside them"}
    update = {"name": name, "training": training, "range_sha256": None}
    written = save_network(network, loaded.card.model_copy(update=update), options.out / name)
    print(
        json.dumps(
            {
                "benchmark": "held_out",
                "written": str(written),
                "largest_difference_of_prior_sd_of_all_months_K": round(difference, 5),
                "seconds": round(time.monotonic() - started),
                "machine": f"{platform.machine()}, torch {torch.__version__}",
            }
        )
    )


if __name__ == "__main__":
    main()
