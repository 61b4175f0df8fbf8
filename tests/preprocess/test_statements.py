"""What files state of themselves: data set, variable, base period, filled gaps; contradictions are refused."""

import netCDF4
import numpy as np
import observation_files as files
import pytest

from climrecon.datasets import Stated, canonical_variable, release_of, why_infilled
from climrecon.errors import InputDataError
from climrecon.preprocess import PrepareRequest, read_observations
from climrecon.preprocess.base_period import base_period

INDEX = files.month_numbers(1961, 36)
SHAPE = (36, 36, 72)


def field(missing=0.5):
    return files.gappy(3, SHAPE, missing)


def write(folder, name, values=None, title="", variable="tas", more=(), **attributes):
    """A file ``name`` with ``title``, a variable of ``attributes``, and ``more`` (name, attributes, values)."""
    values = field() if values is None else values
    path = files.write(
        folder / name, values, INDEX, name=variable, fill=1e20, attributes={"units": "K"} | attributes,
        file_attributes={"title": title} if title else {},
    )  # fmt: skip
    with netCDF4.Dataset(path, "a") as file:
        for other, about, content in more:
            file.createVariable(other, "f4", ("time", "lat", "lon"), fill_value=1e20)[:] = np.ma.masked_invalid(content)
            file[other].setncatts({"units": "K"} | about)
    return path


def read(path, **request):
    return read_observations([path], PrepareRequest(**request))


# --- Data sets ---------------------------------------------------------------------------------------------------------


def test_a_version_of_another_data_set_is_none_of_this_one():
    release = release_of(Stated("HadCRUT.5.0.2.0.nc", {"version": "HadCRUT.5.0.2.0"}, named="GISTEMP"))
    assert (release.name, release.version, release.doubts) == ("GISTEMP", "", ())


@pytest.mark.parametrize(
    ("name", "attributes", "variable", "label", "evidence"),
    [
        # A name that several producers give decides nothing alone.
        ("air.mon.anom.nc", {"title": "CRUTEM4 Air Temperature Anomaly"}, {}, "CRUTEM.4", "title"),
        ("air.mon.anom.nc", {"dataset_title": "HADCRUT4"}, {}, "HadCRUT.4", "dataset_title"),
        ("air.mon.anom.nc", {}, {"dataset": "HADCRUT4"}, "HadCRUT.4", "dataset of its variable"),
        ("air.mon.anom.nc", {"title": "NOAA Global Surface Temperature"}, {}, "NOAAGlobalTemp", "title"),
        ("/d/cru/hadcrut4/air.mon.anom.nc", {}, {}, "HadCRUT.4", "folder"),
        ("/home/gistemp_study/HadCRUT5.nc", {}, {}, "HadCRUT.5", "name"),
        ("/obs/HadCRUT5/CRUTEM.5.0.2.0.anomalies.nc", {}, {}, "CRUTEM.5.0.2.0", "folder"),
        # The version is that of the data set, not of the program that wrote the file.
        ("x.nc", {"title": "GISTEMP data reformatted for ESMValTool v2.8.0"}, {}, "GISTEMP", "title"),
        ("x.nc", {"source_id": "HadCRUT-5-1-0-0"}, {}, "HadCRUT.5.1.0.0", "source_id"),
        ("HadCRUT.5.0.2.0.nc", {"title": "HadCRUT5 anomalies"}, {}, "HadCRUT.5.0.2.0", "title"),
        ("cru_ts4.07.1901.2022.tmp.dat.nc", {}, {}, "CRU-TS.4.07", "name"),
        # A blend is named by its parts too.
        ("HadCRUT5.nc", {}, {"long_name": "blend of CRUTEM5 and HadSST4"}, "HadCRUT.5", "long_name"),
    ],
)
def test_the_data_set_and_its_evidence(name, attributes, variable, label, evidence):
    release = release_of(Stated(name, attributes, variable))
    assert release.note.startswith(f"data set {label}, by ")
    assert evidence in release.note


