"""Compressed files, members in a zip, Zarr stores and addresses, as netCDF files in the cache folder."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import shlex
import shutil
import warnings
import zipfile
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from climrecon.errors import InputDataError, OutputError
from climrecon.files import FOLDER, atomic_path, note_input, require_file, stamp_of, why_unreadable
from climrecon.netcdf.names import NETCDF, address_in, plain_name
from climrecon.netcdf.opendap import copy_opendap
from climrecon.servers import DATA, ServerError, pieces

#: Names the folder in the environment, so that the processes of a run share it.
_PLACE = "CLIMRECON_UNPACKED"
_ZIP = b"PK\x03\x04"
#: First bytes -> what opens a compressed file, and the command that unpacks it.
_COMPRESSED: dict[bytes, tuple[Callable[..., Any], str]] = {
    b"\x1f\x8b": (gzip.open, "gunzip"),
    b"BZh": (bz2.open, "bunzip2"),
    b"\xfd7zXZ": (lzma.open, "unxz"),
}
#: First bytes of files of other kinds -> what they are, and the next step.
_OTHERS = {
    b"GRIB": ("a GRIB file", "Convert it first: cdo -f nc copy FILE FILE.nc"),
    b"\x0e\x03\x13\x01": ("an HDF4 file", "Convert it first, e.g. with h4tonccf."),
    b"<": ("a web page or XML, not data", "The download gave an error page; fetch the file itself."),
    b"{": ("JSON, not data", "Name the netCDF file; a catalogue is given with catalogue=."),
}


def cache_in(folder: Path) -> None:
    """Unpack files into ``folder`` from now on, in this process and those that it starts."""
    os.environ[_PLACE] = str(folder / "unpacked")


def is_zarr(path: Path) -> bool:
    """Whether ``path`` is the folder of a Zarr store."""
    return any((path / name).is_file() for name in (".zgroup", ".zmetadata", "zarr.json"))


def local(path: Path) -> Path:
    """``path`` itself if it can be opened as it is, else its content as a netCDF file in the cache folder.

    A file that was unpacked before is taken again until the original changes; an address is fetched once
    a day.

    Raises
    ------
    InputDataError
        If it is damaged, an archive of several files, or cannot be reached; with the command that helps.
    OutputError
        If the cache folder cannot be written.
    """
    if address := address_in(path):
        return _fetched(address)
    if why_unreadable(path) == FOLDER:
        if is_zarr(path):
            return _from_zarr(path)
        raise InputDataError(f"{path} is a folder; a netCDF file is expected.", "Name a file in it.")
    require_file(path, "Check the name, and ask the owner of the file where it may not be read.")
    note_input(path)  # before it is unpacked: its hash is that of what is unpacked here
    start = start_of(path)
    if start.startswith(_ZIP):
        members = names_in_zip(path)
        if len(members) != 1:
            raise InputDataError(
                f"{path.name} is a zip of {len(members)} netCDF files.",
                f"Unpack it, unzip {shlex.quote(str(path))} -d FOLDER, and name one of them or the folder.",
            )
        return _from_zip(path, members)[0]
    for magic, (opener, command) in _COMPRESSED.items():
        if start.startswith(magic):
            target = _place(f"{_stamp(path)}") / plain_name(path.name)
            return _once(target, partial(_expanded, path, opener), path, command)
    return path


def readable(path: Path, parameter: str) -> tuple[Path, str]:
    """A file that can be read: ``path``, or the netCDF copy of a Zarr store or an address, with a note on it.

    Compressed files stay what they are; they are unpacked where they are opened.

    Raises
    ------
    InputDataError
        If there is none; ``parameter`` named it.
    """
    check_there(path, parameter)
    address = address_in(path)
    if address or why_unreadable(path) == FOLDER:
        copy = local(path)
        return copy, f"{address or path} was copied to {copy}"
    return path, ""


def check_there(path: Path, parameter: str) -> None:
    """Refuse what is no file, no Zarr store and no address, without reading any of these.

    Raises
    ------
    InputDataError
        With the ``parameter`` that named it.
    """
    if address_in(path):
        return
    if why_unreadable(path) == FOLDER:
        if is_zarr(path):
            return
        raise InputDataError(f"{path} is a folder; {parameter} names a file.", "Name a file in it.")
    require_file(path, f"Check {parameter}; a relative path starts at the folder the command runs in.")


def members_in(path: Path) -> tuple[Path, ...]:
    """The netCDF files in a zip of several, unpacked in order of their names; none for any other path.

    Raises
    ------
    InputDataError
        If the zip is damaged.
    OutputError
        If the cache folder cannot be written.
    """
    if address_in(path) or why_unreadable(path) or not start_of(path).startswith(_ZIP):
        return ()
    members = names_in_zip(path)
    return tuple(_from_zip(path, members)) if len(members) > 1 else ()


def files_at(path: Path) -> tuple[Path, ...]:
    """The files that ``path`` stands for: those in a zip of several, the copy of a store or an address, else itself.

    Raises
    ------
    InputDataError
        If it cannot be unpacked or reached.
    """
    if address_in(path) or (why_unreadable(path) == FOLDER and is_zarr(path)):
        return (local(path),)
    return members_in(path) or (path,)


def start_of(path: Path, size: int = 8) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as file:
        return file.read(size)


def is_packed(start: bytes) -> bool:
    """Whether a file is compressed or a zip, by its first bytes."""
    return start.startswith((_ZIP, *_COMPRESSED))


def other_kind(path: Path) -> tuple[str, str] | None:
    """What a file is that is no netCDF, and the next step; None if it is not known."""
    if start_of(path, 262)[257:] == b"ustar":
        return "a tar archive", f"Unpack it, tar -xf {shlex.quote(str(path))}, and name a file in it."
    start = start_of(path).lstrip()
    return next((text for magic, text in _OTHERS.items() if start.startswith(magic)), None)


def _place(text: str) -> Path:
    from platformdirs import user_cache_path

    root = Path(os.environ.get(_PLACE) or user_cache_path("climrecon") / "unpacked")
    return root / hashlib.sha256(text.encode()).hexdigest()[:20]


def _stamp(path: Path) -> str:
    return f"{path.resolve()} {stamp_of(path)}"


def _once(target: Path, write: Callable[[Path], None], source: Path | str, command: str) -> Path:
    """``target``, written if it is not there yet."""
    if target.is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as temporary:
            write(temporary)
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        raise InputDataError(f"{source} is damaged or cut short: {error}", "Fetch it again.") from error
    except ServerError:
        raise
    except OSError as error:
        if "Invalid data stream" in str(error):  # bz2 has no error of its own
            raise InputDataError(f"{source} is damaged or cut short: {error}", "Fetch it again.") from error
        raise OutputError(
            f"{source} cannot be unpacked to {target.parent}: {error}",
            f"Choose another cachedir, or unpack it yourself: {command} {shlex.quote(str(source))}",
        ) from error
    return target


def _expanded(path: Path, opener: Callable[..., Any], target: Path) -> None:
    with opener(path) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)


def names_in_zip(path: Path) -> list[str]:
    """Names of the netCDF files in a zip.

    Raises
    ------
    InputDataError
        If it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return sorted(name for name in archive.namelist() if name.lower().endswith(NETCDF))
    except zipfile.BadZipFile as error:
        raise InputDataError(f"{path} is damaged or cut short: {error}", "Fetch it again.") from error


