from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from climrecon.catalogue import open_catalogue, opening, search
from climrecon.catalogue.dialects import frequency
from climrecon.catalogue.roles import (
    ANCILLARY,
    COVARIANCE,
    MAIN,
    MEMBER,
    UNCORRELATED,
    member_number,
    role_of,
    version_in,
    why_infilled,
)
from climrecon.catalogue.versions import newest
from climrecon.errors import NoDataError

DEFAULTS = {"variable": "tas", "project": "observations", "time_frequency": "mon"}
FREVA = ("project", "product", "institute", "model", "experiment", "time_frequency", "realm", "variable", "ensemble")


def descriptor(asset: str, columns: tuple[str, ...], rows: list[dict[str, Any]] | None, csv: str | None = None) -> dict:
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
        self.columns: tuple[str, ...] = (*FREVA, "version")

    def add(self, name: str, exists: bool = True, **facets: Any) -> Path:
        path = self.folder / name
        if exists and "://" not in name:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        base = {"project": "observations", "model": "HadCRUT5", "time_frequency": "mon", "variable": ["tas"]}
        self.rows.append(
            {"file": name if "://" in name else str(path), **dict.fromkeys(FREVA, ""), "version": "", **base, **facets}
        )
        return path

    def catalogue(self) -> Any:
        path = self.folder / "catalogue.json"
        path.write_text(json.dumps(descriptor("file", self.columns, self.rows)))
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
    assert role_of("HadSST.4.0.1.0_median.nc") == MAIN
    assert role_of("HadSST.4.0.1.0_total_uncertainty.nc") == ANCILLARY
    assert role_of("HadSST.4.0.1.0_number_of_observations.nc") == ANCILLARY
    assert role_of("HadCRUT.4.6.0.0.uncorrelated_supplementary.nc") == ANCILLARY
    assert member_number("HadCRUT.5.0.0.0_anomalies_117.nc") == 117
    assert member_number("HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc") == 0


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/b/MOHC/HadGEM2-ES/historical/mon/atmos/Amon/r1i1p1/v20110418/tas/tas_Amon_HadGEM2-ES.nc", "v20110418"),
        ("/d/HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc", "5.0.2.0"),
        ("/d/HadCRUT.5.1.10.0.anomalies.ensemble_mean.nc", "5.1.10.0"),
        ("/d/HadCRUT.5.0.0.0_anomalies_ensemble-mean.nc", "5.0.0.0"),
        ("/d/CRUTEM.4.3.0.0.anomalies.nc", "4.3.0.0"),
        ("/d/HadSST.4.0.1.0_median.nc", "4.0.1.0"),
        ("/d/ersst_v3b_2x2_196001-200212.nc", "3b"),
        ("/d/gistemp1200_v4_5x5_base6190_188001-200212.nc", "4"),
        ("/d/nothing.nc", ""),
    ],
)
def test_versions_are_read_from_paths(path: str, version: str) -> None:
    assert version_in(path) == version


def test_versions_are_ordered_by_their_numbers() -> None:
    assert newest(["5.0.9.0", "5.0.10.0", "5.0.2.0"]) == "5.0.10.0"
    assert newest(["v20191108", "v20201108", "latest"]) == "v20201108"
    assert newest(["3", "3b", "3a"]) == "3b"
    assert newest([]) == ""


def test_infilled_products_are_told_by_name_folder_or_product() -> None:
    assert why_infilled("/d/HadCRUT.5.0.2.0.analysis.anomalies.ensemble_mean.nc")
    assert why_infilled("/obs/HadCRUT/HadCRUT5/analysis/v1/HadCRUT.5.0.0.0_anomalies_ensemble-mean.nc")
    assert why_infilled("/d/tas_mon_HadCRUT5.nc", "Analysis")
    # A user's own folder may be called so, and a producer's name is believed.
    assert why_infilled("/home/me/analysis/HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc") is None
    assert why_infilled("/obs/HadCRUT5/non-infilled/HadCRUT.5.0.0.0_anomalies_ensemble-mean.nc") is None


def test_one_frequency_has_many_names() -> None:
    assert {frequency(name) for name in ("mon", "Monthly", "Amon", "Omon", "1mon")} == {"mon"}
    assert frequency("", "OImon") == "mon"
    assert frequency("day") == "day"
    assert frequency("", "unknown") == ""


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


