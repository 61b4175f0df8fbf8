"""SIGKILL in every stage of task=train: nothing that looks whole is left, and the same command ends as if undisturbed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from climrecon import interruption
from climrecon.cli.app import run_app
from climrecon.files import sha256_of
from climrecon.methods.store import CARD, WEIGHTS, list_networks, load_network
from climrecon.settings import load_site, validate
from climrecon.tasks.train.task import Training
from climrecon.training import engine
from climrecon.workflow.progress import Quiet
from climrecon.workflow.run_info import run_info
from helpers import forked

RECIPE = "kadow2020,masks=20,batch=4,widths=4 6,check_every=10,validation_years=1,checkpoint_seconds=0"


#: Where the command kills itself -> the function that does so instead of its work.
PLACES = {
    "prepare": "climrecon.tasks.training_data.preparation.MemberStore.put",
    "network": "climrecon.methods.store.write_text",
    "scores": "climrecon.tasks.train.results.score_table",
    "store": "climrecon.tasks.network_store.shutil.copyfile",
}


def dying(at: str, *command: str) -> None:
    """Run the real command, which kills itself, as the system would, at one place."""

    def die(*given: Any, **named: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    if at in PLACES:
        pytest.MonkeyPatch().setattr(PLACES[at], die)
    elif at == "step":
        advance = engine.Loop.advance

        def step(self: engine.Loop, module: torch.nn.Module) -> None:
            advance(self, module)
            if self.step == 13:
                die()

        engine.Loop.advance = step  # type: ignore[method-assign]
    elif at == "publish":
        interruption.hook = lambda name: die() if name == "with network.safetensors in place" else None
    run_app([*command])


def call(at: str, config: Path, *stage: str) -> int:
    answer = forked.call(dying, at, "stage", *stage, str(config))
    assert answer.returncode in (0, -signal.SIGKILL), answer.stderr
    return answer.returncode


def test_killed_in_every_stage(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site.toml"
    site.write_text(f'network_store = ["{tmp_path / "store"}"]\n')
    monkeypatch.setenv("CLIMRECON_CONFIG", str(site))
    loaded, output = load_site(), tmp_path / "output"
    given = {
        "task": "train", "catalogue": str(demo / "catalogue.json"), "cachedir": str(tmp_path / "cache"),
        "training_data": "cmip5", "training_target": "tas", "recipe": RECIPE, "iterations": 20,
        "network_name": "mine", "outputdir": str(output), "period": "1870-1899", "plots": "false",
    }  # fmt: skip
    job = Training(validate(given, loaded), loaded, run_info())
    config = tmp_path / "config.json"
    config.write_text(json.dumps(job.settings.plain()))

    assert call("prepare", config, "prepare", "--part", "0") == -signal.SIGKILL
    assert not any(job.data.is_prepared(part) for part in range(4))
    assert not list(job.data.preparation.folder.glob("*.safetensors"))
    job.data.prepare_many(range(4), Quiet())

    assert call("step", config, "train") == -signal.SIGKILL
    assert torch.load(job.plan.folder / "fit" / "checkpoint.pt", weights_only=True)["state"]["step"] == 12
    assert not job.is_trained()
    assert call("network", config, "train") == -signal.SIGKILL
    assert not job.is_trained(), "weights without a card are no network"
    assert call("", config, "train") == 0
    assert job.is_trained()
    assert not list((job.plan.folder / "fit").glob("*checkpoint*"))
    survived = sha256_of(job.plan.folder / "network" / WEIGHTS)

    for at in ("scores", "store", "publish"):
        assert call(at, config, "collect") == -signal.SIGKILL
        assert not (output / "manifest.json").exists(), at
        # The network is stored before the results are moved into place, whole.
        assert [card.name for card, path in list_networks([tmp_path / "store"]) if path.parent == tmp_path / "store"] == ["mine"] * (at == "publish")  # fmt: skip
    assert call("", config, "collect") == 0
    manifest = json.loads((output / "manifest.json").read_text())
    assert {entry["path"] for entry in manifest["outputs"]} >= {CARD, WEIGHTS, "log.csv"}
    assert not list(output.glob(".climrecon-*"))
    assert load_network("mine", store=[tmp_path / "store"]).sha256 == survived

    # The same training with nothing in its way, in a cache of its own.
    calm = validate({**given, "cachedir": str(tmp_path / "calm"), "network_name": "calm"}, loaded)
    (tmp_path / "calm" / "training").mkdir(parents=True)
    (tmp_path / "calm" / "training" / "members").symlink_to(job.data.preparation.folder)
    other = Training(calm, loaded, run_info())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        other.train(0, Quiet())
    finally:
        torch.set_num_threads(threads)
    assert other.plan.fingerprint == job.plan.fingerprint
    assert sha256_of(other.plan.folder / "network" / WEIGHTS) == survived
    # The card and the log compare with kriging on the same months and masks.
    about = load_network(str(other.plan.folder / "network")).card.training
    assert set(about["validation_beside"]["kriging"]) >= {"rmse"}
    assert "- validation, by which the weights were chosen: RMSE, K" in (output / "card.md").read_text()
    header = (output / "log.csv").read_text().splitlines()[0]
    assert "kriging_rmse" in header
