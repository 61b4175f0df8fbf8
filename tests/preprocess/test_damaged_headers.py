"""Files with a damaged header are read, refused or left out by name: no other error, and no waiting."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import observation_files as files
import pytest

from climrecon.catalogue import build_catalogue
from climrecon.errors import ClimReconError, InputDataError, NoDataError
from climrecon.preprocess import PrepareRequest, read_observations
from climrecon.preprocess.models import inspected
from climrecon.watch.detection import read_header

REQUEST = PrepareRequest(
    variable="tas", values="auto", period=(None, None), reference_period=(1961, 1990), facets={}
)  # fmt: skip
#: Bytes of the file that hold its header.
HEADER = 700
READERS: list[Callable[[Path], object]] = [
    lambda path: read_observations([path], REQUEST),
    lambda path: inspected([path], "tas"),
    lambda path: read_header([path], "tas"),
    lambda path: build_catalogue(path.parent, path.with_name("c.json")),
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA", "NETCDF4"])
def test_damaged_headers(tmp_path: Path, kind: str) -> None:
    index = files.month_numbers(1960, 24)
    whole = files.write(tmp_path / "whole.nc", files.gappy(1, (24, 36, 72)), index, fmt=kind).read_bytes()
    path = tmp_path / "damaged" / "tas.nc"
    path.parent.mkdir()
    draw = random.Random(3)
    refused: list[ClimReconError] = []
    for _ in range(30):
        content = bytearray(whole)
        for _ in range(draw.choice([1, 1, 2, 4])):
            content[draw.randrange(4, HEADER if kind != "NETCDF4" else len(content))] = draw.randrange(256)
        path.write_bytes(content)
        for read in READERS:
            try:
                read(path)
            except (InputDataError, NoDataError) as error:
                refused.append(error)
    assert refused or kind == "NETCDF4"
    assert all("tas.nc" in error.message and error.hint for error in refused)


@pytest.mark.timeout(60)
def test_damaged_headers_that_were_met(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data.parent / "cases" / "faults" / "17-damaged-classic-netcdf"
    if not folder.is_dir():
        pytest.skip(f"no shared data: {folder} is absent")
    for path in folder.glob("*.nc"):
        shutil.copy(path, tmp_path)
        for read in READERS[:3]:
            with pytest.raises(InputDataError, match=path.name):
                read(tmp_path / path.name)