def test_versions_that_only_the_path_tells(archive: Archive) -> None:
    """Freva's exports have no version column: equal names in two version folders."""
    name = "tas_Amon_M_historical_r1i1p1_185001-200512.nc"
    archive.add(f"v20191108/{name}")
    new = archive.add(f"v20201108/{name}")
    found = search(archive.catalogue(), DEFAULTS)
    assert found.main == (new,)
    assert found.facets["version"] == "v20201108"
    assert found.notes == ("version v20201108 is taken, the newest of v20191108, v20201108",)


def test_a_release_with_members_alone_does_not_displace_the_mean(archive: Archive) -> None:
    mean = archive.add("HadCRUT.5.0.1.0.anomalies.ensemble_mean.nc")
    member = archive.add("HadCRUT.5.0.1.0.anomalies.3.nc")
    archive.add("HadCRUT.5.0.2.0.anomalies.3.nc")
    found = search(archive.catalogue(), DEFAULTS)
    assert (found.main, found.members) == ((mean,), (member,))
    assert any(item.reason == "version 5.0.2.0 is newer than 5.0.1.0" for item in found.left_out)


def test_a_newer_version_on_tape_and_months_that_are_not_here_are_said(archive: Archive) -> None:
    archive.add("HadCRUT.5.0.1.0.anomalies.ensemble_mean.nc")
    archive.add("slk:///arch/HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc")
    found = search(archive.catalogue(), DEFAULTS)
    assert found.notes == ("version 5.0.2.0 is newer than 5.0.1.0, but it is on tape or missing",)
    other = Archive(archive.folder)
    other.add("tas_185001-189912.nc")
    other.add("tas_190001-200512.nc", exists=False)
    found = search(other.catalogue(), DEFAULTS)
    assert found.notes == ("months of this data set are lacking: tas_190001-200512.nc is on tape or missing",)


def test_uncertainties_are_never_the_field(archive: Archive) -> None:
    archive.add("HadSST.4.0.1.0_measurement_and_sampling_uncertainty.nc")
    main = archive.add("HadSST.4.0.1.0_median.nc")
    found = search(archive.catalogue(), DEFAULTS)
    assert found.main == (main,)
    assert [item.reason for item in found.left_out] == ["it holds errors, counts or weights, not the field"]


def test_files_that_are_no_chunks_of_one_series_are_never_joined(archive: Archive) -> None:
    archive.add("CRUTEM.4.6.0.0.anomalies.nc", time_range="185001-201712")
    archive.add("CRUTEM.4.6.0.0.variance_adjusted.nc", time_range="185001-201712")
    with pytest.raises(NoDataError) as caught:
        search(archive.catalogue(), DEFAULTS)
    assert "hold the same months under different names" in str(caught.value)
    assert "CRUTEM.4.6.0.0.variance_adjusted.nc" in str(caught.value)
    assert "obs_file=" in str(caught.value)


def test_one_name_in_two_places(archive: Archive) -> None:
    first = archive.add("a/obs.nc")
    archive.add("b/obs.nc")
    found = search(archive.catalogue(), DEFAULTS)
    assert found.main == (first,)
    assert "the same file as" in found.left_out[0].reason
    first.write_bytes(b"more")
    with pytest.raises(NoDataError, match="bear the same name, but differ"):
        search(archive.catalogue(), DEFAULTS)


def test_of_files_that_start_together_the_longest_is_taken(archive: Archive) -> None:
    archive.add("tas_185001-189912.nc")
    long = archive.add("tas_185001-200012.nc")
    found = search(archive.catalogue(), DEFAULTS)
    assert found.main == (long,)
    assert found.notes == ()


def test_overlaps_are_noted(archive: Archive) -> None:
    paths = tuple(archive.add(f"tas_{span}.nc") for span in ("185001-190012", "190001-200012"))
    found = search(archive.catalogue(), DEFAULTS)
    assert found.main == paths
    assert found.notes == ("tas_185001-190012.nc and tas_190001-200012.nc overlap in 1900-01 to 1900-12",)


def test_any_value_a_table_and_producers_names(archive: Archive) -> None:
    path = archive.add("a.nc", variable=["tas_mean"], ensemble="r1i1p1")
    for facets in ({"ensemble": "*"}, {"ensemble": None}, {"time_frequency": "Amon"}, {"variable": "TAS"}):
        assert search(archive.catalogue(), {**DEFAULTS, **facets}, explicit=set(facets)).main == (path,)


