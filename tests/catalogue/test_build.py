from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from climrecon.catalogue import build_catalogue, open_catalogue, search
from climrecon.demo import write_demo
from climrecon.demo.writing import is_demo
from climrecon.errors import NoDataError, OutputError

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


def small(path: Path, days: Any = (15.0, 45.0, 75.0), name: str = "tas", **about: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(path, "w") as file:
        file.setncatts(about)
        for dimension, size in (("time", len(days)), ("lat", 2), ("lon", 3)):
            file.createDimension(dimension, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units = "days since 1850-01-01"
        time[:] = days
        file.createVariable(name, "f4", ("time", "lat", "lon"))[:] = 0.0
    return path


def listed(folder: Path) -> dict[str, dict[str, Any]]:
    rows = json.loads(build_catalogue(folder).path.read_text())["catalog_dict"]
    return {Path(row["file"]).name: row for row in rows}


def test_facets_come_from_names_folders_and_attributes(tmp_path: Path) -> None:
    drs = "cmip5/output1/MOHC/HadGEM2-ES/historical/mon/atmos/Amon/r1i1p1/v20110418/tas"
    small(tmp_path / drs / "tas_Amon_HadGEM2-ES_historical_r1i1p1_185001-185003.nc", institute_id="MOHC",
          product="output", project_id="CMIP5")  # fmt: skip
    small(tmp_path / "tas_Amon_MPI-ESM1-2-LR_historical_r2i1p1f1_gn_185001-185003.nc", mip_era="CMIP6",
          activity_id="CMIP", institution_id="MPI-M")  # fmt: skip
    small(tmp_path / "renamed.nc", model_id="CCSM4", experiment_id="historical", realization=np.int32(3),
          initialization_method=np.int32(1), physics_version=np.int32(2), project_id="CMIP5")  # fmt: skip
    rows = listed(tmp_path)
    five = rows["tas_Amon_HadGEM2-ES_historical_r1i1p1_185001-185003.nc"]
    assert (five["product"], five["version"], five["ensemble"]) == ("output1", "v20110418", "r1i1p1")
    six = rows["tas_Amon_MPI-ESM1-2-LR_historical_r2i1p1f1_gn_185001-185003.nc"]
    assert (six["project"], six["product"], six["institute"]) == ("CMIP6", "CMIP", "MPI-M")
    assert (six["model"], six["ensemble"]) == ("MPI-ESM1-2-LR", "r2i1p1f1")
    assert (rows["renamed.nc"]["model"], rows["renamed.nc"]["ensemble"]) == ("CCSM4", "r3i1p2")
    assert {row["time_range"] for row in rows.values()} == {"185001-185003"}


@pytest.mark.parametrize(
    ("days", "frequency"),
    [((0.5, 1.5, 2.5), "day"), ((0.0, 0.25, 0.5), "hr"), ((15.0, 45.0, 75.0), "mon"), ((180.0, 545.0, 910.0), "yr"),
     ((15.0, 45.0, 75.0, 166.0), "mon"), ((10000.0, 16000.0), "mon")],
)  # fmt: skip
def test_the_time_axis_tells_the_frequency(tmp_path: Path, days: tuple[float, ...], frequency: str) -> None:
    small(tmp_path / "x.nc", days)
    assert listed(tmp_path)["x.nc"]["time_frequency"] == frequency


def test_months_are_those_that_the_reader_gives(tmp_path: Path) -> None:
    """ERA5's ``valid_time``, stamps at the end of the month, dates as text, decimal years."""
    for name, times in (
        ("valid_time", None),
        ("end", None),
        ("text", None),
        ("years", 1961 + (np.arange(12) + 0.5) / 12),
    ):
        with netCDF4.Dataset(tmp_path / f"{name}.nc", "w") as file:
            dimension = name if name == "valid_time" else "time"
            for size, one in ((12, dimension), (2, "lat"), (3, "lon")):
                file.createDimension(one, size)
            if name == "text":
                file.createVariable("time", str, ("time",))[:] = np.array(
                    [f"1961-{m:02d}-15" for m in range(1, 13)], object
                )
            else:
                time = file.createVariable(dimension, "f8", (dimension,))
                time.units = "year A.D." if name == "years" else "days since 1961-01-01"
                firsts = np.cumsum([31.0, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
                time[:] = times if times is not None else firsts - 16.0 if name == "valid_time" else firsts
            file.createVariable("tas", "f4", (dimension, "lat", "lon"))[:] = 0.0
    rows = listed(tmp_path)
    assert {(row["time_range"], row["time_frequency"]) for row in rows.values()} == {("196101-196112", "mon")}


@pytest.mark.parametrize(
    ("name", "cmor"),
    [("temperature_anomaly", "tas"), ("tas_mean", "tas"), ("tempanomaly", "tas"), ("air", "tas"), ("anom", "tas"),
     ("TREFHT", "tas"), ("tas_unc", "tas"), ("sst", "tos")],
)  # fmt: skip
def test_producers_names_are_mapped(tmp_path: Path, name: str, cmor: str) -> None:
    small(tmp_path / "x.nc", name=name)
    assert listed(tmp_path)["x.nc"]["variable"] == [cmor]


def test_a_title_that_says_infilled_is_believed(tmp_path: Path) -> None:
    """A file that was renamed is left out of searches all the same."""
    small(tmp_path / "hadcrut5_tas.nc", title="HadCRUT.5.0.2.0, infilled by a network")
    catalogue = open_catalogue(build_catalogue(tmp_path).path)
    assert catalogue.rows[0].facets["product"] == "analysis"
    with pytest.raises(NoDataError, match="filled already"):
        search(catalogue, DEFAULTS)


def test_the_analysis_is_left_out_and_the_gappy_fields_are_taken(tmp_path: Path) -> None:
    """In the pool of ESMValTool the names differ in one word, and a `product_id` does not hide it."""
    analysis = small(tmp_path / "OBS_HadCRUT5_ground_5.0.1.0-analysis_Amon_tas_185001-185003.nc", product_id="grid")
    other = small(tmp_path / "renamed.nc", source_id="HadCRUT-5-0-1-0-analysis")
    catalogue = open_catalogue(build_catalogue(tmp_path).path)
    with pytest.raises(NoDataError, match=r"filled already[\s\S]*allow_infilled=true"):
        search(catalogue, DEFAULTS)
    gappy = small(tmp_path / "OBS_HadCRUT5_ground_5.0.1.0-noninfilled_Amon_tas_185001-185003.nc")
    rows = listed(tmp_path)
    unknown = small(tmp_path / "tas_obs.nc", title="gap-filled temperature anomalies")
    assert listed(tmp_path)[unknown.name]["product"] == "analysis"
    assert {rows[path.name]["product"] for path in (analysis, other)} == {"analysis"}
    found = search(open_catalogue(tmp_path / "catalogue.json"), DEFAULTS)
    assert found.main == (gappy,)
    assert {item.path for item in found.left_out} == {str(path) for path in (analysis, other)}


def test_data_sets_of_shared_names_are_listed_by_their_titles(tmp_path: Path) -> None:
    small(tmp_path / "a" / "air.mon.anom.nc", name="air", title="CRUTEM4 Air Temperature Anomaly")
    small(tmp_path / "b" / "air.mon.anom.nc", name="air", title="HADCRUT4 Combined Air Temperature/SST Anomaly")
    small(tmp_path / "ersst.v5.185001.nc", name="anom", title="NOAA ERSSTv5")
    small(tmp_path / "HadCRUT.5.0.2.0.nc", title="GISTEMP v4")
    built = build_catalogue(tmp_path)
    rows = json.loads(built.path.read_text())["catalog_dict"]
    assert {(row["model"], *row["variable"]) for row in rows} == {
        ("CRUTEM4", "tas"),
        ("HadCRUT4", "tas"),
        ("ERSST", "tos"),
    }
    assert ["not clear which data set" in item.reason for item in built.left_out] == [True]


def test_each_kind_of_bad_file_has_its_reason(tmp_path: Path) -> None:
    good = small(tmp_path / "good.nc")
    small(tmp_path / "other.nc", name="wind")
    (tmp_path / "empty.nc").touch()
    (tmp_path / "text.nc").write_text("<html>not found</html>")
    (tmp_path / "cut.nc").write_bytes(good.read_bytes()[:1500])
    built = build_catalogue(tmp_path)
    reasons = {Path(item.path).name: item.reason for item in built.left_out}
    assert built.n_files == 1
    assert reasons["empty.nc"] == "it is empty"
    assert reasons["text.nc"] == "it is no netCDF file, whatever its name says: it is a web page or XML, not data"
    assert reasons["cut.nc"].startswith("it is damaged or truncated")
    assert reasons["other.nc"] == "no known variable; it holds time, wind"


def test_compressed_files_are_listed_and_archives_named_with_the_command(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("CLIMRECON_UNPACKED", str(tmp_path / "cache"))
    folder = tmp_path / "files"
    drs = "tas_Amon_MPI-ESM-LR_historical_r2i1p1_185001-185003.nc"
    content = small(tmp_path / drs, frequency="monthly mean").read_bytes()
    folder.mkdir()
    (folder / f"{drs}.gz").write_bytes(gzip.compress(content))
    with zipfile.ZipFile(folder / "members.zip", "w") as archive:
        archive.writestr("a.nc", content)
        archive.writestr("b.nc", content)
    with zipfile.ZipFile(folder / "papers.zip", "w") as archive:
        archive.writestr("a.pdf", "text")
    (folder / "x.zarr").mkdir()
    (folder / "x.zarr" / ".zgroup").write_text("{}")
    (folder / "damaged.nc.gz").write_bytes(gzip.compress(content)[:100])
    built = build_catalogue(folder)
    (row,) = json.loads(built.path.read_text())["catalog_dict"]
    assert (row["model"], row["ensemble"], row["time_range"]) == ("MPI-ESM-LR", "r2i1p1", "185001-185003")
    assert row["time_frequency"] == "mon"
    reasons = {Path(item.path).name: item.reason for item in built.left_out}
    assert set(reasons) == {"members.zip", "x.zarr", "damaged.nc.gz"}
    assert reasons["members.zip"].startswith("it is a zip of 2 netCDF files; unpack it: unzip '")
    assert "Zarr store" in reasons["x.zarr"]
    assert "damaged or cut short" in reasons["damaged.nc.gz"]


def test_a_catalogue_that_cannot_be_written(tmp_path: Path) -> None:
    small(tmp_path / "x.nc")
    with pytest.raises(OutputError, match="cannot be written"):
        build_catalogue(tmp_path, tmp_path / "absent" / "c.json")


def test_months_are_read_from_the_files_where_neither_name_nor_catalogue_says(tmp_path: Path) -> None:
    late, early = (
        small(tmp_path / "b" / "part_b.nc", (75.0, 105.0)),
        small(tmp_path / "a" / "part_z.nc", (15.0, 45.0)),
    )
    built = build_catalogue(tmp_path)
    content = json.loads(built.path.read_text())
    for row in content["catalog_dict"]:
        row.update(time_range="", project="observations", model="X")
    built.path.write_text(json.dumps(content))
    found = search(open_catalogue(built.path), DEFAULTS)
    assert found.main == (early, late)
    assert found.notes == ()


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, climrecon.catalogue\n"
        "heavy = {'numpy', 'pandas', 'netCDF4', 'intake_esm', 'xarray'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


def test_unreadable_files_are_left_out_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "text.nc").write_text("no netCDF")
    with pytest.raises(NoDataError, match=r"text\.nc"):
        build_catalogue(tmp_path)
    assert not (tmp_path / "catalogue.json").exists()


@pytest.mark.shared
def test_real_observations_are_all_found(shared_data: Path, tmp_path: Path) -> None:
    built = build_catalogue(shared_data / "observations", tmp_path / "c.json")
    assert built.n_files == 5
    catalogue = open_catalogue(built.path)
    for model in ("HadCRUT4", "CRUTEM4", "GISTEMP"):
        assert len(search(catalogue, {**DEFAULTS, "model": model}, explicit={"model"}).main) == 1
    assert search(catalogue, {**DEFAULTS, "variable": "tos"}, explicit={"variable"}).facets["model"] == "ERSST"
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


@pytest.mark.parametrize("content", ["CDF of others", '{"id": "dkrz", "description": "pool"}', "[1]", "{"])
def test_files_of_others_are_not_replaced_by_a_catalogue(tmp_path: Path, content: str) -> None:
    target = tmp_path / "catalogue.json"
    target.write_text(content)
    with pytest.raises(OutputError, match="is there already") as caught:
        build_catalogue(tmp_path)
    assert "--output" in str(caught.value.hint)
    assert target.read_text() == content


def test_a_demo_replaces_nothing_but_a_demo(tmp_path: Path) -> None:
    observations = tmp_path / "observations" / "HadCRUT5" / "HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc"
    observations.parent.mkdir(parents=True)
    observations.write_bytes(b"mine")
    with pytest.raises(OutputError, match="no file of a demo"):
        write_demo(tmp_path)
    assert observations.read_bytes() == b"mine"
    observations.unlink()
    (tmp_path / "catalogue.json").write_text('{"id": "pool"}')
    with pytest.raises(OutputError, match="is there already"):
        write_demo(tmp_path)


def test_a_demo_knows_its_own_files(demo: Path) -> None:
    assert all(is_demo(path) for path in demo.rglob("*.nc"))
