"""What variables, data sets and units are called, and which base and kind files state."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

import climrecon
from climrecon.datasets import Stated, canonical_variable, release_of, why_infilled
from climrecon.errors import InputDataError
from climrecon.preprocess.base_period import base_period
from climrecon.preprocess.values import is_anomaly, to_units
from climrecon.variables import AUXILIARY, VARIABLES, Variable
from climrecon.variables.units import Conversion


@pytest.mark.parametrize(
    ("name", "attributes", "cmor"),
    [
        ("tas_mean", {}, "tas"),
        ("tempanomaly", {}, "tas"),
        ("TREFHT", {}, "tas"),
        ("T2", {"standard_name": "air_temperature"}, "tas"),
        ("sst", {}, "tos"),
        ("climatology", {"standard_name": "surface_temperature"}, None),
        ("tas_unc", {"standard_name": "air_temperature_anomaly"}, None),
        ("x", {"standard_name": "air_temperature_anomaly standard_error"}, None),
        ("field_status", {}, None),
        ("psl", {}, "psl"),
    ],
)
def test_variables(name, attributes, cmor):
    assert canonical_variable(name, attributes) == cmor


@pytest.mark.parametrize(
    ("name", "title", "version", "expected"),
    [
        ("HadCRUT.5.1.0.0_anomalies_ensemble-mean.nc", "", "", ("HadCRUT", "5.1.0.0", True)),
        ("gistemp1200_GHCNv4_ERSSTv5.nc", "GISTEMP Surface Temperature Analysis", "", ("GISTEMP", "", True)),
        ("gistemp1200_v4_5x5.nc", "", "", ("GISTEMP", "4", True)),
        ("tas_obs.nc", "HadCRUT4 ensemble median", "HadCRUT.4.6.0.0", ("HadCRUT", "4.6.0.0", True)),
        ("tas_obs.nc", "HadCRUT4 ensemble median", "", ("HadCRUT", "4", True)),
        ("tas_HADCRUT4-median_4_v20180727_185001-201812.nc", "", "", ("HadCRUT", "4", True)),
        ("ersst_v3b_2x2.nc", "", "", ("ERSST", "3b", False)),
        ("sst.mnmean.nc", "NOAA ERSSTv5 (in situ only)", "", ("ERSST", "5", False)),
        ("20crAI_HadCRUT4_4.6.0.0_tas_mon_185001-201812.nc", "", "", ("HadCRUT", "4.6.0.0", True)),
        ("CRUTEM.5.0.2.0.anomalies.nc", "", "", ("CRUTEM", "5.0.2.0", False)),
        ("field.nc", "", "1.2.3", None),
    ],
)
def test_data_sets(name, title, version, expected):
    release = release_of(Stated(name, {"title": title, "version": version}))
    assert (release and (release.name, release.version, release.data_set.blended)) == expected


@pytest.mark.parametrize(
    ("name", "title", "infilled"),
    [
        ("HadCRUT.5.0.2.0.analysis.anomalies.ensemble_mean.nc", "", True),
        ("HadCRUT.5.0.0.0_analysis-ensemble-mean.nc", "", True),
        ("20crAI_HadCRUT4_4.6.0.0_tas_mon_185001-201812.nc", "", True),
        ("HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc", "", False),
        ("tas.nc", "20th century reanalysis-monthly", False),
        ("tas.nc", "HadCRUT5 non-infilled", False),
    ],
)
def test_infilled_products(name, title, infilled):
    stated = Stated(name, {"title": title})
    release = release_of(stated)
    assert bool(why_infilled(stated, release.data_set if release else None)) == infilled


def test_units():
    kelvins = ["K", "kelvin", "Kelvins", "degK", "deg_K", "degrees K", "degree_kelvin"]
    celsius = ["degC", "celsius", "C", "°C", "deg C", "deg_C", "degrees C", "degree C", "degrees Celsius", "0.01 degC"]
    kelvin, degrees = VARIABLES["tas"].accepted
    assert {VARIABLES[name].accepted_units(unit) for name in ("tas", "tos") for unit in kelvins} == {kelvin}
    assert {VARIABLES["tas"].accepted_units(unit) for unit in celsius} == {degrees}
    for one in ("", "1", "kg", "Pa", "mm/day", "cm", "degrees", "K K-1", "no unit (", "100"):
        assert VARIABLES["tas"].accepted_units(one) is VARIABLES["tas"].conversion(one) is None


@pytest.mark.parametrize(
    ("variable", "units", "absolute", "anomaly"),
    [
        ("tas", "K", 10.0, 10.0),
        ("tas", "degC", 283.15, 10.0),
        ("tas", "0.01 degC", 273.25, 0.1),
        ("tas", "degF", (10.0 + 459.67) / 1.8, 10.0 / 1.8),
        ("tas", "mK", 0.01, 0.01),
        ("psl", "millibars", 1000.0, 1000.0),
        ("pr", "kg m^-2 s^-1", 10.0, 10.0),
        ("pr", "m s-1", 1e4, 1e4),
        ("sic", "%", 0.1, 0.1),
        ("psl", "hPa", 1000.0, 1000.0),
        ("psl", "Pa", 10.0, 10.0),
        ("pr", "mm/day", 10.0 / 86400.0, 10.0 / 86400.0),
    ],
)
def test_conversion_of_absolute_values_and_of_anomalies(variable, units, absolute, anomaly):
    for kind, expected in ((False, absolute), (True, anomaly)):
        converted = to_units(np.full((1, 2, 2), 10.0), units, kind, VARIABLES[variable])
        np.testing.assert_allclose(converted, expected, rtol=1e-12)


def test_each_variable_is_one_valid_description():
    assert set(VARIABLES) == {"tas", "tasmax", "tasmin", "tos", "psl", "pr", "tx90p", "sic", "sftlf"}
    assert AUXILIARY == ("psl", "tos", "pr")
    for name, variable in VARIABLES.items():
        assert name in variable.names
        assert variable.conversion(variable.absolute_units) == Conversion()
    with pytest.raises(ValidationError, match="colour"):
        Variable(**VARIABLES["tas"].model_dump(), colour="red")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("attributes", "period"),
    [
        ({"reference_period": np.array([1961, 1990])}, (1961, 1990)),
        ({"climatology_period": "1991-2020"}, (1991, 2020)),
        ({"long_name": "temperature anomaly (base 1951-1980)"}, (1951, 1980)),
        ({"long_name": "Monthly Anomalies relative to 1971-2000 climo"}, (1971, 2000)),
        ({"comment": "Data of 1850-2020. Anomalies w.r.t. 1961 to 1990."}, (1961, 1990)),
        ({"comment": "Anomalies are relative to the 1981–2010 mean"}, (1981, 2010)),
        ({"title": "CRUTEM4 1850-2010 temperature anomalies"}, None),
        ({"comment": "scanned from the ledgers of 1901-1920"}, None),
        ({}, None),
    ],
)
def test_base_period(attributes, period):
    statement, _ = base_period(Stated("x.nc", variable=attributes), (1850, 2010))
    assert (statement and statement.period) == period


def decided(values, file="x.nc", title="", **attributes):
    variable = SimpleNamespace(**({"name": "tas"} | attributes))
    stated = Stated(file, {"title": title}, attributes)
    release = release_of(stated)
    data_set = release.data_set if release else None
    return is_anomaly("auto", stated, data_set, variable, np.asarray(values, np.float32), VARIABLES["tas"])


def test_anomaly_or_absolute():
    rng = np.random.default_rng(0)
    anomalies = rng.normal(0, 1, (5, 6, 6))
    kelvins, celsius = 288 + 5 * anomalies, 14 + 12 * anomalies
    # HadCRUT4's own file says air_temperature and K, as an absolute CMIP5 file does.
    assert decided(anomalies, standard_name="air_temperature", units="K", reference_period=[1961, 1990])
    assert decided(anomalies, file="tas_hadcrut_187709.nc", standard_name="air_temperature", units="K")
    assert decided(kelvins, long_name="air temperature anomaly", units="K")
    assert decided(anomalies, standard_name="air_temperature", units="K")
    assert decided(anomalies, title="Temperature anomalies", units="degC")
    assert not decided(kelvins, standard_name="air_temperature", units="K")
    assert not decided(celsius, standard_name="air_temperature", units="degC")
    for unclear, units in ((10 + anomalies, "degC"), (100 + anomalies, "K"), (kelvins, "")):
        with pytest.raises(InputDataError, match=r"not clear[\s\S]*values=anomaly or values=absolute"):
            decided(unclear, standard_name="air_temperature", units=units)


def test_importing_is_light():
    code = (
        "import sys, climrecon.preprocess; "
        "print([m for m in ('torch', 'matplotlib', 'xarray', 'pandas', 'scipy', 'pint') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_units_and_kelvins_stand_in_the_descriptions_alone():
    package = Path(climrecon.__file__).parent
    literal = re.compile(r"""["'](K|kelvin|degC)["']|273\.15""")
    places = [
        path.name
        for path in package.rglob("*.py")
        if path.parent.name != "variables" and literal.search(path.read_text(encoding="utf-8"))
    ]
    assert places == []
