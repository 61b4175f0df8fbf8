"""Catalogues of every dialect, at every place, and broken ones."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from catalogue.conftest import DEFAULTS, FREVA, Archive, descriptor
from climrecon import servers
from climrecon.catalogue import open_catalogue, search
from climrecon.errors import NoDataError


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
    wanted = {"model": "m", "variable": "tas", "time_frequency": "mon", "ensemble": "r1i1p1", "institute": "i"}
    found = search(open_catalogue(tmp_path / "c.json"), wanted, explicit=set(wanted))
    assert found.main == (path,)


def test_a_catalogue_at_a_url(archive: Archive, served: str) -> None:
    path = archive.add("a.nc")
    archive.catalogue()
    assert search(open_catalogue(f"{served}/catalogue.json"), DEFAULTS).main == (path,)
    with pytest.raises(NoDataError, match="cannot be reached"):
        open_catalogue(f"{served}/nothing.json")


def test_a_url_with_a_query_and_a_csv_beside_a_url(archive: Archive, served: str, tmp_path: Path) -> None:
    import pandas as pd

    path = archive.add("a.nc")
    archive.catalogue()
    asked = f"{served}/catalogue.json?project=observations&variable=tas"
    assert search(open_catalogue(asked), DEFAULTS).main == (path,)
    pd.DataFrame(archive.rows).to_csv(tmp_path / "c.csv.gz", index=False)
    (tmp_path / "beside.json").write_text(json.dumps(descriptor("file", FREVA, None, "c.csv.gz")))
    assert search(open_catalogue(f"{served}/beside.json"), DEFAULTS).main == (path,)


def test_a_yaml_catalogue_of_one_or_several_descriptors(archive: Archive, tmp_path: Path) -> None:
    path = archive.add("HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc")
    archive.catalogue()
    source = (
        "  {}:\n    driver: intake_esm.core.esm_datastore\n    args:\n      {}: '{{{{CATALOG_DIR}}}}/catalogue.json'\n"
    )
    main = tmp_path / "main.yaml"
    main.write_text("description: main\nsources:\n" + source.format("one", "obj"))
    assert search(open_catalogue(main), DEFAULTS).main == (path,)
    main.write_text("sources:\n" + source.format("one", "obj") + source.format("two", "esmcol_obj"))
    with pytest.raises(NoDataError, match=r"YAML catalogue of 2 catalogues:\n  one: .*catalogue\.json") as caught:
        open_catalogue(main)
    assert "Give the JSON of one of them" in caught.value.hint
    for text in ("sources: {a: {driver: csv, args: {urlpath: x}}}", "- a list", "a: [b"):
        main.write_text(text)
        with pytest.raises(NoDataError, match="YAML") as caught:
            open_catalogue(main)
        assert "JSON descriptor" in caught.value.hint


def test_a_table_without_its_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc"
    path.write_bytes(b"")
    text = f"project,model,frequency,variable_id,uri\nobservations,HadCRUT5,P1M,\"['tas']\",{path.name}\n"
    for name, content in (("c.csv", text.encode()), ("c.csv.gz", gzip.compress(text.encode()))):
        (tmp_path / name).write_bytes(content)
        assert search(open_catalogue(tmp_path / name), DEFAULTS).main == (path,)
    (tmp_path / "c.csv").write_text("a,b\n1,2\n")
    with pytest.raises(NoDataError, match=r"no column of files .* it has a, b") as caught:
        open_catalogue(tmp_path / "c.csv")
    assert "JSON descriptor" in caught.value.hint


def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(servers, "SILENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/c.json"
        with pytest.raises(NoDataError, match=r"cannot be reached: .*timed out"):
            open_catalogue(url)


def test_home_folders_and_relative_entries(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive.add("a.nc")
    archive.rows[0]["file"] = "a.nc"
    archive.catalogue()
    monkeypatch.setenv("HOME", str(archive.folder))
    assert search(open_catalogue("~/catalogue.json"), DEFAULTS).main == (path,)


def test_entries_of_mixed_types(archive: Archive) -> None:
    """Real catalogues mix lists with texts and numbers with texts, and some cells only appear late."""
    for number in range(150):
        archive.add(f"other{number}.nc", exists=False, model="X", version=20120101 + number, realm=None)
    path = archive.add("a.nc", variable="tas", version="v3", realm="atmos", late="yes")
    found = search(archive.catalogue(), {**DEFAULTS, "model": "HadCRUT5", "realm": "atmos"})
    assert found.main == (path,)
    assert found.facets["version"] == "v3"


def test_an_empty_catalogue_a_missing_csv_and_a_wrong_asset_column(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(NoDataError, match="lists no files"):
        search(archive.catalogue(), DEFAULTS, explicit={"variable"})
    (tmp_path / "b.json").write_text(json.dumps(descriptor("file", FREVA, None, "gone.csv")))
    with pytest.raises(NoDataError, match=r"cannot be read.*gone\.csv"):
        open_catalogue(tmp_path / "b.json")
    (tmp_path / "w.json").write_text(json.dumps(descriptor("uri", FREVA, [{"file": "a.nc", "model": "X"}])))
    with pytest.raises(NoDataError, match="has no column 'uri'.*it has file, model"):
        open_catalogue(tmp_path / "w.json")


@pytest.mark.parametrize(
    ("text", "word"), [("{", "no valid JSON"), ("[]", "no intake-esm catalogue"), ('{"assets": 1}', "cannot be read")]
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


@pytest.mark.shared
def test_tape_entries_of_a_real_export_are_named_as_such(shared_data: Path) -> None:
    catalogue = open_catalogue(shared_data / "catalogues" / "cmip6_uri.json")
    assert {row.facets["version"] for row in catalogue.rows} == {"v20191108", "v20201108", "v20190815"}
    with pytest.raises(NoDataError) as caught:
        search(catalogue, {"variable": "UA", "time_frequency": "mon"})
    message = str(caught.value)
    assert "matches 7 files, but none can be used" in message
    assert message.count("it is on tape; retrieve it first") == 2
    assert message.count("it is an address; download it") == 2
    assert message.count("the file does not exist") == 3