def test_errors_are_found_with_an_ensemble_asked_for(archive: Archive) -> None:
    archive.add("HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc", ensemble="mean")
    member = archive.add("HadCRUT.5.0.2.0.anomalies.7.nc", ensemble="r7")
    errors = archive.add("HadCRUT.5.0.2.0.uncorrelated.nc", variable=["tas_unc"])
    found = search(archive.catalogue(), {**DEFAULTS, "ensemble": "R7"}, explicit={"ensemble"})
    assert found.main == (member,)
    assert found.uncorrelated == errors


def test_infilled_products_are_taken_only_where_allowed(archive: Archive) -> None:
    path = archive.add("HadCRUT.5.0.2.0.analysis.anomalies.ensemble_mean.nc", product="analysis")
    with pytest.raises(NoDataError, match="none can be used"):
        search(archive.catalogue(), DEFAULTS)
    assert search(archive.catalogue(), DEFAULTS, allow_infilled=True).main == (path,)


def test_what_the_user_says_counts_more_than_the_default(archive: Archive) -> None:
    first = archive.add("a.nc", model="HadCRUT5", institute="MOHC")
    second = archive.add("b.nc", model="CRUTEM4", institute="MOHC")
    archive.add("c.nc", model="GISTEMP", institute="NASA")
    with pytest.raises(NoDataError) as caught:
        search(archive.catalogue(), DEFAULTS, preferred={"model": "ERA"})
    assert str(caught.value) == (
        "3 data sets match variable=tas project=observations time_frequency=mon:\n"
        "  institute=MOHC model=HadCRUT5\n"
        "  institute=MOHC model=CRUTEM4\n"
        "  institute=NASA model=GISTEMP\n"
        "The site's default, model=ERA, is not among them.\n"
        "  -> Say which: model=…; for instance model=HadCRUT5"
    )
    preferred = {"model": "HadCRUT5"}
    by_institute = {**DEFAULTS, "institute": "mohc"}
    found = search(archive.catalogue(), by_institute, explicit={"institute"}, preferred=preferred)
    assert found.main == (first,)
    by_model = {**DEFAULTS, "model": "crutem4"}
    assert search(archive.catalogue(), by_model, explicit={"model"}, preferred=preferred).main == (second,)


def test_grids_are_never_mixed(archive: Archive) -> None:
    for grid in ("gn", "gr"):
        archive.add(f"tas_Amon_M_h_r1i1p1f1_{grid}_185001-201412.nc", grid_label=grid)
    archive.columns = (*FREVA, "version", "grid_label")
    with pytest.raises(NoDataError) as caught:
        search(archive.catalogue(), DEFAULTS)
    assert "grid_label=gn" in str(caught.value)
    assert "obs_file=" in str(caught.value)


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
    assert "Say which: model=…; for instance model=HadCRUT5" in str(caught.value)


def test_nothing_found_shows_the_search_what_there_is_and_the_closest(archive: Archive) -> None:
    archive.add("a.nc", model="HadCRUT5")
    archive.add("b.nc", model="CRUTEM4")
    with pytest.raises(NoDataError) as caught:
        search(archive.catalogue(), {**DEFAULTS, "model": "hadcrut"}, explicit={"model"})
    message = str(caught.value)
    assert "variable=tas project=observations time_frequency=mon model=hadcrut" in message
    assert "there is CRUTEM4, HadCRUT5; the closest is HadCRUT5" in message


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
    wanted = {"model": "m", "variable": "tas", "time_frequency": "mon", "ensemble": "r1i1p1", "institute": "i"}
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


def test_a_url_with_a_query_and_a_csv_beside_a_url(archive: Archive, served: str, tmp_path: Path) -> None:
    import pandas as pd

    path = archive.add("a.nc")
    archive.catalogue()
    asked = f"{served}/catalogue.json?project=observations&variable=tas"
    assert search(open_catalogue(asked), DEFAULTS).main == (path,)
    pd.DataFrame(archive.rows).to_csv(tmp_path / "c.csv.gz", index=False)
    (tmp_path / "beside.json").write_text(json.dumps(descriptor("file", FREVA, None, "c.csv.gz")))
    assert search(open_catalogue(f"{served}/beside.json"), DEFAULTS).main == (path,)


def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(opening, "TIMEOUT", 0.2)
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
    assert message.count("only files are read, no remote services") == 2
    assert message.count("the file does not exist") == 3
