"""The store of networks from the command line: list, show, add, remove."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from climrecon.cli.app import app
from climrecon.errors import ClimReconError, NetworkError, OutputError, UsageError
from climrecon.methods.store import load_network, shipped


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    site = tmp_path / "site.toml"
    site.write_text(f'network_store = ["/proc/nowhere", "{tmp_path / "store"}"]\n')
    monkeypatch.setenv("CLIMRECON_CONFIG", str(site))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "store"


def call(*arguments: Any) -> str:
    answer = CliRunner().invoke(app, [str(a) for a in arguments])
    if isinstance(answer.exception, ClimReconError):
        raise answer.exception
    assert answer.exit_code == 0, answer.output
    return answer.output


def test_a_network_is_added_found_used_and_removed(store: Path) -> None:
    source = shipped() / "punet6"
    # The first place of the site file cannot be written to: the next one is taken.
    assert f"Stored in {store / 'mine'}" in call("networks", "add", source, "--name", "mine")
    assert "mine" in call("networks")
    assert json.loads(call("networks", "mine", "--json"))["name"] == "mine"
    assert call("networks", "show", "mine").startswith("mine: ")
    assert load_network("mine", store=[store]).sha256 == load_network("punet6").sha256
    assert not [path.name for path in store.iterdir() if path.name.startswith(".")]
    assert "Removed" in call("networks", "remove", "mine", "--yes")
    assert not list(store.iterdir())


def test_nothing_is_overwritten_and_shipped_networks_stay(store: Path, tmp_path: Path) -> None:
    source = shipped() / "punet6"
    for name in ("kriging", "../up", "a b"):
        with pytest.raises(UsageError):
            call("networks", "add", source, "--name", name)
    other = tmp_path / "other"
    other.mkdir()
    card = json.loads((source / "card.json").read_text())
    (other / "card.json").write_text(json.dumps({**card, "name": "mine"}))
    (other / "network.safetensors").write_bytes((source / "network.safetensors").read_bytes()[:-8] + b"12345678")
    with pytest.raises(NetworkError, match="not those of its card"):
        call("networks", "add", other)
    for name in ("punet6", "nothing", "..", "../store"):
        with pytest.raises(NetworkError):
            call("networks", "remove", name, "--yes")
    assert (source / "card.json").exists()


def test_a_network_of_an_earlier_version_is_to_be_trained_again(store: Path) -> None:
    call("networks", "add", shipped() / "punet6", "--name", "mine")
    path = store / "mine" / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "kind": "partial_unet"}))
    with pytest.raises(NetworkError, match="mine.* by an earlier version") as caught:
        load_network("mine", store=[store])
    assert "Train again with recipe=punet" in str(caught.value)
    assert "mine" not in call("networks")
    assert "Removed" in call("networks", "remove", "mine", "--yes")


def test_without_a_writable_store_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site.toml"
    site.write_text('network_store = ["/proc/nowhere"]\n')
    monkeypatch.setenv("CLIMRECON_CONFIG", str(site))
    monkeypatch.setenv("XDG_DATA_HOME", "/proc/nowhere")
    with pytest.raises(OutputError, match="No network store can be written to"):
        call("networks", "add", shipped() / "punet6", "--name", "mine")


def test_a_training_is_planned(store: Path, demo: Path) -> None:
    text = call(
        "train", "--dryrun", "--training-data", "cmip5+20cr", "--catalogue", demo / "catalogue.json",
        "--network", "punet6", "--network-name", "new",
    )  # fmt: skip
    assert "6 members of 3 model families" in text
    assert "can be blended: 1" in text
    # The recipe is that of the network to start from, unless one is named that does not fit.
    assert "recipe punet,neighbour_months=1,stride=2,depth=3, " in text
    assert "starting from punet6" in text
    with pytest.raises(UsageError, match="has neighbour_months=1, the recipe punet has neighbour_months=0"):
        call(
            "train", "--dryrun", "--training-data", "cmip5", "--catalogue", demo / "catalogue.json",
            "--network", "punet6", "--recipe", "punet,neighbour_months=0",
        )  # fmt: skip
    forced = call(
        "train", "--dryrun", "--training-data", "cmip5+20cr", "--catalogue", demo / "catalogue.json",
        "--training-target", "blended",
    )  # fmt: skip
    assert "can be blended: 1" in forced
    with pytest.raises(UsageError, match=r"no set 20r; .*did you mean 20cr\?"):
        call("train", "--training-data", "20r", "--catalogue", demo / "catalogue.json")
