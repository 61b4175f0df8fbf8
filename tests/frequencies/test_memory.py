"""Long records are worked on in blocks, in files where they do not fit into memory, with the results of small ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from climrecon import memory
from climrecon.errors import OutputError
from climrecon.memory import CHUNK, MOST, blocks_of, free_bytes, new_array
from helpers.time_axes import Date, reconstructed, write


def system(folder: Path, available: int | None, groups: dict[str, dict[str, str]], own: str) -> tuple[Path, Path]:
    """A made-up /proc and /sys/fs/cgroup."""
    proc, cgroup = folder / "proc", folder / "cgroup"
    (proc / "self").mkdir(parents=True)
    if available is not None:
        (proc / "meminfo").write_text(f"MemTotal: 99999999 kB\nMemAvailable: {available // 1024} kB\n")
    (proc / "self" / "cgroup").write_text(own)
    for path, files in groups.items():
        (cgroup / path).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (cgroup / path / name).write_text(text)
    return proc, cgroup


GB = 1024**3


def test_free_memory_is_what_machine_and_control_groups_leave(tmp_path: Path) -> None:
    limited = {"memory.max": f"{8 * GB}", "memory.current": f"{3 * GB}", "memory.stat": f"anon 1\ninactive_file {GB}\n"}
    open_end = {"memory.max": "max", "memory.current": "5", "memory.stat": ""}
    assert (
        free_bytes(*system(tmp_path / "a", 20 * GB, {"job/step": open_end, "job": limited}, "0::/job/step\n")) == 6 * GB
    )
    assert free_bytes(*system(tmp_path / "b", 4 * GB, {"job": limited}, "0::/job\n")) == 4 * GB
    older = {
        "memory.limit_in_bytes": f"{2 * GB}", "memory.usage_in_bytes": f"{3 * GB}", "memory.stat": "inactive_file 7\n"
    }  # fmt: skip
    proc, cgroup = system(tmp_path / "c", 20 * GB, {"memory/slurm/job": older}, "3:cpu:/x\n2:memory:/slurm/job\n")
    assert free_bytes(proc, cgroup) == 0
    assert free_bytes(*system(tmp_path / "d", None, {}, "")) == MOST


def test_arrays_of_a_tight_machine_are_files_and_blocks_are_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not isinstance(new_array((500, 30, 40), np.float32, tmp_path), np.memmap)
    assert list(blocks_of(np.zeros((500, 30, 40)))) == [slice(0, 500)]
    monkeypatch.setattr(memory, "free_bytes", lambda: 10_000_000)
    assert not isinstance(new_array((500, 30, 40), np.float32, None), np.memmap)
    array = new_array((500, 30, 40), np.float32, tmp_path / "made")
    assert isinstance(array, np.memmap)
    seen = []
    for part in blocks_of(array, None):
        seen.append(part)
        array[part] = part.start
    assert seen == [slice(start, min(start + CHUNK, 500)) for start in range(0, 500, CHUNK)]
    # What was released is in the file still.
    assert array[::CHUNK, 0, 0].tolist() == [0.0, 120.0, 240.0, 360.0, 480.0]
    assert not list((tmp_path / "made").iterdir())


def test_a_folder_without_room_is_an_error_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full at a write into a mapped file would end the process; the room is taken before."""
    monkeypatch.setattr(memory, "free_bytes", lambda: 1_000_000)
    with pytest.raises(OutputError, match="takes no file of 4000000000000 MB") as caught:
        new_array((10**9, 10**6, 10**3), np.float32, tmp_path)
    assert "cachedir" in str(caught.value.hint)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"Not a directory|File exists"):
        new_array((500, 30, 40), np.float32, tmp_path / "file")


def resident() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def test_released_pages_leave_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 100_000_000)
    array, before = new_array((6000, 100, 100), np.float32, tmp_path), resident()
    for part in blocks_of(array):
        array[part] = 1.0
    assert resident() - before < array.nbytes / 8
    assert sum(float(array[part].sum()) for part in blocks_of(array)) == array.size


@pytest.mark.parametrize("kind", ["anomalies", "absolute", "re-based", "parts"])
def test_a_tight_machine_gives_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """More than one block, and all arrays of the record in files; the plenty machine has one block in memory."""
    dates: list[Date] = [(1961 + n // 336, n % 336 // 28 + 1, n % 28 + 1) for n in range(3 * 336)]
    values = np.random.default_rng(2).normal(0.0, 2.0, (len(dates), 9, 18))
    values[np.random.default_rng(3).random(values.shape) < 0.1] = np.nan
    about: dict[str, Any] = {"long_name": "temperature anomaly relative to 1961-1963"}
    if kind == "absolute":
        values += 285.0
        about = {"long_name": "temperature"}
    elif kind == "re-based":
        about = {"long_name": "temperature anomaly relative to 1961-1962"}
    results = []
    for name in ("plenty", "tight"):
        folder = tmp_path / name
        folder.mkdir()
        path = write(folder / "days.nc", dates, values=values, **about)
        if name == "tight":
            monkeypatch.setattr(memory, "free_bytes", lambda: 3_000_000)
            if kind == "parts":
                (folder / "site.toml").write_text("[slurm]\nvalues_per_part = 200000\n")
                monkeypatch.setenv("CLIMRECON_CONFIG", str(folder / "site.toml"))
        network = "kriging" if kind in ("anomalies", "parts") else "idw"
        result, _ = reconstructed(folder, "day", obs_file=str(path), network=network, reference_period="1961-1963")
        results.append(result)
    with netCDF4.Dataset(results[0]) as one, netCDF4.Dataset(results[1]) as other:
        assert one.variables.keys() == other.variables.keys()
        for name in one.variables:
            np.testing.assert_array_equal(one[name][:], other[name][:], err_msg=name)
        assert one.comment == other.comment
    assert not list((tmp_path / "tight" / "cache").rglob("*.tmp"))