def test_a_name_of_several_producers_decides_nothing_alone():
    assert release_of(Stated("air.mon.anom.nc")) is None
    assert release_of(Stated("air.2m.mon.mean.nc")) is None


def test_a_second_version_is_noted():
    note = release_of(Stated("HadCRUT.5.0.1.0.nc", {"title": "HadCRUT.5.0.2.0"})).note
    assert "its title states version 5.0.2.0, its name 5.0.1.0" in note


def test_contradictions_are_refused_and_the_user_decides(tmp_path):
    path = write(tmp_path, "HadCRUT.5.0.2.0.anomalies.nc", title="GISTEMP v4")
    with pytest.raises(InputDataError, match=r"'GISTEMP v4'.* names GISTEMP.*HadCRUT\.5.* names HadCRUT") as caught:
        read(path)
    assert "model=GISTEMP" in caught.value.hint
    observations = read(path, data_set="GISTEMP")
    assert observations.source.label == "GISTEMP.4"
    assert observations.reference_period == (1951, 1980)
    assert any("by the parameter model" in note for note in observations.source.notes)
    assert read(path, data_set="Ours", facets={"model": "Ours"}).source.label == "Ours"


def test_the_catalogue_names_a_data_set_too(tmp_path):
    path = write(tmp_path, "obs.nc", standard_name="air_temperature_anomaly")
    source = read(path, facets={"model": "HadCRUT4"}).source
    assert (source.dataset, source.version, source.blended) == ("HadCRUT", "4", True)
    assert read(path, facets={"model": "GISTEMP study"}).source.label == "GISTEMP study"  # the name of a folder
    named = write(tmp_path, "gistemp.nc", standard_name="air_temperature_anomaly")
    with pytest.raises(InputDataError, match="catalogue's model"):
        read(named, facets={"model": "HadCRUT4"})


# --- Variables ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "attributes", "cmor"),
    [
        ("tasa", {}, "tas"),
        ("tastosanom", {"standard_name": "surface_temperature_anomaly"}, "tas"),
        ("tmp", {}, "tas"),
        ("temp", {}, "tas"),
        ("TMP_2m", {}, "tas"),
        ("t2m", {"standard_name": "unknown"}, "tas"),
        ("ssta", {}, "tos"),
        ("air_temperature", {}, "tas"),
        # The standard name counts more than a name that quantities share.
        ("anom", {"standard_name": "sea_surface_temperature_anomaly"}, "tos"),
        ("temperature", {"standard_name": "sea_water_temperature_at_sea_floor"}, None),
        ("air", {"standard_name": "air_pressure_at_sea_level"}, "psl"),
        # So does the long name, unless it describes a blend.
        ("anom", {"long_name": "Monthly SST anomalies"}, "tos"),
        ("anom", {"long_name": "Land air and sea surface temperature anomalies"}, "tas"),
        ("anom", {"long_name": "Global Temperature Anomalies"}, "tas"),
        ("tmp_std", {}, None),
    ],
)
def test_names_of_variables(name, attributes, cmor):
    assert canonical_variable(name, attributes) == cmor


def test_a_data_set_has_names_of_its_own():
    ersst, hadcrut = (release_of(Stated(name)).data_set for name in ("ersst.v5.nc", "HadCRUT5.nc"))
    assert canonical_variable("anom", {}, ersst) == "tos"
    assert canonical_variable("anom", {}, hadcrut) == "tas"


def test_of_absolute_values_and_anomalies_the_anomalies_are_read(tmp_path):
    anomalies = field()
    more = [("ssta", {"long_name": "SST anomaly"}, anomalies)]
    path = write(tmp_path, "x.nc", anomalies + 290.0, variable="sst", more=more, long_name="SST")
    observations = read(path, variable="tos")
    np.testing.assert_array_equal(observations.values, anomalies.astype("f4"))
    assert any(note.startswith("ssta is read, not sst") for note in observations.source.notes)
    assert read(path, variable="tos", values="absolute", reference_period=(1961, 1963)).source.variable_in_file == "sst"


