"""Files that cannot be read are left out of a search by name; those that are asked for are refused."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from catalogue.conftest import DEFAULTS, Archive
from climrecon.catalogue import build_catalogue, find_members, open_catalogue, search
from climrecon.errors import ClimReconError, InputDataError, NetworkError, NoDataError, UsageError
from climrecon.files import ABSENT, CLOSED, read_bytes, sha256_of, why_unreadable
from climrecon.methods.store import find_network
from climrecon.netcdf.opening import opened
from climrecon.settings import Site, validate
from climrecon.settings.site import SiteFile, load_site
from climrecon.tasks.inputs import resolve
from climrecon.training.recipes import parse
from climrecon.watch.detection import read_header
from climrecon.workflow.disk_space import mount_of
from climrecon.workflow.progress import Quiet
from helpers.closed import as_nobody

NEWEST, OLDER = "HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc", "HadCRUT.5.0.1.0.anomalies.ensemble_mean.nc"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder whose parents everyone may enter; those of tmp_path are its owner's alone."""
    folder = Path(tempfile.mkdtemp(prefix="climrecon-test-"))
    folder.chmod(0o755)
    yield folder
    for path in folder.iterdir():
        path.chmod(0o755)
    shutil.rmtree(folder)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def socket_file(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # addresses of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.symlink_to(path)


SPECIAL = [pipe, socket_file, device, loop]


def within(seconds: float, call: Callable[[], object]) -> BaseException | None:
    """What ``call`` raises; fails if it waits."""
    raised: list[BaseException | None] = []

    def run() -> None:
        try:
            call()
            raised.append(None)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it waits"
    return raised[0]


def test_a_closed_folder_does_not_end_a_search(open_folder: Path) -> None:
    archive = Archive(open_folder)
    here, closed = archive.add(f"open/{OLDER}"), archive.add(f"closed/{NEWEST}")
    catalogue = archive.catalogue()
    closed.parent.chmod(0o700 if os.geteuid() == 0 else 0)
    with as_nobody():
        found = search(catalogue, DEFAULTS)
        members = find_members(catalogue, {"project": "observations"}, "tas")
        assert why_unreadable(closed) == CLOSED
        assert mount_of(closed / "deeper")
        with pytest.raises(InputDataError, match="may not be entered"), opened(closed):
            pass
        settings = validate({"obs_file": str(closed)}, Site(SiteFile()))
        with pytest.raises(InputDataError, match="may not be entered"):
            resolve(settings, Site(SiteFile()), Quiet())
        with pytest.raises(NetworkError, match="may not be entered"):
            find_network(str(closed))
    assert found.main == (here,)
    assert (str(closed), CLOSED) in found.left_out
    assert any("5.0.2.0 is newer" in note for note in found.notes)
    assert (str(closed), CLOSED) in members.left_out


def test_a_file_that_may_not_be_read_is_left_out(open_folder: Path) -> None:
    archive = Archive(open_folder)
    here, closed = archive.add(OLDER), archive.add(NEWEST)
    closed.chmod(0)
    catalogue = archive.catalogue()
    with as_nobody():
        found = search(catalogue, DEFAULTS)
    assert found.main == (here,)
    assert dict(found.left_out)[str(closed)] == "it may not be read: permission denied"


@pytest.mark.parametrize("special", SPECIAL)
def test_special_files_are_left_out_and_never_opened(
    archive: Archive, special: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, odd = archive.add(OLDER), archive.add(NEWEST, exists=False)
    special(odd)
    found = search(archive.catalogue(), DEFAULTS)
    assert found.main == (here,)
    assert str(odd) in dict(found.left_out)

    def use() -> None:
        with opened(odd):
            pass

    settings = validate({"obs_file": str(odd)}, Site(SiteFile()))
    for refused, call in (
        (InputDataError, use),
        (InputDataError, lambda: resolve(settings, Site(SiteFile()), Quiet())),
        (InputDataError, lambda: read_header([odd], "tas")),
        (NoDataError, lambda: open_catalogue(odd)),
        (NetworkError, lambda: find_network(str(odd))),
        (OSError, lambda: sha256_of(odd)),
        (OSError, lambda: read_bytes(odd)),
        (NoDataError, lambda: build_catalogue(tmp_path, tmp_path / "built.json")),
    ):
        assert isinstance(within(10, call), refused)
    recipe = tmp_path / "recipe.toml"
    special(recipe)
    assert isinstance(within(10, lambda: parse(str(recipe))), UsageError)
    monkeypatch.setenv("CLIMRECON_CONFIG", str(recipe))
    assert isinstance(within(10, load_site), ClimReconError)


def test_names_that_are_no_utf8_are_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"tas\xff.nc")
    path.write_bytes(b"")
    assert why_unreadable(path) == "its name holds bytes that are no UTF-8"
    with pytest.raises(NoDataError, match="no UTF-8"):
        build_catalogue(tmp_path)
    assert why_unreadable(tmp_path / "absent") == ABSENT
    assert why_unreadable(tmp_path / ("x" * 300))
    assert why_unreadable(Path("a\0b"))