def _from_zip(path: Path, names: list[str]) -> list[Path]:
    folder = _place(_stamp(path))

    def extract(name: str, target: Path) -> None:
        with zipfile.ZipFile(path) as archive, archive.open(name) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)

    return [_once(folder / Path(name).name, partial(extract, name), path, "unzip") for name in names]


def _from_zarr(path: Path) -> Path:
    stamps = sorted((str(one.relative_to(path)), stamp_of(one)) for one in path.rglob("*"))
    target = _place(f"{path.resolve()} {stamps}") / f"{path.name.removesuffix('.zarr')}.nc"
    if target.is_file():
        return target
    copy = f"xarray.open_zarr({str(path)!r}).to_netcdf('FILE.nc')"
    try:
        import zarr  # noqa: F401
    except ImportError as error:
        raise InputDataError(
            f"{path} is a Zarr store, which is read with zarr, and zarr is not installed.",
            f"Install it (pip install zarr), or write netCDF where it is: {copy}",
        ) from error
    return _copied(str(path), target, "a Zarr store", f"Write it as netCDF: {copy}", engine="zarr")


def _copied(origin: str, target: Path, what: str, hint: str, **how: Any) -> Path:
    """``origin`` opened with xarray, its values as they are stored, and written to ``target``."""
    import xarray

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with xarray.open_dataset(origin, decode_cf=False, **how) as data:
                if not data.variables:
                    raise InputDataError(f"{origin} is {what} without variables.", "Check that it was copied whole.")
                return _once(target, lambda to: data.to_netcdf(to, engine="netcdf4"), origin, "ncks")
    except InputDataError:
        raise
    except Exception as error:  # xarray's engines raise what their libraries raise
        problem = next(iter(str(error).splitlines()), type(error).__name__)[:200]
        raise InputDataError(f"{origin} is {what} that xarray cannot open: {problem}", hint) from error


def _fetched(address: str) -> Path:
    scheme = address.split("://")[0]
    name = address.split("?")[0].rstrip("/").rsplit("/", 1)[-1]
    hint = "Download it, and name the file."
    if scheme not in ("http", "https"):
        raise InputDataError(f"{address} is an address of the kind {scheme}://, which is not read.", hint)
    target = _place(f"{address} {datetime.now(UTC):%Y-%m-%d}") / (name or "fetched.nc")
    opendap = "/dodsC/" in address or "/opendap/" in address or "/dap/" in address.lower()
    command = "ncks" if opendap else "curl -O"
    try:
        return local(_once(target, partial(_saved, address, opendap), address, command))
    except ServerError as error:
        raise InputDataError(f"{address} cannot be reached: {error}", f"Check the address. {hint}") from error


def _saved(address: str, opendap: bool, target: Path) -> None:
    if opendap:
        copy_opendap(address, target, DATA)
        return
    with target.open("wb") as file:
        for piece in pieces(address, DATA):
            file.write(piece)
