"""Train the shipped network and write it with its card.

    python benchmarks/train_shipped.py --data SHARED_DATA --out FOLDER [--name punet5]

Two networks are written: NAME-heldout, whose covariances have not seen the test years, to be scored with
benchmarks/skill.py; and NAME, the same weights on covariances of all months to 2002, which is the one that
ships. benchmarks/calibrate.py --write then calibrates the spread of both. `--scores FILE` (what skill.py prints with
--json for NAME-heldout) puts the figures into both cards.

Everything is seeded. The loop is that of recipes: a stopped run goes on from the checkpoint in FOLDER. The shipped punet5
was trained by an earlier version of this script, which drew the samples of each step otherwise; a network trained anew
differs from it as one of another seed does.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import torch
from skill import MARGIN, fields_of, held_out, near, scores_for_card

from climrecon.data.geography import land_fraction
from climrecon.data.masks import MaskSource, smoother
from climrecon.data.noise import NoiseSource
from climrecon.fields import Context, Months
from climrecon.grid import FIVE_DEGREES as GRID
from climrecon.methods.card import describe_unet
from climrecon.methods.priors.covariance import forced_pattern, learn_patterns, unit_vectors
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.store import load_network, save_network
from climrecon.methods.unet.network import UNet
from climrecon.methods.unet.reconstructor import UNetReconstructor
from climrecon.training.banks import STEPS, VALIDATION, MaskErrorBank
from climrecon.training.distributed import Workers
from climrecon.training.engine import Loop
from climrecon.training.fields import TrainingFields
from climrecon.training.folds import RUNS, outside
from climrecon.training.folds import folds_of as folds_of_recipes
from climrecon.training.gaussian import LOSSES, spread_factor
from climrecon.training.recipes import recipe
from climrecon.training.resume import Checkpoints
from climrecon.training.run import optimiser, plan_of
from climrecon.training.samples import draw_samples
from climrecon.training.unet_task import UNetTask
from climrecon.training.validation_set import draw_validation_set

FIRST = 1930
#: Since when the forced pattern is told once more, from complete months: between 1930 and 1945 it was another.
WELL_OBSERVED = 1960
VALIDATION_YEARS = (1969, 1970, 1971, 1979, 1980, 1981, 1989, 1990, 1991)
FOLDS = 4
#: Correlation of the errors of successive months.
PERSISTENCE = 0.5
CPU = Workers(0, 1, torch.device("cpu"))
SCORING_MONTHS = ((1877, 9), (1893, 8))


def months_of(data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, H, W) months FIRST to 2002 with gaps as NaN, the same with completed cells, (N,) months since 0000-01."""
    complete, missing, index = fields_of(data)
    with netCDF4.Dataset(data / "observations/gistemp/gistemp1200_v4_5x5_base6190_188001-200212.nc") as file:
        early = np.ma.filled(file["tas"][(FIRST - 1880) * 12 : (1960 - 1880) * 12].astype(np.float64), np.nan)
    known = np.concatenate([early, np.where(missing, np.nan, complete)])
    filled = np.concatenate([early, complete])
    return known, filled, np.arange(FIRST * 12, index[-1] + 1)


def land_masks(data: Path) -> np.ndarray:
    """Land coverage of CRUTEM4 by month, without the months around those used for scoring."""
    with netCDF4.Dataset(data / "observations/crutem4/CRUTEM.4.3.0.0.anomalies.nc") as file:
        masks = ~np.ma.getmaskarray(file["temperature_anomaly"][:])
    index = np.arange(len(masks)) + 1850 * 12
    keep = np.ones(len(masks), dtype=bool)
    for year, month in SCORING_MONTHS:
        keep &= np.abs(index - (year * 12 + month - 1)) > MARGIN
    return masks[keep].reshape(keep.sum(), -1)


