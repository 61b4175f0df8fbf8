from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from climrecon.errors import InputDataError
from climrecon.workflow.manifest import LONGEST_CAPTION, read_manifest, short, write_manifest
from climrecon.workflow.provenance import Activity, OutputFile, read_provenance, write_provenance

SETTINGS = {"variable": "tas", "obs_file": "/a b/ü 'x'.nc", "period": None, "realisations": 3}


def activity() -> Activity:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return Activity(
        "7", now, now, "someone", SETTINGS, {"climrecon": "1", "intake-esm": "2"}, "net", "ab", [("/a.nc", "cd")], "ef"
    )


def test_provenance_is_valid_prov_and_can_be_read_back(tmp_path: Path) -> None:
    from prov.model import ProvDocument

    entry = OutputFile("x.nc", "reconstruction", "caption", "ff", "0123")
    path = tmp_path / "provenance.json"
    write_provenance(path, activity(), [entry])
    document = ProvDocument.deserialize(path, format="json")
    kinds = [type(record).__name__ for record in document.get_records()]
    assert kinds.count("ProvGeneration") == 1
    assert kinds.count("ProvDerivation") == 2
    recorded = read_provenance(path)
    assert recorded.settings == SETTINGS
    assert recorded.inputs == {"/a.nc": "cd"}
    assert recorded.outputs == {"x.nc": "0123"}
    assert (recorded.network, recorded.network_sha256) == ("net", "ab")


def test_other_networks_are_used_recorded_and_read_back(tmp_path: Path) -> None:
    from prov.model import ProvDocument

    entry = OutputFile("x.nc", "reconstruction", "caption", "ff", "0123")
    path = tmp_path / "provenance.json"
    write_provenance(path, replace(activity(), other_networks=[("b", "12"), ("c", "34")]), [entry])
    records = [type(r).__name__ for r in ProvDocument.deserialize(path, format="json").get_records()]
    assert (records.count("ProvUsage"), records.count("ProvDerivation")) == (5, 4)
    assert read_provenance(path).other_networks == {"b": "12", "c": "34"}
    assert read_provenance(path).network == "net"


def test_notes_with_their_evidence_are_recorded(tmp_path: Path) -> None:
    path = tmp_path / "provenance.json"
    notes = ("data set HadCRUT.4, by its title ('HADCRUT4')", "the base period is 1850-1900, by its comment")
    write_provenance(path, replace(activity(), notes=notes), [])
    (run,) = json.loads(path.read_text())["activity"].values()
    assert sorted(run["climrecon:note"]) == sorted(notes)


def test_provenance_uses_the_vocabulary_of_the_standard(tmp_path: Path) -> None:
    from prov.model import PROV, PROV_TYPE, ProvDocument

    path = tmp_path / "provenance.json"
    write_provenance(path, activity(), [])
    document = ProvDocument.deserialize(path, format="json")

    def kind(name: str) -> set:
        (record,) = document.get_record(document.valid_qualified_name(name))
        return set(record.get_attribute(PROV_TYPE))

    assert kind("climrecon:software") == {PROV["SoftwareAgent"]}
    assert kind("user") == {PROV["Person"]}
    assert kind("settings") == {PROV["Plan"]}
    kinds = [type(record).__name__ for record in document.get_records()]
    assert kinds.count("ProvUsage") == 3  # network, settings, one input
    assert kinds.count("ProvAssociation") == 2
    assert kinds.count("ProvDelegation") == 1


def test_a_run_without_a_user_name_has_no_person(tmp_path: Path) -> None:
    path = tmp_path / "provenance.json"
    write_provenance(path, replace(activity(), user=""), [])
    assert list(json.loads(path.read_text())["agent"]) == ["climrecon:software"]
    assert read_provenance(path).settings == SETTINGS


@pytest.mark.parametrize("text", ["{}", "[]", "no", '{"entity": {}, "activity": {}}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(InputDataError, match="no provenance file"):
        read_provenance(tmp_path / "p.json")


def test_the_manifest_lists_files(tmp_path: Path) -> None:
    entry = OutputFile("a.png", "figure", "caption", "ff")
    write_manifest(tmp_path, "7", "ef", {"model": "m"}, [entry])
    manifest = read_manifest(tmp_path)
    assert manifest["outputs"] == [{"path": "a.png", "role": "figure", "caption": "caption", "sha256": "ff"}]
    assert (manifest["schema"], manifest["status"]) == (1, "done")
    json.dumps(manifest)
    with pytest.raises(InputDataError, match="no finished run"):
        read_manifest(tmp_path / "none")


def test_captions_fit_the_host() -> None:
    assert short("one\n two") == "one two"
    assert len(short("word " * 100)) <= LONGEST_CAPTION
    assert short("word " * 100).endswith("word …")
    assert LONGEST_CAPTION < 120
    first = "HadCRUT.5.0.2.0, 1877-09: 25 % of the globe observed (NH 33 %, SH 17 %)."
    assert short(f"{first} Nino 3.4 (box) +2.10 K (90 % within 0.50 K), 30 % of the box observed. K.") == first
