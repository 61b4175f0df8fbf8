"""A cache on a scratch that loses or damages single files: each is checked, and made anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from climrecon.methods.store import WEIGHTS, shipped
from climrecon.settings import Site, validate
from climrecon.settings.site import BUILT_IN, SiteFile
from climrecon.tasks.train.task import Training
from climrecon.training.store import MemberStore, assemble
from climrecon.workflow.progress import Quiet
from climrecon.workflow.run_info import run_info


class Warned(Quiet):
    def __init__(self) -> None:
        self.said: list[str] = []

    def warning(self, text: str) -> None:
        self.said.append(text)


def lose(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    found = bytearray(path.read_bytes())
    found[-7] ^= 1
    path.write_bytes(found)


def training(demo: Path, folder: Path) -> Training:
    site = Site(SiteFile.model_validate({**BUILT_IN, "network_store": [str(folder / "store")]}))
    given = {
        "task": "train", "training_data": "cmip5", "network_name": "x", "cachedir": str(folder / "cache"),
        "catalogue": str(demo / "catalogue.json"),
    }  # fmt: skip
    return Training(validate(given, site), site, run_info())


def test_members_are_checked_to_the_last_byte_and_prepared_anew(demo: Path, tmp_path: Path) -> None:
    first = training(demo, tmp_path)
    first.data.prepare_many(range(len(first.data.members)), Quiet())
    files = sorted((tmp_path / "cache" / "training" / "members").glob("*.safetensors"))
    before = {path.name: path.read_bytes() for path in files}
    assert len(before) == 4
    (tmp_path / "cache" / "training" / "members" / "hashes").rename(tmp_path / "lost")
    for path, damage in zip(files, (lose, truncate, flip), strict=False):
        damage(path)
    # Another process, as the stage that comes next: nothing tells it what was lost.
    again = training(demo, tmp_path)
    reporter = Warned()
    again.data.mend(reporter)
    assert len(reporter.said) == 3
    assert all("prepared anew" in text for text in reporter.said)
    assert {path.name: path.read_bytes() for path in files} == before
    assert all(again.data.is_prepared(part) for part in range(4))
    again.data.mend(reporter)
    assert len(reporter.said) == 3

    # A network of which one file is lost is trained again, not collected.
    assert not again.is_trained()
    shutil.copytree(shipped() / "punet6", again.plan.folder / "network")
    assert again.is_trained()
    flip(again.plan.folder / "network" / WEIGHTS)
    assert not again.is_trained()


@pytest.mark.parametrize("damage", [lose, truncate, flip])
def test_joined_members_are_made_anew(damage: Callable[[Path], None], tmp_path: Path) -> None:
    store = MemberStore(tmp_path / "members")
    rng = np.random.default_rng(0)
    for key in "ab":
        values = rng.normal(size=(5, 4, 8)).astype(np.float32)
        values[0, 0, 0] = np.nan
        store.put(key, values, np.arange(5), {})
    parts = [(store.get(key), slice(0, 5)) for key in "ab"]
    joined = np.array(assemble(parts, tmp_path / "joined", in_memory=0))
    (path,) = (tmp_path / "joined").glob("*.npy")
    before = path.read_bytes()
    made = path.stat().st_ino
    assemble(parts, tmp_path / "joined", in_memory=0)
    assert path.stat().st_ino == made
    damage(path)
    np.testing.assert_array_equal(assemble(parts, tmp_path / "joined", in_memory=0), joined)
    assert path.read_bytes() == before