def prior_of(fields: np.ndarray, index: np.ndarray, rank: int, trailing: int) -> FullPrior:
    well = index >= WELL_OBSERVED * 12
    forced = [forced_pattern(fields[rows], index[rows], GRID) for rows in (slice(None), well)]
    learned = learn_patterns(fields, index % 12 + 1, GRID, rank + trailing, forced=forced, seasons=True)
    parts = (learned.vectors[:, :rank], learned.vectors[:, rank:], learned.residual, learned.scale, learned.seasons)
    return FullPrior(*(torch.as_tensor(part.copy(), dtype=torch.float32) for part in parts))


def cross_fit(
    filled: np.ndarray, index: np.ndarray, training: np.ndarray, rank: int, trailing: int, folds: int, runs: int
) -> tuple[np.ndarray, list[FullPrior]]:
    """(N,) fold of each month, and of each fold the covariances of the training months that are not near it."""
    block = folds_of_recipes(index, folds, runs, index[training])
    keep = [training & outside(index, block, fold) for fold in range(folds)]
    return block, [prior_of(filled[rows], index[rows], rank, trailing) for rows in keep]


def mask_source(data: Path, patches: np.ndarray) -> MaskSource:
    """Land coverage of CRUTEM4 with made-up sea coverage; ``patches`` as :class:`MaskSource` takes them."""
    lat = np.degrees(np.arcsin(np.clip(unit_vectors(GRID)[:, 2], -1, 1)))
    return MaskSource(land_masks(data), (land_fraction(GRID) < 0.5).reshape(-1), patches, lat)


def sources(data: Path) -> tuple[MaskSource, NoiseSource]:
    """What gaps and errors are drawn from."""
    patches = smoother(GRID, 1500.0)
    return mask_source(data, patches), NoiseSource(patches, smoother(GRID, 5000.0))


