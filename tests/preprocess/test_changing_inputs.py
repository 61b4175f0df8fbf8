"""What is read is what the provenance names: a file that changes in between is refused, whenever it changes."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import observation_files as files
import pytest

from climrecon import files as module
from climrecon.errors import InputChanged
from climrecon.files import input_sha256, note_input, sha256_of, unchanged_inputs
from climrecon.netcdf.forms import cache_in
from climrecon.preprocess import PrepareRequest, read, read_observations, uncertainty
from climrecon.training.store import MemberStore

REQUEST = PrepareRequest(
    variable="tas", values="auto", period=(None, None), reference_period=(1961, 1990), facets={}
)  # fmt: skip


def observations(path: Path, seed: int) -> Path:
    return files.write(path, files.gappy(seed, (24, 36, 72)), files.month_numbers(1960, 24))


def rewritten(path: Path) -> None:
    """In place and of the same size, its time of change set back, as copying programs do."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    time.sleep(0.02)
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


CHANGES = [rewritten, replaced]


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_between_reading_and_hashing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    path = observations(tmp_path / "tas.nc", 1)

    def late(one: Path) -> str:
        change(one)
        return input_sha256(one)

    monkeypatch.setattr(read, "input_sha256", late)
    with pytest.raises(InputChanged, match=r"tas\.nc was changed") as caught:
        read_observations([path], REQUEST)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("change", CHANGES)
def test_a_compressed_file_is_hashed_and_held_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    monkeypatch.setenv("CLIMRECON_UNPACKED", "")  # cache_in sets it
    cache_in(tmp_path / "cache")
    path = tmp_path / "tas.nc.gz"
    path.write_bytes(gzip.compress(observations(tmp_path / "tas.nc", 1).read_bytes()))
    assert read_observations([path], REQUEST).source.sha256 == (sha256_of(path),)
    before = path.stat()
    path.write_bytes(gzip.compress(observations(tmp_path / "tas.nc", 2).read_bytes()).ljust(before.st_size, b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    seen = read_observations([path], REQUEST)
    assert np.array_equal(seen.values, read_observations([tmp_path / "tas.nc"], REQUEST).values, equal_nan=True)

    def late(one: Path) -> str:
        change(one)
        return input_sha256(one)

    monkeypatch.setattr(read, "input_sha256", late)
    with pytest.raises(InputChanged, match=r"tas\.nc\.gz was changed"):
        read_observations([path], REQUEST)


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_while_it_is_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    path = observations(tmp_path / "tas.nc", 1)

    def slow(one: Path) -> str:
        digest = sha256_of(one)
        change(one)
        return digest

    monkeypatch.setattr(module, "sha256_of", slow)
    with pytest.raises(InputChanged):
        input_sha256(path)
    with pytest.raises(InputChanged):
        MemberStore(tmp_path / "store").sha256(path)


def test_a_link_that_moves_on_to_a_newer_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = observations(tmp_path / "old.nc", 1), observations(tmp_path / "new.nc", 2)
    link = tmp_path / "tas.nc"
    link.symlink_to(old)

    def late(one: Path) -> str:
        link.unlink()
        link.symlink_to(new)
        return input_sha256(one)

    monkeypatch.setattr(read, "input_sha256", late)
    with pytest.raises(InputChanged):
        read_observations([link], REQUEST)


def test_a_file_of_errors_that_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = observations(tmp_path / "tas.nc", 1)
    seen = read_observations([path], REQUEST)
    errors = files.write(tmp_path / "tas_unc.nc", np.abs(seen.values), seen.time.index, name="tas_unc")

    def late(one: Path) -> str:
        replaced(one)
        return input_sha256(one)

    monkeypatch.setattr(uncertainty, "input_sha256", late)
    with unchanged_inputs(), pytest.raises(InputChanged, match="tas_unc"):
        uncertainty.with_errors(replace(seen, values=seen.values), errors)


def test_a_run_reads_one_state_of_a_file_from_beginning_to_end(tmp_path: Path) -> None:
    path = observations(tmp_path / "tas.nc", 1)
    store = MemberStore(tmp_path / "store")
    with unchanged_inputs():
        store.sha256(path)
        with unchanged_inputs():
            read_observations([path], REQUEST)
        rewritten(path)
        for use in (lambda: read_observations([path], REQUEST), lambda: store.sha256(path)):
            with pytest.raises(InputChanged):
                use()
    note_input(path)  # outside of a run nothing is held
    assert read_observations([path], REQUEST).source.sha256 == (sha256_of(path),)
    assert store.sha256(path) == sha256_of(path), "a hash of before is not taken for that of now"
