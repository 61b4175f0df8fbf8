"""Which files of a catalogue a search takes, which it leaves out, and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from catalogue.conftest import DEFAULTS, FREVA, Archive, descriptor
from climrecon.catalogue import open_catalogue, search
from climrecon.errors import NoDataError


def test_a_data_set_is_found_whatever_the_case(archive: Archive) -> None:
    path = archive.add("HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc", model="hadcrut5", version="5.0.2.0")
    found = search(archive.catalogue(), {**DEFAULTS, "model": "HadCRUT5"}, explicit={"model"})
    assert found.main == (path,)
    assert found.facets["version"] == "5.0.2.0"


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
    archive.add("tas_mon_climrecon-punet6_HadCRUT.nc", product="reconstruction")
    found = search(archive.catalogue(), DEFAULTS)
    assert found.main == (path,)
    reasons = {Path(item.path).name: item.reason for item in found.left_out}
    assert "filled already" in reasons["HadCRUT.5.0.2.0.analysis.anomalies.ensemble_mean.nc"]
    assert "tape" in reasons["HadCRUT.5.0.1.0.anomalies.ensemble_mean.nc"]
    assert "does not exist" in reasons["gone.nc"]
    assert "only if asked for" in reasons["tas_mon_climrecon-punet6_HadCRUT.nc"]


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
    assert found.notes == ("version 5.0.2.0 is newer than 5.0.1.0, but it is on tape, missing or not readable",)
    other = Archive(archive.folder)
    other.add("tas_185001-189912.nc")
    other.add("tas_190001-200512.nc", exists=False)
    found = search(other.catalogue(), DEFAULTS)
    assert found.notes == (
        "months of this data set are lacking: tas_190001-200512.nc is on tape, missing or not readable",
    )


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
