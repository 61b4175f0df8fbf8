"""A history of releases: each look does exactly the right runs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from climrecon.catalogue import open_catalogue, search
from climrecon.errors import InputDataError, NoDataError
from climrecon.files import sha256_of
from climrecon.grid import Grid
from climrecon.watch import codes, detection
from climrecon.watch.publish import FOLDER
from climrecon.watch.releases import decide
from climrecon.watch.run import matches
from helpers.made_archive import field
from watch.conftest import Watching


def test_versions_monthly_updates_and_corrections(watching: Watching) -> None:
    archive = watching.archive
    archive.mean("5.0.0.0", 30)
    archive.build()
    first = watching()
    assert (first.code, first.ran, watching.runs) == (0, True, 1), first.message
    assert watching.latest == "HadCRUT.5.0.0.0_199001-199206"
    for _ in range(2):
        again = watching()
        assert (again.code, again.ran, watching.runs) == (0, False, 1)
        assert "Nothing to do" in again.message

    archive.mean("5.0.0.0", 31)  # a month more, in place: the catalogue stays as it is
    update = watching()
    assert (update.code, update.ran, watching.runs) == (0, True, 2)
    assert "1 new months, 0 earlier months changed" in update.message
    assert watching.latest == "HadCRUT.5.0.0.0_199001-199207"

    corrected = field(31)
    corrected[10, 20, 30] = 0.77
    archive.mean("5.0.0.0", values=corrected)
    correction = watching()
    assert (correction.code, correction.ran, watching.runs) == (0, True, 3)
    assert "0 new months, 1 earlier months changed" in correction.message
    assert watching.latest == "HadCRUT.5.0.0.0_199001-199207_2"

    archive.mean("5.0.1.0", 32)  # a new version in a file of its own: seen once it is in the catalogue
    assert (watching().ran, watching.runs) == (False, 3)
    archive.build()
    assert (watching().ran, watching.runs) == (True, 4)
    archive.mean("5.0.2.0", 33)
    archive.build()
    newest = watching()
    assert (newest.ran, watching.runs, watching.latest) == (True, 5, "HadCRUT.5.0.2.0_199001-199209")
    assert (watching().ran, watching.runs) == (False, 5)
    assert set(watching.stages().values()) == {"published"}
    assert len(list((watching.output / "releases").iterdir())) == 5


def test_the_network_of_a_release_is_the_one_that_its_grid_takes(watching: Watching) -> None:
    """The default network is one of the globe: a region takes kriging, and the record of the release says so."""
    del watching.raw["network"]
    watching.archive.mean("5.0.2.0", 24, grid=Grid(np.arange(35.0, 71.0, 5.0), np.arange(-10.0, 41.0, 5.0)))
    watching.archive.build()
    first = watching()
    assert (first.code, first.ran) == (0, True), first.message
    state = watching.state()
    try:
        (release,) = state.releases()
    finally:
        state.close()
    assert (release.content["network"], release.content["settings"]["network"]) == ("kriging", "kriging")
    assert matches(watching.output / FOLDER / release.name, release.content)
    assert not watching().ran


def test_touched_files_are_hashed_and_not_run_again(watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    path = watching.archive.mean()
    watching.archive.build()
    watching()
    hashed: list[Path] = []
    monkeypatch.setattr("climrecon.watch.look.sha256_of", lambda p: hashed.append(p) or sha256_of(p))
    os.utime(path)
    assert (watching().ran, watching.runs) == (False, 1)
    assert hashed == [path]
    watching()
    assert hashed == [path]


def test_a_file_still_being_copied_is_waited_for(watching: Watching) -> None:
    watching.settings["settle_seconds"] = 3600.0
    archive = watching.archive
    whole = archive.mean("5.0.2.0", 30)
    archive.build()
    first = watching()
    assert (first.code, watching.runs) == (codes.WAITING, 0)
    assert (watching().code, watching.runs) == (0, 1)
    # A month more arrives, by a copy in place that is seen half way.
    new = archive.mean("5.0.2.0", 31, folder=archive.root.parent / "elsewhere")
    content = new.read_bytes()
    whole.write_bytes(content[: len(content) // 2])
    assert (watching().code, watching.runs) == (codes.WAITING, 1)
    whole.write_bytes(content)
    shutil.copy(new.with_name("HadCRUT.5.0.2.0.uncorrelated.nc"), archive.folder)
    assert (watching().code, watching.runs) == (codes.WAITING, 1)
    assert watching.latest.endswith("199206")
    assert (watching().code, watching.runs) == (0, 2)
    assert watching.latest.endswith("199207")


def test_a_copy_that_stalls_is_not_run_but_not_lost(watching: Watching) -> None:
    archive = watching.archive
    path = archive.mean("5.0.2.0", 30)
    archive.build()
    watching()
    content = archive.mean("5.0.2.0", 31, folder=archive.root.parent / "elsewhere").read_bytes()
    path.write_bytes(content[: len(content) // 2])
    for _ in range(2):
        with pytest.raises(InputDataError, match="still being copied"):
            watching()
    assert (watching.runs, watching.latest) == (1, "HadCRUT.5.0.2.0_199001-199206")
    path.write_bytes(content)
    archive.mean("5.0.2.0", 31)
    assert (watching().code, watching.runs) == (0, 2)


def test_old_files_are_taken_at_the_first_look(watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    watching.settings["settle_seconds"] = 900.0
    watching.archive.mean()
    watching.archive.build()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 1000.0)
    assert (watching().code, watching.runs) == (0, 1)


def test_an_ensemble_of_two_hundred_files_is_one_release(watching: Watching) -> None:
    watching.settings["settle_seconds"] = 3600.0
    archive = watching.archive
    archive.mean("5.0.2.0", 24)
    archive.members("5.0.2.0", range(1, 201), 24)
    archive.mean("5.0.2.0", 24, name="HadCRUT.5.0.2.0.analysis.anomalies.ensemble_mean.nc", uncorrelated=False)
    archive.build()
    assert (watching().code, watching.runs) == (codes.WAITING, 0)
    assert (watching().code, watching.runs) == (0, 1)
    assert (watching().ran, watching.runs) == (False, 1)
    state = watching.state()
    (release,) = state.releases()
    state.close()
    assert release.content["files"]["members"] == 200
    assert [Path(p).name for p in release.content["files"]["main"]] == ["HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc"]
    # The analysis beside it is no release; a member that comes anew is waited for, but changes no result.
    archive.mean("5.0.2.0", 25, name="HadCRUT.5.0.2.0.analysis.anomalies.ensemble_mean.nc", uncorrelated=False)
    assert (watching().code, watching.runs) == (0, 1)
    archive.members("5.0.2.0", range(200, 201), 25)
    assert (watching().code, watching.runs) == (codes.WAITING, 1)
    assert (watching().code, watching.runs) == (0, 1)
    assert len(watching.stages()) == 1


def test_an_ensemble_in_ten_zips_belongs_to_the_release(watching: Watching) -> None:
    watching.settings["settle_seconds"] = 3600.0
    archive = watching.archive
    archive.mean("5.0.2.0", 24)
    zips = archive.zips("5.0.2.0", 24)
    archive.build()
    assert len(zips) == 10
    assert [watching().code for _ in range(2)] == [codes.WAITING, 0]
    state = watching.state()
    (release,) = state.releases()
    state.close()
    assert release.content["files"]["archives"] == sorted(path.name for path in zips)
    with zips[3].open("ab") as file:  # still being copied
        file.write(b"half")
    assert [watching().code for _ in range(2)] == [codes.WAITING, 0]
    (archive.folder / "HadCRUT.5.0.2.0.anomalies.201_to_220_netcdf.zip").write_bytes(b"PK not a zip")
    assert [watching().code for _ in range(2)] == [codes.WAITING, 0]
    assert watching.runs == 1


def test_zips_in_the_catalogue_do_not_disturb_the_search(watching: Watching) -> None:
    import json

    archive = watching.archive
    archive.mean("5.0.2.0", 24)
    archive.build()
    path = archive.folder / "HadCRUT.5.0.2.0.anomalies.1_to_20_netcdf.zip"
    path.write_bytes(b"PK")
    content = json.loads(archive.catalogue.read_text())
    content["catalog_dict"].append({**content["catalog_dict"][0], "file": str(path), "ensemble": ""})
    archive.catalogue.write_text(json.dumps(content))
    found = search(open_catalogue(archive.catalogue), {"variable": "tas", "model": "HadCRUT5"})
    assert [p.name for p in found.main] == ["HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc"]
    assert any("archive" in item.reason for item in found.left_out)
    assert (watching().code, watching.runs) == (0, 1)


def test_a_duplicate_under_another_path_is_no_release(watching: Watching) -> None:
    archive = watching.archive
    path = archive.mean("5.0.2.0", 24)
    archive.build()
    watching()
    twin = archive.root / "A_copy" / path.name
    twin.parent.mkdir()
    shutil.copy(path, twin)
    archive.build()
    assert (watching().code, watching.runs) == (0, 1)
    # The same bytes under the name the file has at CEDA.
    shutil.copy(path, archive.root / "A_copy" / "HadCRUT.5.0.2.0_anomalies_ensemble-mean.nc")
    twin.unlink()
    archive.build()
    assert (watching().code, watching.runs) == (0, 1)
    assert len(watching.stages()) == 1


def test_a_withdrawn_release_stops_the_watch_until_someone_confirms(watching: Watching) -> None:
    archive = watching.archive
    archive.mean("5.0.1.0", 24)
    archive.build()
    watching()
    path = archive.mean("5.0.2.0", 25)
    archive.build()
    assert (watching().code, watching.runs) == (0, 2)
    path.unlink()
    path.with_name("HadCRUT.5.0.2.0.uncorrelated.nc").unlink()
    for _ in range(2):
        stopped = watching()
        assert (stopped.code, watching.runs) == (codes.STOPPED, 2)
        assert "withdrawn" in stopped.message
        assert watching.latest == "HadCRUT.5.0.2.0_199001-199201"
    decide(watching.output, accept=None, confirm=True, retry=False)
    assert (watching().code, watching.runs) == (0, 2)  # the older release was run already
    assert watching.latest == "HadCRUT.5.0.1.0_199001-199112"
    archive.mean("5.0.2.0", 25)  # and back again, with the same content
    assert watching().code == 0
    assert (watching.runs, watching.latest) == (2, "HadCRUT.5.0.2.0_199001-199201")


def test_when_nothing_is_left_the_current_release_stays(watching: Watching) -> None:
    path = watching.archive.mean("5.0.2.0", 24)
    watching.archive.build()
    watching()
    hidden = path.rename(path.with_suffix(".away"))
    stopped = watching()
    assert (stopped.code, watching.latest) == (codes.STOPPED, "HadCRUT.5.0.2.0_199001-199112")
    assert "not mounted" in stopped.message
    hidden.rename(path)
    assert (watching().code, watching.runs) == (0, 1)
    assert not [row for row in watching.state().stops() if row["open"]]


@pytest.mark.parametrize("kind", ["renamed", "shortened", "regridded", "mislabelled", "reverted"])
def test_what_is_not_as_before_stops_the_watch(kind: str, watching: Watching) -> None:
    archive = watching.archive
    path = archive.mean("5.0.2.0", 30)
    archive.build()
    assert watching().code == 0
    done = 1
    if kind == "renamed":
        path.rename(path.with_name("HadCRUT.5.0.2.0.anomalies.summary.nc"))
        archive.build()
    elif kind == "shortened":
        archive.mean("5.0.2.0", 29)
    elif kind == "regridded":
        from climrecon.grid import Grid

        archive.mean("5.0.2.0", 30, grid=Grid.regular(18, 36))
    elif kind == "mislabelled":
        archive.mean("5.0.2.0", 31, said="5.0.1.0")
    else:
        before = path.read_bytes(), path.with_name("HadCRUT.5.0.2.0.uncorrelated.nc").read_bytes()
        archive.mean("5.0.2.0", 31)
        assert watching().code == 0
        done = 2
        path.write_bytes(before[0])
        path.with_name("HadCRUT.5.0.2.0.uncorrelated.nc").write_bytes(before[1])
    current = watching.latest
    word = "withdrawn" if kind == "reverted" else kind
    for _ in range(2):
        stopped = watching()
        assert stopped.code == codes.STOPPED
        assert f"Stopped ({word})" in stopped.message
        assert (watching.runs, watching.latest) == (done, current)
    decide(watching.output, accept=None, confirm=True, retry=False)
    after = watching()
    assert after.code == 0, after.message
    assert watching.runs == done + (kind in ("shortened", "regridded", "mislabelled"))
    assert watching().code == 0


def test_other_settings_are_run_too(watching: Watching) -> None:
    watching.archive.mean("5.0.2.0", 24)
    watching.archive.build()
    watching()
    watching.raw["network"] = "idw"
    assert (watching().ran, watching.runs) == (True, 2)
    assert watching.latest == "HadCRUT.5.0.2.0_199001-199112_2"
    assert (watching().ran, watching.runs) == (False, 2)


def test_with_rebuild_new_files_are_found_without_anyone_writing_the_catalogue(watching: Watching) -> None:
    watching.settings["settle_seconds"] = 3600.0
    archive = watching.archive
    archive.mean("5.0.1.0", 24)
    assert [watching(rebuild=True).code for _ in range(3)] == [codes.WAITING, 0, 0]
    new = archive.mean("5.0.2.0", 25, folder=archive.root.parent / "elsewhere")
    target = archive.folder / new.name
    target.write_bytes(new.read_bytes()[:5000])
    assert watching(rebuild=True).code == codes.WAITING
    target.write_bytes(new.read_bytes())
    assert watching(rebuild=True).code == codes.WAITING
    assert (watching(rebuild=True).code, watching.runs) == (0, 2)
    assert watching.latest == "HadCRUT.5.0.2.0_199001-199201"
    assert (watching(rebuild=True).ran, watching.runs) == (False, 2)


def test_an_unreachable_catalogue_is_an_error_and_changes_nothing(watching: Watching) -> None:
    import functools
    import http.server
    import threading

    archive = watching.archive
    archive.mean("5.0.2.0", 24)
    archive.build()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(archive.catalogue.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        watching.raw["catalogue"] = f"http://127.0.0.1:{server.server_port}/catalogue.json"
        assert (watching().ran, watching().ran, watching.runs) == (True, False, 1)
        server.shutdown()
    for _ in range(2):
        with pytest.raises(NoDataError, match="cannot be reached"):
            watching()
    assert (watching.runs, watching.latest) == (1, "HadCRUT.5.0.2.0_199001-199112")
    archive.catalogue.write_text("{ half")
    watching.raw["catalogue"] = str(archive.catalogue)
    with pytest.raises(NoDataError, match="no valid JSON"):
        watching()
    archive.catalogue.unlink()  # a build would replace nothing but a catalogue of its own
    archive.build()
    assert (watching().code, watching.runs) == (0, 1)


def test_headers_give_months_grid_and_version(watching: Watching) -> None:
    path = watching.archive.mean("5.0.2.0", 24, said="5.0.1.0")
    header = detection.read_header([path], "tas")
    assert (header.version, header.stated_version, header.months) == ("5.0.2.0", "5.0.1.0", 24)
    assert (header.first, header.span) == (1990 * 12, "199001-199112")
    assert np.isfinite(field(2)).any()