def test_a_field_on_a_pressure_level_is_not_near_the_surface(tmp_path):
    path = write(
        tmp_path, "x.nc", variable="air", standard_name="air_temperature", coordinates="plev", long_name="anomaly"
    )
    assert read(path).source.variable_in_file == "air"
    with netCDF4.Dataset(path, "a") as file:
        file.createVariable("plev", "f8", ()).units = "hPa"
        file["plev"][:] = 500.0
    with pytest.raises(InputDataError, match=r"No variable is tas; the file holds air \(unknown\)"):
        read(path)
    assert read(path, obs_variable="air").mask.any()


def test_the_user_names_the_variable(tmp_path):
    path = write(tmp_path, "x.nc", variable="T_near_surface", long_name="anomaly")
    with pytest.raises(InputDataError, match=r"T_near_surface \(unknown\)[\s\S]*obs_variable"):
        read(path)
    observations = read(path, obs_variable="T_near_surface")
    assert observations.mask.any()
    assert any("by obs_variable" in note for note in observations.source.notes)
    with pytest.raises(InputDataError, match=r"no field 'tas'.*T_near_surface"):
        read(path, obs_variable="tas")


# --- Base periods ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("Temperature anomaly relative to 1850-1900", (1850, 1900)),
        ("Anomalies are relative to the Jan 1951-Dec 1980 average; data from 1850 to 2020.", (1951, 1980)),
        ("anomalies from the 1961 to 1990 average", (1961, 1990)),
        ("departures from the 1901-2000 mean", (1901, 2000)),
        ("anomaly w.r.t. Jan 1961 through Dec 1990", (1961, 1990)),
        ("anomaly (reference period 1961-01-01/1990-12-31)", (1961, 1990)),
        ("base period 196101-199012", (1961, 1990)),
        ("temperature anomalies, baseline 1961–90", (1961, 1990)),
        ("anomalies with respect to the pre-industrial period 1861-1890", (1861, 1890)),
        ("the mean between 1971 and 2000 minus; relative to 1971-2000", (1971, 2000)),
        ("re-based to 1961-1990", (1961, 1990)),
        ("relative to Jan. 1, 1961 - Dec. 31, 1990", (1961, 1990)),
        ("the 30-year (1961-1990) mean was removed", (1961, 1990)),
        ("with respect to the mean seasonal cycle over 1991 through 2020", (1991, 2020)),
        ("zero mean over 1850-1900", (1850, 1900)),
        # The span of the data is no reference period.
        ("HadCRUT5 temperature anomalies 1850-2022", None),
        ("HadCRUT5 1850-2022 mean temperature anomalies", None),
        ("Temperature data base 1850-2022", None),
        ("Climatology and anomalies of 1850-2022", None),
        ("Temperature anomalies 1961-2020 of the database", None),
    ],
)
@pytest.mark.parametrize("attribute", ["long_name", "title", "comment"])
def test_words_for_a_base_period(attribute, text, period):
    statement, others = base_period(Stated("x.nc", {attribute: text}), (1850, 2022))
    assert (statement and statement.period) == period
    assert period is None or others == ()