class HalfErrorBank(MaskErrorBank):
    """Errors as the shipped network was trained with: half of a month's error stays in the next."""

    def drawn(self, noise: NoiseSource, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """An entry of the bank: (P,) errors of a month and (P,) stated errors."""
        return noise.draw(rng)

    def with_neighbours(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """See :meth:`MaskErrorBank.with_neighbours`."""
        number = rng.integers(len(self.errors))
        stated, sign = self.stated[number], rng.choice([-1.0, 1.0])
        errors = [sign * self.errors[number]]
        for _ in STEPS[1:]:
            other = rng.integers(len(self.errors))
            fresh = self.errors[other] * (stated / self.stated[other]) * rng.choice([-1.0, 1.0])
            errors.append(PERSISTENCE * errors[0] + np.sqrt(1.0 - PERSISTENCE**2) * fresh)
        return np.stack(errors), stated


def new_network(prior: FullPrior, width: int, misfit: bool, stride: int = 2) -> UNet:
    parts = (land_fraction(GRID), np.sin(np.radians(GRID.lat)), GRID.area)
    tensors = (torch.as_tensor(part, dtype=torch.float32) for part in parts)
    return UNet(prior, *tensors, width=width, stride=stride, misfit=misfit)  # type: ignore[call-arg]


def persistence_of(network: UNet, fields: TrainingFields, draws: MaskErrorBank, seed: int) -> float:
    """Correlation of the error of the global mean from month to month, over years the network was validated on."""
    values = np.asarray(fields.values, np.float32)
    area, pairs = GRID.area, []
    method = UNetReconstructor("", network, 0.3, 0.0, np.zeros((1, 1)))
    runs = np.split(np.arange(len(values)), np.flatnonzero(np.diff(fields.index) > 1) + 1)
    for run in runs:
        for draw in range(6):
            rng = np.random.default_rng([seed, int(run[0]), draw])
            masks, _, stated = draws.draw(rng)
            mask = np.broadcast_to(masks[0].reshape(GRID.shape), (len(run), *GRID.shape)) & np.isfinite(values[run])
            noise = rng.normal(size=values[run].shape) * stated.reshape(GRID.shape)
            time_axis = Months(fields.index[run])
            found = method.reconstruct(
                np.where(mask, values[run] + noise, np.nan), mask,
                np.broadcast_to(stated.reshape(GRID.shape), mask.shape), time_axis.month, Context(GRID, time_axis),
            )  # fmt: skip
            error = (np.where(np.isfinite(values[run]), found.mean - values[run], 0.0) * area).sum((1, 2))
            pairs.append(np.stack([error[:-1], error[1:]]))
    first, second = np.concatenate(pairs, axis=1)
    return float(np.clip(np.corrcoef(first, second)[0, 1], 0.0, 0.95))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", default="punet5")
    parser.add_argument("--rank", type=int, default=128)
    parser.add_argument("--trailing", type=int, default=472)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4500)
    parser.add_argument("--pool", type=int, default=15000)
    parser.add_argument("--misstated", type=float, default=0.2, help="share of samples whose stated errors are wrong")
    parser.add_argument("--rate", type=float, default=2.4e-3)
    parser.add_argument("--decay", type=float, default=0.3)
    parser.add_argument("--loss", choices=tuple(LOSSES), default="crps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep-pool", type=Path, help="file to keep the drawn samples in, and to take them from")
    parser.add_argument("--scores", type=Path, help="put these scores into the cards of networks already written")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the output is JSON always")
    options = parser.parse_args()
    if options.scores:
        add_scores(options)
        return
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:7.0f} s  {text}", file=sys.stderr, flush=True)

    known, filled, index = months_of(options.data)
    year, month = index // 12, index % 12 + 1
    test = held_out(year)
    validation = np.isin(year, VALIDATION_YEARS) & ~near(test)
    allowed = ~near(test)
    training = allowed & ~near(np.isin(year, VALIDATION_YEARS))
    say(f"{training.sum()} months to train, {validation.sum()} to validate, {test.sum()} kept for the test")
    network = new_network(
        prior_of(filled[training], index[training], options.rank, options.trailing),
        options.width,
        options.misstated > 0,
    )
    if options.keep_pool and options.keep_pool.exists():
        pool, checks, draws = torch.load(options.keep_pool, weights_only=False)
        if (len(pool), draws.misstated) != (options.pool, options.misstated):
            parser.error(
                f"{options.keep_pool} holds {len(pool)} samples, {draws.misstated:.0%} of them misstated, not "
                f"{options.pool} and {options.misstated:.0%}"
            )
    else:
        pool, checks, draws = samples(options, network, known, filled, index, training, validation, say)
        if options.keep_pool:
            torch.save((pool, checks, draws), options.keep_pool)
    say(f"{len(pool)} samples, {sum(p.numel() for p in network.parameters())} weights to fit")
    made = recipe(
        "punet",
        **{name: getattr(options, name) for name in ("rank", "trailing", "width", "pool", "misstated")},
        **{name: getattr(options, name) for name in ("rate", "decay", "loss")},
        iterations=options.steps,
    )
    held = TrainingFields(
        known[validation], month[validation], index[validation], np.zeros(validation.sum(), int), ("GISTEMP",), GRID
    )  # fmt: skip
    cases = draw_validation_set(held, *sources(options.data), len(VALIDATION_YEARS), options.seed + VALIDATION)
    task = UNetTask(made, network, pool, checks, cases, options.seed, CPU)
    identity = {"recipe": made.model_dump_json(), "seed": str(options.seed)}
    loop = Loop(
        task, optimiser(made, task.groups()), plan_of(made), CPU,
        Checkpoints(options.out / f"{options.name}-fit", identity),
        lambda progress: say(str(progress)) if progress.checked else None,
    )  # fmt: skip
    history = loop.run()
    persistence = persistence_of(network, held, draws, options.seed + 3)
    factor = round(spread_factor(network, checks), 3)
    say(f"best step {history.best_step}; errors of the global mean persist with {persistence:.2f} a month")
    say(f"standard deviations times {factor}, so that 90 % intervals hold 90 % of the validation's unseen cells")
    about = {
        "data": f"GISTEMP v4, 1200 km, 5 degrees, {FIRST}-2002; cells GISTEMP lacks are neither seen nor scored",
        "masks": "CRUTEM4.3 land coverage (not that within two months of 1877-09 and 1893-08), generated sea "
        "coverage, thinned; HadCRUT4's masks of 1877-09 and 1893-08 never used",
        "noise": "independent 0.05-0.7 K, regional (1,500 km) up to 0.6 of it, slow (5,000 km) up to 0.08 K; half of "
        f"a month's error stays in the next; {options.misstated:.0%} of the samples state too much, too little, or "
        "have none",
        "months": Months(index[training]).labels(),
        "held_out_test": Months(index[test]).labels(),
        "held_out_validation": list(VALIDATION_YEARS),
        "margin_months": MARGIN,
        "cross_fit_folds": f"{FOLDS}, each of {RUNS} runs of years",
        "seed": options.seed,
        "settings": made.model_dump(mode="json"),
        "best_step": history.best_step,
        "spread_factor": factor,
        "history": history.rows,
        "seconds": round(time.monotonic() - started),
        "threads": options.threads,
        "torch": torch.__version__,
    }
    written = {}
    for name, rows, what in (
        (f"{options.name}-heldout", allowed, "all but the test years and two months beside them"),
        (options.name, np.ones(len(index), bool), "all months"),
    ):
        final = new_network(
            prior_of(filled[rows], index[rows], options.rank, options.trailing), options.width, options.misstated > 0
        )
        weights = {k: v for k, v in network.state_dict().items() if not k.startswith("prior.")}
        final.load_state_dict({**final.state_dict(), **weights})
        final.spread_factor.fill_(factor)
        card = describe_unet(
            name, final, grid=GRID, persistence=round(persistence, 2), training={**about, "covariances": what}
        )
        written[name] = str(save_network(final, card, options.out / name))
    say(f"written: {', '.join(written.values())}")
    machine = f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}"
    print(
        json.dumps({"benchmark": "train_shipped", "written": written, "seconds": about["seconds"], "machine": machine})
    )


