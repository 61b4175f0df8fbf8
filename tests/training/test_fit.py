from __future__ import annotations

import csv
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from climrecon.data.masks import MaskSource
from climrecon.errors import ClimReconError, InputDataError, NetworkError, ProblemList, Unfinished, UsageError
from climrecon.methods.kadow2020.network import VARIANTS, PublishedUNet
from climrecon.methods.store import load_network, network_of
from climrecon.training import engine, resume
from climrecon.training.losses import Vgg
from climrecon.training.recipes import recipe
from climrecon.training.run import train
from climrecon.training.validation_set import draw_validation_set
from helpers import forked
from helpers.small_archive import GRID, PUBLISHED, UNET, fields, gaps, small

NAMES = ("kadow2020", "punet")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Trainings that nothing interrupts."""
    torch.set_num_threads(1)
    return {name: small(name, tmp_path_factory.mktemp(name)) for name in NAMES}


def same(first: nn.Module, second: nn.Module) -> None:
    other = second.state_dict()
    for key, value in first.state_dict().items():
        assert torch.equal(value, other[key]), key


def test_recipes_are_the_published_ones_and_say_what_is_wrong() -> None:
    paper = recipe("kadow2020").model_dump()
    assert (paper["batch"], paper["rate"], paper["iterations"]) == (18, 2e-4, 1_000_000)
    assert (paper["frozen_share"], paper["frozen_rate"]) == (0.5, 5e-5)
    assert list(paper["losses"].values()) == [1.0, 6.0, 0.1, 0.05, 120.0]
    with pytest.raises(UsageError, match="Did you mean punet"):
        recipe("pune")
    with pytest.raises(ProblemList) as caught:
        recipe("kadow2020", bacth=3, rate=-1.0, widths=(4, 4, 4, 4))
    text = str(caught.value)
    assert "'bacth'; batch?" in text
    assert "rate" in text
    with pytest.raises(ProblemList, match="cannot be halved 4 times"):
        recipe("kadow2020", widths=(4, 4, 4, 4))


class Plain(nn.Module):
    """A level by its definition: the mask convolved with ones at full channel count."""

    def __init__(self, weight: Tensor, stride: int, mode: str, bias: Tensor | None) -> None:
        super().__init__()
        self.weight, self.stride, self.mode, self.bias = nn.Parameter(weight), stride, mode, bias

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        reach = self.weight.shape[-1] // 2

        def convolved(field: Tensor, weight: Tensor) -> Tensor:
            if self.mode == "circular":
                field = F.pad(field, (reach, reach, 0, 0), mode="circular")
                field = F.pad(field, (0, 0, reach, reach))
            else:
                field = F.pad(field, (reach,) * 4)
            return F.conv2d(field, weight, None, self.stride)

        total = convolved(mask, torch.ones_like(self.weight))
        out = convolved(x * mask, self.weight) / total.clamp_min(1e-6)
        if self.bias is not None:
            out = out + self.bias.view(1, -1, 1, 1)
        return torch.where(total > 0, out, 0.0), (total > 0).float()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_trained_network_is_the_published_definition_with_its_gradients(channels: int) -> None:
    torch.manual_seed(0)
    variant = VARIANTS[channels]
    weights = {
        "enc_1": torch.randn(4, channels, 7, 7),
        "enc_2": torch.randn(6, 4, 5, 5),
        "dec_2": torch.randn(4, 10, 3, 3),
        "dec_1": torch.randn(channels, 4 + channels, 3, 3),
    }
    bias = torch.randn(channels)
    network = PublishedUNet(variant, (4, 6)).train()
    found = network._collapsed({f"{name}.weight": w for name, w in weights.items()})
    network.load_state_dict({**network.state_dict(), **found, "dec_1.bias": bias})
    plain = {
        name: Plain(w.clone(), 2 if name.startswith("enc") else 1, variant.mode, bias if name == "dec_1" else None)
        for name, w in weights.items()
    }
    norms = [nn.BatchNorm2d(n) for n in (6, 4)]
    truth, mask = torch.randn(5, 1, 16, 16), (torch.rand(5, 1, 16, 16) < 0.1).float()
    mask[0] = 0.0
    mask[0, 0, 3, 0] = 1.0
    x, m = (truth * mask).expand(-1, channels, -1, -1), mask.expand(-1, channels, -1, -1)
    one, m1 = plain["enc_1"](x, m)
    one = F.relu(one)
    two, m2 = plain["enc_2"](one, m1)
    two = F.relu(norms[0](two))
    up = torch.cat([F.interpolate(two, scale_factor=2), one], 1)
    three, m3 = plain["dec_2"](up, torch.cat([F.interpolate(m2, scale_factor=2), m1], 1))
    three = F.leaky_relu(norms[1](three), variant.slope)
    up = torch.cat([F.interpolate(three, scale_factor=2), x], 1)
    want, _ = plain["dec_1"](up, torch.cat([F.interpolate(m3, scale_factor=2), m], 1))
    got = network.run(truth * mask, network.plan.pyramid(mask))
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)
    (want - truth).abs().mean().backward()
    (got - truth).abs().mean().backward()
    gradient = plain["enc_1"].weight.grad
    for channel in range(channels):
        # Equal channels have equal gradients, which are that of their sum.
        torch.testing.assert_close(network.enc_1.weight.grad[:, 0], gradient[:, channel], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(network.dec_2.weight.grad, plain["dec_2"].weight.grad[:, :6], atol=1e-4, rtol=1e-3)
    assert network.rate_factors()["enc_1.weight"] == channels


@pytest.mark.parametrize("name", NAMES)
def test_training_leaves_a_log_and_says_what_it_was(name: str, whole, tmp_path: Path) -> None:
    told: list[engine.Progress] = []
    trained = small(name, tmp_path, report=told.append)
    same(trained.network, whole[name].network)
    with (tmp_path / "log.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["10", "20", "30"]
    assert {"score", "rmse", "annual_r", "annual_rmse"} <= set(rows[0])
    assert trained.card["members"] == ["member0", "member1"]
    assert trained.card["members_validation"] == ["held0"]
    json.dumps(trained.card)
    assert "it/s" in str(told[-1])
    assert told[-1].step == 30


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stop", [1, 17])
def test_a_training_that_was_told_to_stop_goes_on_to_the_same_bits(
    name: str, stop: int, whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = engine.Loop.advance

    def interrupted(self: engine.Loop, module: nn.Module) -> None:
        advance(self, module)
        if self.step == stop:
            os.kill(os.getpid(), signal.SIGUSR1 if stop == 1 else signal.SIGTERM)

    monkeypatch.setattr(engine.Loop, "advance", interrupted)
    with pytest.raises(Unfinished, match=f"after step {stop} of 30") as caught:
        small(name, tmp_path)
    assert caught.value.exit_code == 75
    monkeypatch.undo()
    resumed = small(name, tmp_path)
    same(resumed.network, whole[name].network)
    assert [row[:3] for row in resumed.history.rows] == [row[:3] for row in whole[name].history.rows]


def test_a_stop_during_the_last_checkpoint_is_not_lost(whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = engine.Loop._write

    def interrupted(self: engine.Loop) -> None:
        write(self)
        if self.step == 30:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(engine.Loop, "_write", interrupted)
    with pytest.raises(Unfinished, match="after step 30 of 30"):
        small(NAMES[0], tmp_path)
    monkeypatch.undo()
    same(small(NAMES[0], tmp_path).network, whole[NAMES[0]].network)


def killed(name: str, folder: Path, at: int, how: str) -> None:
    """Train until this process kills itself: between two steps, or when half of a checkpoint is written."""
    torch.set_num_threads(1)
    advance, save = engine.Loop.advance, torch.save
    now = 0

    def step(self: engine.Loop, module: nn.Module) -> None:
        nonlocal now
        advance(self, module)
        now = self.step
        if now == at and how == "outside":
            os.kill(os.getpid(), signal.SIGKILL)

    def half(content: Any, path: Path) -> None:
        save(content, path)
        if now >= at and how == "inside":
            os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    engine.Loop.advance, torch.save = step, half
    small(name, folder, checkpoint_seconds=0.0)


@pytest.mark.parametrize(("name", "how"), [("kadow2020", "outside"), ("kadow2020", "inside"), ("punet", "inside")])
def test_kill_9_at_a_random_step_and_in_the_middle_of_a_write(name: str, how: str, whole, tmp_path: Path) -> None:
    at = int(np.random.default_rng().integers(2, 29))
    answer = forked.call(killed, name, tmp_path, at, how)
    assert answer.returncode == -signal.SIGKILL, answer.stderr
    remains = list(tmp_path.glob(".checkpoint.*"))
    assert len(remains) == (how == "inside")
    content = torch.load(tmp_path / resume.CHECKPOINT, weights_only=True)
    assert content["state"]["step"] == at - 1, "the checkpoint before is whole"
    resumed = small(name, tmp_path)
    same(resumed.network, whole[name].network)
    assert not list(tmp_path.glob(".checkpoint.*"))


def test_a_checkpoint_is_continued_by_its_own_training_alone(tmp_path: Path) -> None:
    small("kadow2020", tmp_path, 10)
    for change, named in (({"seed": 4}, "seed: 3 there, 4 here"), ({"batch": 5}, "recipe")):
        with pytest.raises(UsageError, match=named):
            small("kadow2020", tmp_path, 10, **change)
    small("punet", tmp_path / "n", 10, batch=2, pool=20)
    for change, named in (({"mask_seed": 2}, "masks"), ({"error_level": 0.2}, "errors")):
        with pytest.raises(UsageError, match=rf"another training \({named}: "):
            small("punet", tmp_path / "n", 10, batch=2, pool=20, **change)
    # The published recipe without errors does not care for their level.
    small("kadow2020", tmp_path, 10, error_level=0.2)
    file = tmp_path / resume.CHECKPOINT
    file.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(InputDataError, match="cannot be read"):
        small("kadow2020", tmp_path, 10)


def test_early_stopping_and_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited = small("kadow2020", tmp_path / "time", max_hours=1e-9)
    assert "time limit" in limited.history.ended
    assert limited.history.rows
    scores = iter([1.0, 2.0, 3.0, 0.1, 0.1])
    monkeypatch.setattr(
        "climrecon.training.published_task.PublishedTask.validate", lambda self, network: {"score": next(scores)}
    )
    stopped = small("kadow2020", tmp_path / "early", 100, patience=2)
    assert stopped.history.best_step == 10
    assert len(stopped.history.rows) == 3
    assert "no better score in 2" in stopped.history.ended


def test_gaps_are_refused_or_excluded(tmp_path: Path) -> None:
    held, sources = fields(36, 1, 9), gaps()
    holed = fields()
    values = holed.values.copy()
    values[7, 3, 4] = np.nan
    made = recipe("kadow2020", **{**PUBLISHED, "iterations": 10})
    with pytest.raises(InputDataError, match="1 of 120 training months have missing values"):
        train(made, replace(holed, values=values), held, *sources, folder=tmp_path, seed=1, device="cpu")
    results = []
    for filler in (np.nan, 1e6):
        values[:, 3, 4] = filler
        scored = np.ones(values.shape, bool)
        scored[:, 3, 4] = False
        some = replace(holed, values=values.copy(), scored=scored)
        trained = train(made, some, held, *sources, folder=tmp_path / str(filler), seed=1, device="cpu")
        results.append(trained.network)
        assert trained.card["cells_excluded"] > 0
    same(*results)


def test_a_diverging_training_says_so(tmp_path: Path) -> None:
    wild = fields()
    wild.values[:] = 3e38
    made = recipe("kadow2020", **{**PUBLISHED, "iterations": 10})
    with pytest.raises(InputDataError, match="loss is"):
        train(made, wild, fields(36, 1, 9), *gaps(), folder=tmp_path, seed=1, device="cpu")


def test_the_second_part_freezes_the_encoders_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    advance = engine.Loop.advance

    def noted(self: engine.Loop, module: nn.Module) -> None:
        advance(self, module)
        network: Any = self.task.network
        groups = sorted(group["lr"] for group in self.optimiser.param_groups)
        seen.append((network.enc_2.bn.running_mean.clone(), network.dec_2.bn.running_mean.clone(), groups))

    monkeypatch.setattr(engine.Loop, "advance", noted)
    small("kadow2020", tmp_path, 20)
    assert torch.equal(seen[10][0], seen[19][0])
    assert not torch.equal(seen[8][0], seen[9][0])
    assert not torch.equal(seen[10][1], seen[19][1])
    assert seen[0][2] == pytest.approx([2e-4, 6e-4])
    assert seen[19][2] == pytest.approx([5e-5, 1.5e-4])


def test_fine_tuning_starts_from_a_network(whole, tmp_path: Path) -> None:
    start = whole["kadow2020"].network
    tuned = small("kadow2020", tmp_path / "a", 10, start=start, rate=1e-12, frozen_rate=1e-12)
    for (key, value), old in zip(tuned.network.named_parameters(), start.parameters(), strict=True):
        torch.testing.assert_close(value, old, atol=1e-6, rtol=0, msg=key)
    assert tuned.card["start"]
    ours = whole["punet"].network
    tuned = small("punet", tmp_path / "b", 10, start=ours)
    assert torch.equal(tuned.network.prior.vectors, ours.prior.vectors)
    with pytest.raises(UsageError, match="starts from a network of its own kind"):
        small("punet", tmp_path / "c", 10, start=start)
    with pytest.raises(UsageError, match="starts from a published network"):
        small("kadow2020", tmp_path / "d", 10, start=ours)


@pytest.mark.shared
def test_a_published_network_is_fine_tuned(shared_data: Path, tmp_path: Path) -> None:
    start = network_of(load_network(str(shared_data / "published_models/20cr-1000000.pth")))
    grid = fields().grid.regular(36, 72)
    rng = np.random.default_rng(0)
    some = [replace(fields(24, 1), values=rng.normal(size=(24, 36, 72)).astype(np.float32), grid=grid) for _ in "ab"]

    cells = 36 * 72
    masks = MaskSource(
        rng.random((4, cells)) < 0.3, np.zeros(cells, bool), np.zeros((cells, 1)), np.zeros(cells), blended=True
    )
    made = recipe(
        "kadow2020", iterations=2, masks=4, batch=2, check_every=2, validation_years=1, rate=1e-12, frozen_rate=1e-12
    )
    tuned = train(made, *some, masks, None, folder=tmp_path, seed=0, device="cpu", start=start)
    torch.testing.assert_close(tuned.network.enc_2.weight, start.enc_2.weight, atol=1e-6, rtol=0)


def test_vgg_terms_count_where_weights_are_given(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(0)
    shapes = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128), 12: (256, 256), 14: (256, 256)}
    weights = {f"features.{n}.weight": 0.05 * torch.randn(*s, 3, 3) for n, s in shapes.items()}
    weights |= {f"features.{n}.bias": torch.zeros(s[0]) for n, s in shapes.items()}
    save_file(weights, tmp_path / "vgg.safetensors")
    losses = [
        small("kadow2020", tmp_path / str(bool(vgg)), 2, vgg=vgg, batch=2).history.rows[0][1]
        for vgg in (None, tmp_path / "vgg.safetensors")
    ]
    assert losses[1] > losses[0] + 0.01
    (tmp_path / "bad.pth").write_bytes(b"no weights")
    with pytest.raises(NetworkError, match="VGG16"):
        Vgg.read(tmp_path / "bad.pth")


def test_grids_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    made = recipe("kadow2020", **{**PUBLISHED, "rows": 20, "widths": (4, 4), "iterations": 2})
    with pytest.raises(UsageError, match="works on 20 rows"):
        train(made, fields(), fields(36, 1, 9), *gaps(), folder=tmp_path, seed=1, device="cpu")
    finer = replace(fields(36, 1, 9), grid=GRID.regular(4, 32))
    with pytest.raises(ClimReconError, match="same grid"):
        train(recipe("punet", **UNET), fields(), finer, *gaps(), folder=tmp_path, seed=1, device="cpu")


def test_errors_of_a_validation_year_persist() -> None:
    """Else the errors of trained networks seem to have no memory, and realisations get none."""
    held = fields(120, 1, 9)
    cases = draw_validation_set(held, *gaps(), 10, 0)
    error = np.where(cases.mask, cases.values - cases.truth, np.nan)
    common = np.nanmean(error, axis=(1, 2))
    follows = np.diff(cases.index) == 1
    assert np.corrcoef(common[:-1][follows], common[1:][follows])[0, 1] > 0.3
    assert all((cases.stated[n] == cases.stated[12 * (n // 12)]).all() for n in range(len(cases.stated)))


def test_scores_are_what_they_say() -> None:
    held = fields(36, 1, 9)
    cases = draw_validation_set(held, gaps()[0], None, 3, 0)
    perfect = cases.score(cases.truth)
    assert perfect["rmse"] == pytest.approx(0.0, abs=1e-12)
    assert perfect["annual_r"] == pytest.approx(1.0)
    off = cases.score(cases.truth + 0.5)
    assert off["rmse"] == pytest.approx(0.5)
    assert off["annual_rmse"] == pytest.approx(0.5)
    # Observed cells are not scored.
    assert cases.score(np.where(cases.mask, 99.0, cases.truth))["rmse"] == pytest.approx(0.0, abs=1e-6)
    assert len({m.tobytes() for m in cases.mask[::12]}) > 1
