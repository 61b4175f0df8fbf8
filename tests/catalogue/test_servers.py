"""Servers that are slow, endless or cut an answer short: limits on the whole answer."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from catalogue.conftest import FREVA, descriptor
from climrecon import servers
from climrecon.catalogue import open_catalogue
from climrecon.errors import InputDataError, NoDataError, OutputError
from climrecon.netcdf import forms
from climrecon.servers import Limits, fetch, pieces
from climrecon.settings.kinds import Address
from climrecon.watch.file_stamps import remote_digest
from helpers.made_archive import MadeArchive
from helpers.servers import ENDLESS, HEAD, drip, endless, opendap, server, whole

ADDRESSES = ("/mean.nc", "/dodsC/mean.nc")


@pytest.fixture
def mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLIMRECON_UNPACKED", str(tmp_path / "unpacked"))
    return MadeArchive(tmp_path).mean("5.0.2.0", 24, uncorrelated=False)


@pytest.mark.parametrize("start", [HEAD, b"HTTP/1.1 200 OK\r\nX: "], ids=["body", "header"])
@pytest.mark.parametrize("reader", [fetch, remote_digest, open_catalogue])
def test_a_server_that_drips_is_given_up(
    monkeypatch: pytest.MonkeyPatch, start: bytes, reader: Callable[[str], object]
) -> None:
    monkeypatch.setattr(servers, "TEXT", Limits(seconds=0.3))
    begun = time.monotonic()
    with server(drip(start)) as url, pytest.raises((OSError, NoDataError), match="no whole answer within 0.3 s"):
        reader(f"{url}/c.json")
    assert time.monotonic() - begun < 3


def test_a_server_without_end_is_given_up() -> None:
    with server(endless) as url, pytest.raises(OSError, match="longer than 1 MB"):
        list(pieces(url, Limits(size=1 << 20)))
    with server(endless) as url, pytest.raises(OSError, match="no whole answer within 0.3 s"):
        list(pieces(url, Limits(seconds=0.3, size=1 << 50)))


def test_an_answer_that_ends_early_is_refused() -> None:
    with server(lambda to, _: to.sendall(HEAD + b"{}")) as url, pytest.raises(OSError, match="bytes early"):
        fetch(url)


def test_an_answer_that_is_too_long_is_refused_at_its_beginning() -> None:
    with server(drip(HEAD)) as url, pytest.raises(OSError, match="the answer has 0 MB, more than 0"):
        list(pieces(url, Limits(size=1000)))


def test_a_long_answer_has_time_for_its_bytes() -> None:
    """0.2 s for any, one more for each 100 bytes; 20 bytes a second never have enough, 400 always."""

    def send(each: int) -> Callable[[socket.socket, str], None]:
        def answer(to: socket.socket, asked: str) -> None:
            to.sendall(ENDLESS)
            for _ in range(20):
                to.sendall(b"x" * each)
                time.sleep(0.05)

        return answer

    limits = Limits(seconds=0.2, rate=100.0, longest=60.0)
    with server(send(20)) as url:
        assert b"".join(pieces(url, limits)) == b"x" * 400
    with server(send(1)) as url, pytest.raises(OSError, match="no whole answer within"):
        list(pieces(url, limits))
    with server(send(20)) as url, pytest.raises(OSError, match="no whole answer within 0.4 s"):
        list(pieces(url, Limits(seconds=0.2, rate=100.0, longest=0.4)))


def test_a_csv_beside_a_descriptor_is_read_within_the_same_limits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(servers, "TEXT", Limits(seconds=0.5))
    with server(drip(HEAD)) as url:
        content = descriptor("file", FREVA, None, f"{url}/table.csv")
        (tmp_path / "c.json").write_text(json.dumps(content))
        with pytest.raises(NoDataError, match="no whole answer within"):
            open_catalogue(tmp_path / "c.json")


def test_an_opendap_address_is_copied_as_it_is(mean: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with server(opendap(mean, whole)) as url:
        copy = forms.local(Address(f"{url}/dodsC/mean.nc"))
    with xr.open_dataset(copy, decode_cf=False) as made, xr.open_dataset(mean, decode_cf=False) as there:
        assert set(made.variables) == set(there.variables)
        for name in there.variables:
            np.testing.assert_array_equal(made[name].values, there[name].values)
            assert made[name].attrs.get("units") == there[name].attrs.get("units")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("address", ADDRESSES)
def test_data_from_a_server_that_drips_are_given_up(
    mean: Path, address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of an OPeNDAP address the description comes at once, and the values drip inside the netCDF library."""
    monkeypatch.setattr(forms, "DATA", Limits(seconds=2.0, rate=1e9))
    begun = time.monotonic()
    answers = opendap(mean, lambda to, _: drip(ENDLESS)(to, ""))

    def answer(to: socket.socket, asked: str) -> None:
        (answers if "dodsC" in asked else drip(ENDLESS))(to, asked)

    with server(answer) as url, pytest.raises(InputDataError, match="no whole answer within 2 s") as caught:
        forms.local(Address(url + address))
    assert "Download it" in caught.value.hint
    assert time.monotonic() - begun < 15
    assert not [path for path in (tmp_path / "unpacked").rglob("*") if not path.is_dir()]


def test_data_without_end_are_given_up(mean: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(forms, "DATA", Limits(size=1 << 20))
    with server(endless) as url, pytest.raises(InputDataError, match="longer than 1 MB"):
        forms.local(Address(f"{url}/mean.nc"))
    monkeypatch.setattr(forms, "DATA", Limits(size=1 << 10))
    with server(opendap(mean, whole)) as url, pytest.raises(InputDataError, match="longer than 0 MB"):
        forms.local(Address(f"{url}/dodsC/mean.nc"))
    assert not [path for path in (tmp_path / "unpacked").rglob("*") if not path.is_dir()]


def test_a_copy_that_cannot_be_written_is_no_fault_of_the_server(
    mean: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "unpacked").write_text("in the way")
    plain = gzip.compress(mean.read_bytes())

    def answer(to: socket.socket, asked: str) -> None:
        opendap(mean, whole)(to, asked) if "dodsC" in asked else whole(to, plain)

    for address in ADDRESSES:
        with server(answer) as url, pytest.raises(OutputError, match="cannot be unpacked"):
            forms.local(Address(url + address))