@pytest.mark.parametrize(
    ("attributes", "period"),
    [
        ({"climatology": "Climatology is based on 1971-2000 SST"}, (1971, 2000)),
        ({"climatology": "1850-1900"}, (1850, 1900)),
        ({"reference_period": np.array([1850, 1900])}, (1850, 1900)),
        ({"anomaly_reference_period": "1991, 2020"}, (1991, 2020)),
        ({"baseline_years": "1850-2022"}, (1850, 2022)),
        ({"base_period_start": 1951, "base_period_end": 1980}, (1951, 1980)),
        ({"history": "Created by SBBX_to_nc 2.0, Base: 1951-1980"}, (1951, 1980)),
        ({"history": "cdo -sub a.nc -selyear,1961/1990 b.nc"}, None),
        ({"climatology": "climatology_bounds"}, None),
        ({"reference": "Jones 1999, 2012; Morice 2012-2021"}, None),
        ({"time_coverage_start": "1961-1990"}, None),
    ],
)
def test_attributes_for_a_base_period(attributes, period):
    statement, _ = base_period(Stated("x.nc", variable=attributes), (1850, 2022))
    assert (statement and statement.period) == period


@pytest.mark.parametrize(
    ("name", "period"),
    [
        ("HadCRUT5.rebased_1850-1900.nc", (1850, 1900)),
        ("gistemp_5x5_base6190.nc", (1961, 1990)),
        ("tas_ref1981-2010.nc", (1981, 2010)),
        ("tas_anom_1961-1990.nc", None),
    ],
)
def test_base_periods_in_names(name, period):
    statement, _ = base_period(Stated(name), (1850, 2022))
    assert (statement and statement.period) == period


def test_a_period_of_unclear_meaning_is_noted(tmp_path):
    path = write(tmp_path, "HadCRUT5.nc", long_name="temperature", comment="homogenised with stations of 1931-1960")
    observations = read(path)
    assert observations.reference_period == (1961, 1990)
    notes = " | ".join(observations.source.notes)
    assert "mentions 1931-1960, which is not taken for the base period" in notes
    assert "1961-1990 is the default of the data set HadCRUT" in notes


def test_a_statement_counts_more_than_the_default_of_the_data_set(tmp_path):
    path = write(tmp_path, "HadCRUT.5.0.2.0.nc", long_name="anomaly relative to 1850-1900")
    with netCDF4.Dataset(path, "a") as file:
        file.comment = "monthly anomalies relative to 1961-1990 climatology"
    observations = read(path)
    assert observations.reference_period == (1850, 1900)
    notes = " | ".join(observations.source.notes)
    assert "the base period is 1850-1900, by the long_name of its variable" in notes
    assert "its comment" in notes
    assert "another base period, 1961-1990" in notes
    assert "does not state" not in notes


# --- Filled gaps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("OBS_HadCRUT5_ground_5.0.1.0-analysis_Amon_tas_185001-202309.nc", {}),
        ("tastosanom_mon_HadCRUT-5-1-0-0-analysis_MOHC_gn.nc", {}),
        ("HadCRUT5_analysis_mean.nc", {}),
        ("hadcrut5.nc", {"title": "HadCRUT5 Analysis, ensemble mean"}),
        ("hadcrut5.nc", {"source_id": "HadCRUT-5-1-0-0-analysis"}),
        ("hadcrut5.nc", {"infilled": "true"}),
        ("hadcrut5.nc", {"gap_filled": 1}),
        ("obs.nc", {"comment": "Cells without observations are infilled."}),
        ("obs.nc", {"title": "gap-filled temperature anomalies"}),
        ("HadCRUT4_kriged.nc", {}),
        ("had4_short_uah_v2_0_0.nc", {}),
        ("hadcrut5.nc", {"product_type": "analysis"}),
        ("hadcrut5.nc", {"processing": "statistically infilled fields"}),
        ("/obs/HadCRUT5/analysis/HadCRUT.5.0.0.0_anomalies_ensemble-mean.nc", {}),
    ],
)
def test_filled_products_in_any_spelling(name, attributes):
    stated = Stated(name, attributes)
    release = release_of(stated)
    assert why_infilled(stated, release.data_set if release else None)


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("OBS_HadCRUT5_ground_5.0.1.0-noninfilled_Amon_tas.nc", {}),
        ("hadcrut5.nc", {"title": "HadCRUT5, not infilled"}),
        ("hadcrut5.nc", {"comment": "No infilling was applied."}),
        ("hadcrut5.nc", {"infilled": "false"}),
        ("gistemp.nc", {"title": "GISTEMP Surface Temperature Analysis"}),
        ("20crv3.nc", {"title": "20th Century Reanalysis"}),
        ("hadcrut5_reanalysis_comparison.nc", {}),
        ("obs.nc", {"comment": "the missing value is a fill value"}),
        ("/home/me/analysis/HadCRUT.5.0.2.0.anomalies.nc", {}),
    ],
)
def test_products_with_their_gaps(name, attributes):
    stated = Stated(name, attributes)
    release = release_of(stated)
    assert why_infilled(stated, release.data_set if release else None) is None


