"""A reconstruction in parts equals one in one go, bit for bit, whatever happens to the parts' files in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from climrecon.settings import Site, validate
from climrecon.settings.site import SiteFile
from climrecon.tasks.reconstruct import parts as parts_module
from climrecon.tasks.reconstruct.apply import blocks
from climrecon.tasks.reconstruct.parts import Size
from climrecon.tasks.run import stages_of
from climrecon.workflow.progress import Quiet
from climrecon.workflow.run_info import run_info
from climrecon.workflow.stage import Stage, run_stages


class Listening(Quiet):
    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.stages: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def stage(self, text: str) -> None:
        self.stages.append(text)


def stages(folder: Path, values_per_part: int, **parameters: Any) -> tuple[Stage, ...]:
    site = Site(SiteFile.model_validate({"slurm": {"values_per_part": values_per_part}}))
    given = {
        "plots": "false", "report": "false", "compare_with": "none", "cachedir": str(folder / "cache"),
        "outputdir": str(folder / "o"), **parameters,
    }  # fmt: skip
    return stages_of(validate(given, site), site, run_info({"id": "7"}))


def content(folder: Path) -> tuple[str, str]:
    manifest = json.loads((folder / "o" / "manifest.json").read_text())
    (data,) = (entry for entry in manifest["outputs"] if entry["role"] == "reconstruction")
    return data["content_sha256"], manifest["fingerprint"]


@pytest.fixture(scope="module")
def finer(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seventeen years of the demo's observations on a grid of 2.5 degrees, which cdo brings to the network's and back."""
    source = max(demo.rglob("HadCRUT.5*ensemble_mean.nc"), key=lambda path: path.stat().st_size)
    with xr.open_dataset(source) as data:
        data = data.sel(time=slice("1950", "1966"))
        (name,) = (n for n, v in data.data_vars.items() if v.ndim == 3)
        values = np.repeat(np.repeat(data[name].values, 2, axis=1), 2, axis=2)
        axes = {"lat": np.arange(-88.75, 90, 2.5), "lon": np.arange(-178.75, 180, 2.5)}
        finer = xr.Dataset({"tas": (("time", "lat", "lon"), values, data[name].attrs)}, {"time": data["time"], **axes})
        for axis, units in (("lat", "degrees_north"), ("lon", "degrees_east")):
            finer[axis].attrs = {"units": units, "standard_name": f"{axis}itude".replace("lonitude", "longitude")}
        finer["time"].encoding = {"units": "hours since 1850-01-01"}
        path = tmp_path_factory.mktemp("finer") / "HadCRUT.5.0.2.0.finer.nc"
        finer.to_netcdf(path)
    return path


@pytest.fixture(scope="module")
def whole(finer: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("whole")
    found = stages(folder, 10**9, obs_file=str(finer), realisations=3)
    assert [stage.name for stage in found] == ["reconstruct"]
    run_stages(found, Quiet())
    return content(folder)


def split(folder: Path, finer: Path) -> tuple[Stage, ...]:
    # 204 months x 10,368 cells x (3 + 3) values in three parts.
    found = stages(folder, 2_600_000, obs_file=str(finer), realisations=3)
    assert [(stage.name, stage.parts) for stage in found] == [("prepare", 1), ("reconstruct", 3), ("collect", 1)]
    return found


def test_parts_give_what_one_go_gives(
    finer: Path, whole: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Realisations of a part are in several files where they are large.
    monkeypatch.setattr(parts_module, "GROUP_BYTES", 2 * 4 * 96 * 72 * 144)
    run_stages(split(tmp_path, finer), Quiet())
    assert content(tmp_path) == whole
    # What is done with is not left behind.
    assert not list((tmp_path / "cache" / "reconstruction").glob("*/part*"))


def test_lost_and_damaged_parts_are_made_anew(finer: Path, whole: tuple[str, str], tmp_path: Path) -> None:
    prepare, parts, collect = split(tmp_path, finer)
    prepare.run(0, Quiet())
    assert prepare.is_done(0)
    (observations,) = tmp_path.rglob("observations.safetensors")
    folder = observations.parent
    truncate(observations)
    assert not prepare.is_done(0)
    said = Listening()
    parts.run(0, said)
    assert "observations.safetensors in " in said.warnings[0]
    for part in (1, 2):
        parts.run(part, Quiet())
    assert all(parts.is_done(part) for part in range(3))
    (folder / "part-0000.safetensors").unlink()
    truncate(folder / "part-0001-realisations-000.safetensors")
    flip(folder / "part-0002-realisations-000.safetensors")
    # The same command again, in another process, does only what is missing; a wrong byte shows when it is read.
    _, parts, collect = split(tmp_path, finer)
    assert [parts.is_done(part) for part in range(3)] == [False, False, True]
    flip(observations)
    said = Listening()
    collect.run(0, said)
    assert len(said.warnings) == 4, said.warnings
    assert content(tmp_path) == whole


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    found = bytearray(path.read_bytes())
    found[-50] ^= 1
    path.write_bytes(found)


def test_months_and_sizes_by_hand() -> None:
    assert blocks(100, 3, 32) == [slice(0, 32), slice(32, 64), slice(64, 100)]
    assert blocks(40, 3, 32) == [slice(0, 0), slice(0, 32), slice(32, 40)]
    usual, fine, many = Size(2028, 2592, 0), Size(2028, 64800, 0), Size(2028, 2592, 200)
    assert [size.parts(100_000_000, 32) for size in (usual, fine, many)] == [1, 4, 11]
    assert Size(2028, 2592, 10).parts(100_000_000, 32) == 1
    # No more parts than there are chunks.
    assert Size(12, 64800, 1000).parts(1000, 32) == 1
    assert usual.files(1) == 3
    assert many.bytes == 4 * 2028 * 2592 * 203
