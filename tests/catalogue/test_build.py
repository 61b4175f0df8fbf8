from __future__ import annotations

import json
from pathlib import Path

import pytest

from climrecon.catalogue import build_catalogue, open_catalogue, search
from climrecon.errors import NoDataError

DEFAULTS = {"variable": "tas", "project": "observations", "time_frequency": "mon"}


def test_the_demo_catalogue_answers_the_default_search(demo: Path) -> None:
    found = search(open_catalogue(demo / "catalogue.json"), DEFAULTS, preferred={"model": "HadCRUT5"})
    assert [path.name for path in found.main] == ["HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc"]
    assert len(found.members) == 2
    assert found.uncorrelated is not None
    names = {Path(item.path).name for item in found.left_out}
    assert {"HadCRUT.5.0.2.0.analysis.anomalies.ensemble_mean.nc", "HadCRUT.5.0.2.0.truth.nc"} <= names


def test_models_are_listed_by_their_drs(demo: Path) -> None:
    wanted = {"project": "cmip5", "variable": "tas", "model": "demo-gauss", "ensemble": "r1i1p1"}
    found = search(open_catalogue(demo / "catalogue.json"), wanted, explicit=set(wanted))
    assert len(found.main) == 2
    assert found.facets["version"] == "v20120101"
    assert found.facets["institute"] == "DEMO"
    assert not any("hole" in note for note in found.notes)


def test_unreadable_files_are_left_out_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "text.nc").write_text("no netCDF")
    with pytest.raises(NoDataError, match=r"text\.nc"):
        build_catalogue(tmp_path)
    assert not (tmp_path / "catalogue.json").exists()


@pytest.mark.shared
def test_real_observations_are_all_found(shared_data: Path, tmp_path: Path) -> None:
    built = build_catalogue(shared_data / "observations", tmp_path / "c.json")
    assert built.n_files == 4
    catalogue = open_catalogue(built.path)
    for model in ("HadCRUT4", "CRUTEM4", "GISTEMP"):
        assert len(search(catalogue, {**DEFAULTS, "model": model}, explicit={"model"}).main) == 1
    assert (
        search(catalogue, {**DEFAULTS, "variable": "tos"}, explicit={"variable"}).facets["model"] == "ERSST"
    )
    rows = json.loads(built.path.read_text())["catalog_dict"]
    spans = {row["model"]: row["time_range"] for row in rows}
    assert spans["CRUTEM4"] == "185001-200212"


@pytest.mark.shared
def test_real_training_files_are_listed(shared_data: Path, tmp_path: Path) -> None:
    built = build_catalogue(shared_data / "training", tmp_path / "c.json")
    rows = json.loads(built.path.read_text())["catalog_dict"]
    assert len(rows) == 13
    assert {row["experiment"] for row in rows if row["model"] == "CMCC-CESM"} == {"historical", "rcp85"}
    assert all(row["variable"] == ["tas"] for row in rows)
    assert sum(row["time_frequency"] == "yr" for row in rows) == 8
