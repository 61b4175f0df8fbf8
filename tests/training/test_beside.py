"""The recipe punet: settings, training, resuming, fine-tuning, storing and use."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from climrecon.errors import InputDataError, ProblemList, Unfinished, UsageError
from climrecon.fields import Context, Months, Observations, Source
from climrecon.methods.by_chunks import reconstruct
from climrecon.methods.card import describe
from climrecon.methods.kriging import Kriging
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.store import load_network, network_of, save_network
from climrecon.methods.unet.network import UNet
from climrecon.tasks.train.fit import recipe_for
from climrecon.training import engine, unet_task
from climrecon.training.banks import MaskErrorBank
from climrecon.training.recipes import parse, recipe
from climrecon.training.run import Trained, train
from climrecon.training.sizes import weights_bytes
from climrecon.training.validation_set import ValidationSet
from helpers.small_archive import GRID, UNET, fields, gaps, small


def kriging(cases: ValidationSet) -> np.ndarray:
    context = Context(GRID, Months(cases.index))
    return Kriging().reconstruct(cases.values, cases.mask, None, cases.month, context).mean


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path, list[Any], list[Any]]:
    torch.set_num_threads(1)
    folder, told, drawn = tmp_path_factory.mktemp("whole"), [], []
    trained = small(
        "punet", folder, report=told.append, drawing=lambda *what: drawn.append(what), references={"kriging": kriging}
    )
    return trained, folder, told, drawn


def same(first: nn.Module, second: nn.Module) -> None:
    other = second.state_dict()
    for key, value in first.state_dict().items():
        assert torch.equal(value, other[key]), key


def test_settings_stand_behind_the_recipes_name(tmp_path: Path) -> None:
    name, settings = parse("punet,variables=tas")
    assert recipe(name, **settings) == recipe("punet")
    with pytest.raises(ProblemList, match="no setting 'nmae'") as refused:
        recipe("punet", nmae="x")
    assert "Settings: variables, iterations" in str(refused.value.hint)
    shipped = load_network("punet6").card
    made = recipe("punet")
    for setting in ("rank", "trailing", "seasons", "stride", "misfit", "width"):
        assert getattr(made, setting) == shipped.architecture[setting]
    own = {"hold_out", "validate_on"}  # years of the shipped network's record
    trained = {name: value for name, value in shipped.training["recipe"].items() if name not in own}
    # As it was before there were these settings.
    new = {"keeps_mean": True, "tapers": [12000.0, 5000.0]}
    assert made.model_dump(mode="json", exclude=own) == {**trained, **new}
    assert parse("kadow2020, widths=4 6,losses.hole=5.5,vgg=a.pth") == (
        "kadow2020", {"widths": [4, 6], "losses": {"hole": 5.5}, "vgg": "a.pth"},
    )  # fmt: skip
    chosen: Any = recipe_for("punet,neighbour_months=0,width=24", 100)
    assert (chosen.width, chosen.iterations, chosen.pool, chosen.neighbour_months) == (24, 100, 1600, 0)
    chosen = recipe_for("kadow2020,losses.hole=5", None)
    assert chosen.losses.model_dump()["hole"] == 5.0
    file = tmp_path / "mine.toml"
    file.write_text('recipe = "kadow2020"\nwidths = [8, 16]\n[losses]\nhole = 3\n')
    chosen = recipe_for(str(file), None)
    assert chosen.losses.hole == 3
    with pytest.raises(UsageError, match="'deep' in recipe"):
        recipe_for("punet,deep", None)
    with pytest.raises(UsageError, match="cannot be read"):
        recipe_for(str(tmp_path / "none.toml"), None)
    with pytest.raises(ProblemList) as caught:
        recipe_for("punet,neighbour_months=7,widht=4", None)
    assert "width?" in str(caught.value)
    assert "neighbour_months" in str(caught.value)


def test_it_is_compared_with_kriging_and_says_how_far_it_is(whole) -> None:
    trained, folder, told, drawn = whole
    beside = trained.card["validation_beside"]["kriging"]
    assert set(beside) == {"rmse", "annual_r", "annual_rmse"}
    lines = (folder / "log.csv").read_text().splitlines()
    rows = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    assert {row["kriging_rmse"] for row in rows} == {f"{beside['rmse']:.6g}"}
    assert f"(kriging {beside['rmse']:.3f})" in str(told[-1])
    assert "annual mean r" in str(told[-1])
    # Kept beside the checkpoint: it is not worked out again.
    small("punet", folder, references={"kriging": lambda cases: 1 / 0})
    names = list(dict.fromkeys(what for what, _, _ in drawn))
    assert names == [
        "Estimating the amplitudes of forced responses", "Learning covariances",
        "Drawing training samples", "Drawing validation samples", "Calibrating the spread",
    ]  # fmt: skip
    for name in names:
        steps = [(done, total) for what, done, total in drawn if what == name]
        assert steps == sorted(steps)
        assert steps[-1][0] == steps[-1][1]


@pytest.mark.parametrize("stop", [3, 17])
def test_resumed_it_gives_the_same_bits(whole, stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    advance = engine.Loop.advance

    def interrupted(self: engine.Loop, module: nn.Module) -> None:
        advance(self, module)
        if self.step == stop:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(engine.Loop, "advance", interrupted)
    with pytest.raises(Unfinished):
        small("punet", tmp_path)
    monkeypatch.undo()
    same(small("punet", tmp_path).network, whole[0].network)


def test_fine_tuning_needs_the_same_kind(whole, tmp_path: Path) -> None:
    start = whole[0].network
    tuned = small("punet", tmp_path / "a", 10, start=start, rate=1e-12)
    assert torch.equal(tuned.network.prior.trailing, start.prior.trailing)
    assert tuned.card["calibration"]["validation_samples"] == 20, "no covariance is cross-fitted"
    for value, old in zip(tuned.network.parameters(), start.parameters(), strict=True):
        torch.testing.assert_close(value, old, atol=1e-6, rtol=0)
    for setting in ("neighbour_months=0", "stride=1"):
        name, value = setting.split("=")
        with pytest.raises(UsageError, match=f"the recipe punet has {setting}"):
            small("punet", tmp_path / "b", 10, start=start, **{name: int(value)})


def test_it_learns_and_is_used_at_once_with_the_neighbour_months(whole, tmp_path: Path) -> None:
    trained = whole[0]
    rows = trained.history.rows
    # So few steps on so few samples can hardly improve on interpolation; they must not spoil it.
    assert rows[-1][2] < rows[0][2] + 0.01
    network = trained.network
    assert isinstance(network, UNet)
    card = describe("mine", network, GRID, trained.card)
    assert card.kind == "analysis_unet"
    assert "neighbour-1" in card.inputs
    assert card.architecture["persistence"] == trained.card["persistence"]
    calibration = trained.card["calibration"]
    for name in ("spread_factor", "shared_factor"):
        assert calibration[name] == pytest.approx(float(getattr(network, name)), abs=1e-4)
        assert calibration[name] != 1.0, "the spread is calibrated on training months"
    assert (calibration["months"], calibration["box_means"]) == (24, 9 * 24)
    loaded = load_network(str(save_network(network, card, tmp_path / "mine")))
    assert loaded.method.capabilities.neighbour_months == 1
    held = fields(36, 1, 9)
    mask = np.random.default_rng(0).random(held.values.shape) < 0.4
    source = Source("HadCRUT", "5", ("a",), ("b",), "tas")
    seen = Observations("tas", held.values, mask, None, Months(held.index), GRID, None, source)
    whole_record = loaded.method.reconstruct(seen.values, mask, None, seen.time.month, Context(GRID, seen.time)).mean
    parts = np.concatenate([found.mean for _, found in reconstruct(loaded.method, seen, chunk=7)])
    np.testing.assert_allclose(parts, whole_record, atol=5e-4)
    alone = [
        loaded.method.reconstruct(
            seen.values[i : i + 1], mask[i : i + 1], None, seen.time.month[i : i + 1],
            Context(GRID, Months(seen.time.index[i : i + 1])),
        ).mean[0]
        for i in range(36)
    ]  # fmt: skip
    assert np.abs(np.array(alone) - whole_record).max() > 4e-4, "the months beside count, by more than rounding"


def test_cells_that_may_not_be_learned_from_are_neither_seen_nor_scored(tmp_path: Path) -> None:
    found = []
    for filler in (np.nan, 1e6):
        some = fields()
        some.values[::2, 3, 4] = filler
        scored = np.ones(some.values.shape, bool)
        scored[::2, 3, 4] = False
        made = recipe("punet", **{**UNET, "iterations": 4, "folds": 1, "pool": 20})
        held = fields(36, 1, 9)
        trained = train(
            made, replace(some, scored=scored), held, *gaps(), folder=tmp_path / str(filler), seed=1, device="cpu"
        )  # fmt: skip
        found.append(trained.network)
    same(*found)
    scored[:, 3, 4] = False
    some.values[:, 3, 4] = np.nan
    never = train(made, replace(some, scored=scored), held, *gaps(), folder=tmp_path / "n", seed=1, device="cpu")
    prior = never.network.prior
    assert isinstance(prior, FullPrior)
    assert torch.isfinite(prior.scale).all()
    scored[:, :4] = False
    some.values[:, :4] = np.nan
    with pytest.raises(InputDataError, match="64 cells, 50 % of the area, are known in fewer than 24 of 120"):
        train(made, replace(some, scored=scored), held, *gaps(), folder=tmp_path / "half", seed=1, device="cpu")


def test_months_with_covariances_of_their_own_are_trained_stored_and_gone_on_from(tmp_path: Path) -> None:
    trained = small("punet", tmp_path / "fit", 2, check_every=2, seasons=True)
    network = trained.network
    assert isinstance(network, UNet)
    by_month = network.prior.coefficients_prior()
    assert by_month is not None
    assert (by_month[0] - by_month[6]).abs().max() > 0.01
    assert len(by_month) == 12
    save_network(network, describe("mine", network, GRID, {}), tmp_path / "mine")
    loaded = load_network(str(tmp_path / "mine"))
    assert loaded.card.architecture["seasons"] is True
    same(network, network_of(loaded))
    made = recipe("punet", **{**UNET, "seasons": True})
    assert weights_bytes(made, GRID, None) == weights_bytes(made, GRID, network)
    tuned = small("punet", tmp_path / "more", 2, check_every=2, start=network, rate=1e-12)
    assert torch.equal(tuned.network.prior.seasons, network.prior.seasons)  # type: ignore[union-attr, arg-type]


def test_a_share_of_misstated_errors_gives_the_network_a_channel_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = small("punet", tmp_path / "fit", 2, check_every=2, misstated=0.5)
    network = trained.network
    assert isinstance(network, UNet)
    assert network.misfit
    save_network(network, describe("mine", network, GRID, {}), tmp_path / "mine")
    loaded = load_network(str(tmp_path / "mine"))
    assert "misfit" in loaded.card.inputs
    same(network, network_of(loaded))
    made = recipe("punet", **{**UNET, "misstated": 0.5})
    assert weights_bytes(made, GRID, None) == weights_bytes(made, GRID, network)
    tuned = small("punet", tmp_path / "more", 2, check_every=2, start=network, rate=1e-12)
    assert tuned.network.misfit, "a network that is gone on from keeps its channels"  # type: ignore[union-attr]
    plain = small("punet", tmp_path / "plain", 2, check_every=2, misstated=0.0).network
    assert not plain.misfit  # type: ignore[union-attr]
    shares = []
    real = MaskErrorBank

    def recorded(*arguments: Any) -> Any:
        shares.append(arguments[4])
        return real(*arguments)

    monkeypatch.setattr(unet_task, "MaskErrorBank", recorded)
    for start in (network, plain):
        small("punet", tmp_path / f"from{len(shares)}", 2, check_every=2, start=start, misstated=0.5)
    assert shares == [0.5, 0.0], "a network that cannot see it is not shown it"
