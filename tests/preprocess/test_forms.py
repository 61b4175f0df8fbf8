"""Compressed files, zips, Zarr stores and addresses are read through the cache folder, or refused with the next step."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from pathlib import Path

import numpy as np
import observation_files as files
import pytest

from climrecon.errors import ClimReconError, InputDataError
from climrecon.netcdf.forms import cache_in, local, readable
from climrecon.netcdf.opening import opened
from climrecon.preprocess import PrepareRequest, read_observations
from climrecon.settings.kinds import Address, _path
from climrecon.tasks.inputs import of_file
from climrecon.workflow.progress import Quiet

INDEX = files.month_numbers(1961, 12)
VALUES = files.gappy(5, (12, 36, 72))
PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLIMRECON_UNPACKED", "")
    cache_in(tmp_path / "cache")
    return tmp_path / "cache" / "unpacked"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return files.hadcrut5_mean(tmp_path, VALUES, INDEX)


def values_of(path: Path) -> np.ndarray:
    return read_observations([path], PrepareRequest()).values


@pytest.mark.parametrize("ending", list(PACKERS))
@pytest.mark.parametrize("named", [True, False])
def test_compressed_files_are_unpacked_once(tmp_path: Path, plain: Path, cache: Path, ending: str, named: bool) -> None:
    packed = tmp_path / "new" / (plain.name + (ending if named else ""))
    packed.parent.mkdir()
    packed.write_bytes(PACKERS[ending](plain.read_bytes()))
    observations = read_observations([packed], PrepareRequest())
    np.testing.assert_array_equal(observations.values, values_of(plain))
    assert observations.source.files == (str(packed),)
    assert (observations.source.dataset, observations.source.version) == ("HadCRUT", "5.0.2.0")
    unpacked = local(packed)
    before = unpacked.stat().st_mtime_ns
    assert unpacked.is_relative_to(cache)
    assert unpacked.name == plain.name
    assert local(packed).stat().st_mtime_ns == before
    packed.write_bytes(PACKERS[ending](files.hadcrut5_mean(tmp_path / "new", VALUES + 1.0, INDEX).read_bytes()))
    if named:
        np.testing.assert_array_equal(values_of(packed), values_of(packed.with_name(plain.name)))


@pytest.mark.parametrize("ending", list(PACKERS))
def test_a_compressed_file_that_is_cut_short(plain: Path, ending: str, cache: Path) -> None:
    packed = plain.with_name(plain.name + ending)
    packed.write_bytes(PACKERS[ending](plain.read_bytes())[:-2000])
    with pytest.raises(InputDataError, match="damaged or cut short"):
        values_of(packed)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_a_zip_of_one_file_is_read_and_of_several_named_with_the_command(tmp_path: Path, plain: Path) -> None:
    one, several = tmp_path / "one.zip", tmp_path / "several of them.zip"
    with zipfile.ZipFile(one, "w") as archive:
        archive.write(plain, "folder/x.nc")
        archive.writestr("readme.txt", "about")
    np.testing.assert_array_equal(values_of(one), values_of(plain))
    members = [files.hadcrut5_member(tmp_path, n, VALUES + n, INDEX) for n in (1, 2, 10)]
    with zipfile.ZipFile(several, "w") as archive:
        for path in members:
            archive.write(path, path.name)
    with pytest.raises(InputDataError, match="a zip of 3 netCDF files") as caught:
        values_of(several)
    assert f"unzip '{several}' -d FOLDER" in caught.value.hint
    inputs = of_file(several, "obs_file", Quiet())
    assert [path.name for path in inputs.members] == [path.name for path in members]
    assert inputs.notes == ("several of them.zip holds no mean and 3 members of an ensemble",)
    np.testing.assert_array_equal(values_of(inputs.main[0]), values_of(members[0]))


def test_a_zarr_store(tmp_path: Path, plain: Path) -> None:
    import xarray

    pytest.importorskip("zarr")
    store = tmp_path / "x.zarr"
    with xarray.open_dataset(plain) as data:
        data.drop_encoding().to_zarr(store, consolidated=False)
    copy, note = readable(store, "obs_file")
    np.testing.assert_array_equal(values_of(copy), values_of(plain))
    assert str(store) in note
    empty = tmp_path / "empty.zarr"
    empty.mkdir()
    (empty / ".zgroup").write_text('{"zarr_format": 2}')
    with pytest.raises(InputDataError, match="a Zarr store without variables"):
        readable(empty, "obs_file")


def test_an_address(tmp_path: Path, plain: Path, served: str, capfd: pytest.CaptureFixture[str]) -> None:
    plain.with_name("x.nc.gz").write_bytes(gzip.compress(plain.read_bytes()))
    for name in (plain.name, "x.nc.gz"):
        path = _path(f"{served}/{name}")
        assert str(path) == f"{served}/{name}"
        copy, note = readable(path, "obs_file")
        np.testing.assert_array_equal(values_of(copy), values_of(plain))
        assert f"{served}/{name}" in note
    for address, problem in (
        (f"{served}/absent.nc", "cannot be reached: HTTP Error 404"),
        (f"{served}/dodsC/absent.nc", "cannot be reached: HTTP Error 404"),
        ("http://127.0.0.1:9/x.nc", "cannot be reached"),
        ("s3://bucket/x.nc", "of the kind s3://"),
    ):
        with pytest.raises(InputDataError, match=problem) as caught:
            readable(Address(address), "obs_file")
        assert address in caught.value.message
        assert "Download it" in caught.value.hint
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("content", "finding"),
    [(b"GRIB\x00\x00\x00\x02" + b"\x00" * 50, "GRIB"), (b"<!DOCTYPE html><html>", "web page"), (b'{"a": 1}', "JSON")],
)
def test_files_of_other_kinds_are_named(tmp_path: Path, content: bytes, finding: str) -> None:
    path = tmp_path / "x.nc"
    path.write_bytes(content)
    with pytest.raises(ClimReconError, match=finding), opened(path):
        pass


def test_a_tar_archive(tmp_path: Path, plain: Path) -> None:
    import tarfile

    for name, mode in (("x.tar", "w"), ("x.nc.gz", "w:gz")):
        with tarfile.open(tmp_path / name, mode) as archive:
            archive.add(plain, plain.name)
        with pytest.raises(InputDataError, match="is a tar archive") as caught, opened(tmp_path / name):
            pass
        assert "tar -xf" in caught.value.hint


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="is a folder"):
        readable(tmp_path, "obs_file")
    with pytest.raises(InputDataError, match="There is no file") as caught:
        readable(tmp_path / "x.nc", "obs_file")
    assert "Check obs_file" in caught.value.hint
