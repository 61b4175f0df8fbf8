from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from climrecon.catalogue import open_catalogue, search
from climrecon.catalogue.roles import COVARIANCE, MAIN, MEMBER, UNCORRELATED, role_of
from climrecon.errors import NoDataError

DEFAULTS = {"variable": "tas", "project": "observations", "time_frequency": "mon"}
FREVA = (
    "project",
    "product",
    "institute",
    "model",
    "experiment",
    "time_frequency",
    "realm",
    "variable",
    "ensemble",
)


def descriptor(
    asset: str, columns: tuple[str, ...], rows: list[dict[str, Any]] | None, csv: str | None = None
) -> dict:
    content: dict[str, Any] = {
        "esmcat_version": "0.1.0",
        "id": "test",
        "attributes": [{"column_name": name, "vocabulary": ""} for name in columns],
        "assets": {"column_name": asset, "format": "netcdf"},
        "aggregation_control": {
            "variable_column_name": "variable" if "variable" in columns else "variable_id",
            "groupby_attrs": [columns[0]],
            "aggregations": [],
        },
    }
    return {**content, "catalog_dict": rows} if csv is None else {**content, "catalog_file": csv}


class Archive:
    """A folder of empty files and a catalogue over them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.rows = folder, []

    def add(self, name: str, exists: bool = True, **facets: Any) -> Path:
        path = self.folder / name
        if exists and "://" not in name:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        base = {"project": "observations", "model": "HadCRUT5", "time_frequency": "mon", "variable": ["tas"]}
        self.rows.append(
            {
                "file": name if "://" in name else str(path),
                **dict.fromkeys(FREVA, ""),
                "version": "",
                **base,
                **facets,
            }
        )
        return path

    def catalogue(self) -> Any:
        path = self.folder / "catalogue.json"
        path.write_text(json.dumps(descriptor("file", (*FREVA, "version"), self.rows)))
        return open_catalogue(path)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def test_a_data_set_is_found_whatever_the_case(archive: Archive) -> None:
    path = archive.add("HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc", model="hadcrut5", version="5.0.2.0")
    found = search(archive.catalogue(), {**DEFAULTS, "model": "HadCRUT5"}, explicit={"model"})
    assert found.main == (path,)
    assert found.facets["version"] == "5.0.2.0"


def test_roles_of_hadcrut_files() -> None:
    assert role_of("a/HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc") == MAIN
    assert role_of("HadCRUT.5.0.0.0_anomalies_ensemble-mean.nc") == MAIN
    assert role_of("HadCRUT.4.6.0.0.median.nc") == MAIN
    assert role_of("HadCRUT.5.0.2.0.anomalies.17.nc") == MEMBER
    assert role_of("HadCRUT.5.0.0.0_anomalies_117.nc") == MEMBER
    assert role_of("HadCRUT.5.0.2.0.uncorrelated.nc") == UNCORRELATED
    assert role_of("HadCRUT.5.0.2.0.error_covariance.185001.nc") == COVARIANCE
    assert role_of("CRUTEM.5.0.2.0.anomalies.nc") == MAIN


def test_members_and_errors_belong_to_their_mean(archive: Archive) -> None:
    mean = archive.add("HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc", ensemble="mean")
    members = [archive.add(f"HadCRUT.5.0.2.0.anomalies.{n}.nc", ensemble=f"r{n}") for n in (10, 2)]
    errors = archive.add("HadCRUT.5.0.2.0.uncorrelated.nc")
    found = search(archive.catalogue(), DEFAULTS)
    assert found.main == (mean,)
    assert found.members == (members[1], members[0])
    assert found.uncorrelated == errors


def test_what_is_left_out_and_why(archive: Archive) -> None:
    path = archive.add("HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc")
    archive.add("HadCRUT.5.0.2.0.analysis.anomalies.ensemble_mean.nc", product="analysis")
    archive.add("slk:///arch/HadCRUT.5.0.1.0.anomalies.ensemble_mean.nc")
    archive.add("gone.nc", exists=False)
    archive.add("tas_mon_climrecon-punet5_HadCRUT.nc", product="reconstruction")
    found = search(archive.catalogue(), DEFAULTS)
    assert found.main == (path,)
    reasons = {Path(item.path).name: item.reason for item in found.left_out}
    assert "filled already" in reasons["HadCRUT.5.0.2.0.analysis.anomalies.ensemble_mean.nc"]
    assert "tape" in reasons["HadCRUT.5.0.1.0.anomalies.ensemble_mean.nc"]
    assert "does not exist" in reasons["gone.nc"]
    assert "only if asked for" in reasons["tas_mon_climrecon-punet5_HadCRUT.nc"]


def test_the_newest_version_wins_by_number_not_by_letter(archive: Archive) -> None:
    for version in ("5.0.9.0", "5.0.10.0", "5.0.2.0"):
        archive.add(f"HadCRUT.{version}.anomalies.ensemble_mean.nc", version=version)
    found = search(archive.catalogue(), DEFAULTS)
    assert [path.name for path in found.main] == ["HadCRUT.5.0.10.0.anomalies.ensemble_mean.nc"]
    assert any("5.0.10.0 is taken, the newest" in note for note in found.notes)
    assert {"version 5.0.9.0 is older than 5.0.10.0"} <= {item.reason for item in found.left_out}


def test_chunks_holes_and_overlaps(archive: Archive) -> None:
    names = ("190101-195012", "195101-200012", "200201-201012")
    paths = [archive.add(f"tas_{name}.nc", model="X", time_range=name) for name in names]
    archive.add("tas_196001-196912.nc", model="X")
    found = search(archive.catalogue(), {**DEFAULTS, "model": "X"}, explicit={"model"})
    assert found.main == tuple(paths)
    assert any("hole of 12 months, from 2001-01" in note for note in found.notes)
    assert any("are in tas_195101-200012.nc already" in item.reason for item in found.left_out)


def test_several_data_sets_need_a_choice_or_a_default(archive: Archive) -> None:
    first = archive.add("a.nc", model="HadCRUT5")
    archive.add("b.nc", model="CRUTEM4")
    assert search(archive.catalogue(), DEFAULTS, preferred={"model": "hadcrut5"}).main == (first,)
    with pytest.raises(NoDataError) as caught:
        search(archive.catalogue(), DEFAULTS)
    assert "2 data sets match" in str(caught.value)
    assert "model=CRUTEM4" in str(caught.value)
    assert "Say which: model=…" in str(caught.value)


def test_nothing_found_shows_the_search_what_there_is_and_the_closest(archive: Archive) -> None:
    archive.add("a.nc", model="HadCRUT5")
    archive.add("b.nc", model="CRUTEM4")
    with pytest.raises(NoDataError) as caught:
        search(archive.catalogue(), {**DEFAULTS, "model": "hadcrut"}, explicit={"model"})
    message = str(caught.value)
    assert "variable=tas project=observations time_frequency=mon model=hadcrut" in message
    assert "there is CRUTEM4, HadCRUT5; the closest is hadcrut5" in message


def test_a_facet_without_a_column_is_an_error_only_if_given(tmp_path: Path) -> None:
    path = tmp_path / "x.nc"
    path.write_bytes(b"")
    columns = ("model", "variable")
    (tmp_path / "c.json").write_text(
        json.dumps(descriptor("file", columns, [{"file": str(path), "model": "X", "variable": "tas"}]))
    )
    catalogue = open_catalogue(tmp_path / "c.json")
    assert search(catalogue, DEFAULTS).main == (path,)
    with pytest.raises(NoDataError, match="no column for project"):
        search(catalogue, DEFAULTS, explicit={"project"})


@pytest.mark.parametrize(
    ("asset", "row"),
    [
        ("uri", {"project": "CMIP5", "product": "output1", "institution_id": "I", "model_id": "M", "experiment": "historical",
                 "time_frequency": "mon", "realm": "atmos", "variable": ["tas"], "member_id": "r1i1p1", "cmor_table": "Amon"}),
        ("uri", {"mip_era": "CMIP5", "activity_id": "CMIP", "institution_id": "I", "source_id": "M", "experiment_id": "historical",
                 "frequency": "mon", "realm": "atmos", "variable_id": ["tas"], "member_id": "r1i1p1", "table_id": "Amon"}),
        ("uri", {"project": "CMIP5", "product_id": "p", "institute_id": "I", "experiment_id": "historical", "member": "r1i1p1",
                 "model_id": "M", "frequency": "mon", "variable_id": "tas", "version": "v1", "time_range": "185001-200512"}),
        ("path", {"product_id": "p", "model": "M", "institute": "I", "experiment": "historical", "ensemble_member": "r1i1p1",
                  "mip_table": "Amon", "variable": "tas", "modeling_realm": "atmos", "version": "v1", "temporal_subset": "185001-200512"}),
    ],
    ids=["freva-cmip5", "freva-cmip6", "dkrz-cmip6", "dkrz-cmip5"],
)  # fmt: skip
@pytest.mark.parametrize("beside", [False, True], ids=["inline", "csv"])
def test_every_dialect(tmp_path: Path, asset: str, row: dict[str, Any], beside: bool) -> None:
    import pandas as pd

    path = tmp_path / "tas_Amon_M_historical_r1i1p1_185001-200512.nc"
    path.write_bytes(b"")
    rows = [{asset: f"file://{path}", **row}]
    if beside:
        pd.DataFrame(rows).to_csv(tmp_path / "c.csv", index=False)
    content = descriptor(asset, tuple(row), None if beside else rows, "c.csv" if beside else None)
    (tmp_path / "c.json").write_text(json.dumps(content))
    wanted = {
        "model": "m",
        "variable": "tas",
        "time_frequency": "mon",
        "ensemble": "r1i1p1",
        "institute": "i",
    }
    found = search(open_catalogue(tmp_path / "c.json"), wanted, explicit=set(wanted))
    assert found.main == (path,)


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    handler = functools.partial(Silent, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_catalogue_at_a_url(archive: Archive, served: str) -> None:
    path = archive.add("a.nc")
    archive.catalogue()
    assert search(open_catalogue(f"{served}/catalogue.json"), DEFAULTS).main == (path,)
    with pytest.raises(NoDataError, match="cannot be reached"):
        open_catalogue(f"{served}/nothing.json")


@pytest.mark.parametrize(
    ("text", "word"),
    [("{", "no valid JSON"), ("[]", "no intake-esm catalogue"), ('{"assets": 1}', "cannot be read")],
)
def test_broken_catalogues(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(NoDataError, match=word):
        open_catalogue(tmp_path / "c.json")
    with pytest.raises(NoDataError, match="cannot be reached"):
        open_catalogue(tmp_path / "absent.json")


@pytest.mark.shared
@pytest.mark.parametrize("name", ["freva_file", "cmip5_uri", "cmip6_uri"])
def test_real_exports_are_searched_and_their_tape_entries_named(shared_data: Path, name: str) -> None:
    catalogue = open_catalogue(shared_data / "catalogues" / f"{name}.json")
    assert len(catalogue.rows) == 7
    with pytest.raises(NoDataError) as caught:
        search(catalogue, {"variable": "ua", "time_frequency": "mon"})
    assert "none can be used" in str(caught.value)
    assert ("does not exist" in str(caught.value)) or ("tape" in str(caught.value))
