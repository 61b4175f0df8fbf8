"""The store of prepared members: whole or absent, found by what went in, bounded in memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from climrecon.errors import InputDataError, OutputError
from climrecon.training import store as module
from climrecon.training.store import MemberStore, assemble
from helpers.left_behind import left_by_a_dead_process, left_by_another_host

INDEX = np.arange(1961 * 12, 1961 * 12 + 24)


def values(seed: int = 0, months: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(months, 4, 8)).astype(np.float32)


def test_what_is_put_is_read_back_memory_mapped(tmp_path: Path) -> None:
    store = MemberStore(tmp_path / "members")
    assert not store.has("a")
    assert not store.is_done("a")
    store.put("a", values(), INDEX, {"name": "A"})
    assert store.is_done("a")
    member = store.get("a")
    assert isinstance(member.values, np.memmap)
    np.testing.assert_array_equal(member.values, values())
    np.testing.assert_array_equal(member.index, INDEX)
    assert member.about == {"name": "A"}
    with pytest.raises(InputDataError, match="absent or damaged"):
        store.get("b")


def test_a_member_cut_short_is_not_there(tmp_path: Path) -> None:
    store = MemberStore(tmp_path)
    store.put("a", values(), INDEX, {})
    whole = store.path("a").read_bytes()
    for length in (0, 5, 60, len(whole) - 1):
        store.path("a").write_bytes(whole[:length])
        assert not store.has("a"), length
    store.path("a").write_bytes(b"\xff" * 400)
    assert not store.has("a")


def test_a_member_left_out_says_why_until_it_is_there(tmp_path: Path) -> None:
    store = MemberStore(tmp_path)
    store.leave_out("a", "A", "it has gaps")
    assert store.is_done("a")
    assert not store.has("a")
    assert store.why_left_out("a") == "it has gaps"
    store.put("a", values(), INDEX, {})
    assert store.why_left_out("a") is None


def test_a_killed_writer_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    """Killed with SIGKILL at twenty points of time, in the middle of writing one member after the other."""
    code = (
        "import sys, numpy as np\nfrom pathlib import Path\nfrom climrecon.training.store import MemberStore\n"
        "store = MemberStore(Path(sys.argv[1]))\nbig = np.ones((600, 36, 72), np.float32)\n"
        "print('go', flush=True)\n"
        "for n in range(10**6):\n    store.put(f'k{n % 7}', big * n, np.arange(600), {'n': n})\n"
    )
    store = MemberStore(tmp_path)
    for attempt in range(8):
        child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.02 + 0.013 * attempt)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        for path in tmp_path.glob("*.safetensors"):
            member = store.get(path.stem)
            number = member.about["n"]
            assert (member.values == number).all(), "a member of two writings"


def test_hashes_are_worked_out_once_and_anew_when_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemberStore(tmp_path / "members")
    path = tmp_path / "a.nc"
    path.write_bytes(b"one")
    assert store.known_sha256(path) is None
    first = store.sha256(path)
    assert store.known_sha256(path) == first
    monkeypatch.setattr(module, "input_sha256", lambda path: pytest.fail("read again"))
    assert store.sha256(path) == first
    monkeypatch.undo()
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert store.known_sha256(path) is None
    assert store.sha256(path) != first


def test_too_little_space_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**9, 10**9, 10**6))
    with pytest.raises(OutputError, match="1 MB free"):
        MemberStore(tmp_path).put("a", values(), INDEX, {})
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    """The system refuses to write more than 20 kB into a file, as a full disk does."""
    code = (
        "import resource, sys, numpy as np\nfrom pathlib import Path\n"
        "from climrecon.training.store import MemberStore\nfrom climrecon.errors import OutputError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "try:\n    MemberStore(Path(sys.argv[1])).put('a', np.ones((60, 36, 72), np.float32), np.arange(60), {})\n"
        "except OutputError as error:\n    print(error)\n"
    )
    answer = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "cannot be written" in answer.stdout
    assert not list(tmp_path.iterdir())


def test_scratch_of_killed_processes_is_removed(tmp_path: Path) -> None:
    store = MemberStore(tmp_path)
    old, elsewhere = left_by_a_dead_process(tmp_path / ".scratch"), left_by_another_host(tmp_path / ".scratch")
    with store.scratch() as mine:
        assert mine.is_dir()
        assert not old.exists()
        assert elsewhere.exists()
    assert not mine.exists()


def test_joined_members_are_mapped_from_one_file_when_they_are_large(tmp_path: Path) -> None:
    store = MemberStore(tmp_path / "members")
    for key in "abc":
        store.put(key, values(ord(key)), INDEX, {})
    parts = [(store.get("a"), slice(None)), (store.get("b"), slice(0, 12)), (store.get("c"), slice(None))]
    expected = np.concatenate([values(97), values(98)[:12], values(99)])
    small = assemble(parts, tmp_path / "joined")
    assert not isinstance(small, np.memmap)
    np.testing.assert_array_equal(small, expected)
    large = assemble(parts, tmp_path / "joined", in_memory=1000)
    assert isinstance(large, np.memmap)
    np.testing.assert_array_equal(large, expected)
    (path,) = (tmp_path / "joined").glob("*.npy")
    before = path.stat().st_mtime_ns
    assemble(parts, tmp_path / "joined", in_memory=1000)
    assert path.stat().st_mtime_ns == before
    one = assemble([(store.get("a"), slice(5, 9))], tmp_path / "joined")
    assert isinstance(one, np.memmap)
    np.testing.assert_array_equal(one, values(97)[5:9])


def test_the_note_of_a_left_out_member_may_be_damaged(tmp_path: Path) -> None:
    store = MemberStore(tmp_path)
    (tmp_path / "a.left-out.json").write_text("{")
    assert store.why_left_out("a") is None
    (tmp_path / "a.left-out.json").write_text(json.dumps({"member": "A"}))
    assert store.why_left_out("a") is None