def test_an_infilled_product_is_refused_or_the_result_states_it(tmp_path):
    path = write(tmp_path, "HadCRUT5-analysis.nc")
    with pytest.raises(InputDataError, match=r"filled already[\s\S]*non-infilled[\s\S]*allow_infilled=true"):
        read(path)
    source = read(path, allow_infilled=True).source
    assert "filled already" in source.infilled
    assert any("read by allow_infilled" in note for note in source.notes)
    title = write(tmp_path, "HadCRUT5_noninfilled.nc", title="HadCRUT5 analysis")
    with pytest.raises(InputDataError, match="not clear whether the gaps"):
        read(title)


def test_a_record_that_becomes_complete_is_refused(tmp_path):
    values = field()
    values[12:] = field(missing=0.0)[12:]
    with pytest.raises(InputDataError, match="last 24 months are complete"):
        read(write(tmp_path, "obs.nc", values, long_name="anomaly"))
    # GISTEMP's stations reach 1200 km: its later months may be complete.
    assert read(write(tmp_path, "gistemp_v4.nc", values)).mask.any()


def test_hadcrut_never_covers_nearly_all(tmp_path):
    values = field(missing=0.05)
    with pytest.raises(InputDataError, match="never covers more than 92 %"):
        read(write(tmp_path, "HadCRUT5.nc", values))
    assert read(write(tmp_path, "obs.nc", values, long_name="anomaly")).mask.any()


def test_a_missing_region_of_a_complete_field_is_a_gap(tmp_path):
    values = field(missing=0.0)
    values[:, 25:32, 33:44] = np.nan  # Europe
    observations = read(write(tmp_path, "model.nc", values, long_name="anomaly"))
    assert not observations.mask[:, 25:32, 33:44].any()
    assert observations.source.infilled == ""
    values = field(missing=0.0)
    values[:, 20:24, :3] = values[:, 20:24, -3:] = np.nan  # across the date line
    assert read(write(tmp_path, "dateline.nc", values, long_name="anomaly")).mask.any()
    values = field(missing=0.0)
    values[:, 0] = np.nan  # where products with filled gaps end
    with pytest.raises(InputDataError, match="nothing to reconstruct"):
        read(write(tmp_path, "polar.nc", values, long_name="anomaly"))
    scattered = field(missing=0.02)
    with pytest.raises(InputDataError, match="nothing to reconstruct"):
        read(write(tmp_path, "scattered.nc", scattered, long_name="anomaly"))


def test_cells_without_their_own_error_are_filled(tmp_path):
    values = field()
    path = write(tmp_path, "HadCRUT.5.0.2.0.nc", values)
    errors = np.where(np.isfinite(values), 0.3, np.nan)
    errors[:, ::2] = np.nan
    uncorrelated = files.hadcrut5_uncorrelated(tmp_path, errors, INDEX)
    with pytest.raises(InputDataError, match="50 % of its cells have no error"):
        read_observations([path], PrepareRequest(), uncorrelated=uncorrelated)
    allowed = read_observations([path], PrepareRequest(allow_infilled=True), uncorrelated=uncorrelated)
    assert "have no error" in allowed.source.infilled
