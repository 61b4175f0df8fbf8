"""Train the variant for the published networks' role: their architecture, deterministic, on real months.

    python benchmarks/train_published.py --data SHARED_DATA --out FOLDER [--iterations 20000] [--name kadow2020]

The recipe ``kadow2020`` (72 x 72, three equal channels, no errors on observed cells, no VGG weights), on the GISTEMP
months that ``benchmarks/skill.py`` does not hold out; the split is that of ``benchmarks/time_to_skill.py``. Score it with
``benchmarks/skill.py --networks FOLDER/kadow2020 --json``; ``--scores FILE`` then puts the figures into its card.
Killed, it goes on from its last checkpoint in FOLDER/training. Everything is seeded.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from skill import scores_for_card
from time_to_skill import material

from climrecon.fields import Months
from climrecon.grid import FIVE_DEGREES as GRID
from climrecon.methods.card import describe
from climrecon.methods.store import as_network, load_network, network_of, save_network
from climrecon.training.recipes import recipe
from climrecon.training.run import train


def add_scores(folder: Path, name: str, measured: Path) -> None:
    """Put what skill.py measured of the network into its card."""
    loaded = load_network(str(folder / name))
    scores = scores_for_card(json.loads(measured.read_text()), name, name)
    answers = [value for case, value in scores["response"][name].items() if "uniform" in case]
    shrinks = (
        f"It answers 1 K on all observed cells with {min(answers):.2f}-{max(answers):.2f} K, as networks trained on "
        "anomalies do: changes and trends come out too small. It is for comparison with the published networks; "
        "punet6 is better in every figure."
    )
    learned = (
        "It learned from complete months of GISTEMP 1960-2002 without the test years, so it is not independent "
        "of GISTEMP."
    )
    caveats = [text for text in loaded.card.caveats if text[:12] not in (shrinks[:12], learned[:12])]
    card = loaded.card.model_copy(update={"scores": scores, "caveats": [*caveats, learned, shrinks]})
    save_network(network_of(loaded), card, folder / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", default="kadow2020")
    parser.add_argument("--iterations", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scores", type=Path, help="put these scores into the card of the network already written")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the output is JSON always")
    options = parser.parse_args()
    if options.scores:
        add_scores(options.out, options.name, options.scores)
        return
    torch.set_num_threads(options.threads)
    fields, validation, masks, _ = material(options.data)
    made = recipe("kadow2020", check_every=500, validation_years=3)
    trained = train(
        made,
        fields,
        validation,
        masks,
        None,
        folder=options.out / "training",
        seed=options.seed,
        device="cpu",
        iterations=options.iterations,
        report=lambda progress: print(progress, file=sys.stderr, flush=True),
    )
    about = {
        **trained.card,
        "data": "GISTEMP v4, 1200 km, 5 degrees, 1960-2002, completed; cells GISTEMP lacks are neither seen nor scored",
        "masks": "CRUTEM4.3 land coverage (not that within two months of 1877-09 and 1893-08), generated sea coverage",
        "months_of_training": Months(fields.index).labels(),
    }
    network = as_network(trained.network)
    print(
        json.dumps(
            {
                "written": str(
                    save_network(network, describe(options.name, network, GRID, about), options.out / options.name)
                )
            }
        )
    )


if __name__ == "__main__":
    main()