def samples(options, network, known, filled, index, training, validation, say):  # type: ignore[no-untyped-def]
    """Pools to train and to validate on, and the draws they come from."""
    block, priors = cross_fit(filled, index, training, options.rank, options.trailing, FOLDS, RUNS)
    say("covariances learned")
    draws = HalfErrorBank(*sources(options.data), options.seed + 4, misstated=options.misstated)
    say("masks and errors drawn")
    members = np.zeros(len(index), int)
    month = index % 12 + 1

    def pool_of(chosen, fold, priors, count, seed):  # type: ignore[no-untyped-def]
        # Months that are not chosen are not known as neighbours either.
        values = np.where(chosen[:, None, None], known, np.nan)
        fields = TrainingFields(values, month, index, members, ("GISTEMP",), GRID)
        told = [0.0]

        def progress(done: int, total: int) -> None:
            if done >= told[0]:
                say(f"  {done} of {total} samples")
                told[0] += total / 10

        return draw_samples(network, priors, fields, np.where(chosen, fold, -1), draws, count, seed, progress)

    pool = pool_of(training, block, priors, options.pool, options.seed + 1)
    checks = pool_of(validation, np.zeros(len(index), int), [network.prior], 480, options.seed + 2)
    return pool, checks, draws


def add_scores(options) -> None:  # type: ignore[no-untyped-def]
    """Put what skill.py measured into the cards."""
    measured = json.loads(options.scores.read_text())
    held = f"{options.name}-heldout"
    for name in (held, options.name):
        loaded = load_network(str(options.out / name))
        scores = {
            "of": f"{held}: the same weights on covariances that have not seen the test years",
            **scores_for_card(measured, held, options.name),
        }
        method: Any = loaded.method
        network = method.network
        print(save_network(network, loaded.card.model_copy(update={"scores": scores}), options.out / name))


if __name__ == "__main__":
    main()
