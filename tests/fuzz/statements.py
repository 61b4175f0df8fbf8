"""What files state in words: base periods, names, units, producers and gaps, each with its meaning."""

from __future__ import annotations

from typing import Any

import numpy as np

HADCRUT = "HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc"

#: Statements of a base period: attribute, of the variable or the file, its value, and the years that it means.
BASES: list[tuple[str, bool, Any, tuple[int, int]]] = [
    ("reference_period", True, "1951-1980", (1951, 1980)),
    ("reference_period", True, np.array([1961, 1990], dtype=np.int16), (1961, 1990)),
    ("long_name", True, "near-surface temperature anomaly relative to 1850-1900", (1850, 1900)),
    ("long_name", True, "temperature anomaly (base 1971-2000)", (1971, 2000)),
    (
        "comment",
        False,
        "Anomalies are relative to the Jan 1951-Dec 1980 average; data from 1850 to 2020.",
        (1951, 1980),
    ),
    ("comment", False, "monthly anomalies relative to 1961-1990 climatology", (1961, 1990)),
    ("climatology", True, "1981-2010", (1981, 2010)),
    ("description", False, "temperature anomalies w.r.t. 1986 to 2005", (1986, 2005)),
    ("summary", False, "anomalies from the 1991/2020 normals", (1991, 2020)),
]
#: Names of the variable in the file, and attributes that go with them.
NAMES: list[tuple[str, dict[str, Any]]] = [
    ("tas", {}),
    ("tas", {"standard_name": "air_temperature_anomaly"}),
    ("tasa", {"long_name": "Near-Surface Air Temperature Anomaly"}),
    ("temperature_anomaly", {}),
    ("tempanomaly", {"long_name": "Surface temperature anomaly"}),
    ("anom", {"standard_name": "air_temperature_anomaly"}),
    ("air", {"standard_name": "air_temperature_anomaly"}),
    ("tas_mean", {}),
    ("anything", {"standard_name": "air_temperature_anomaly"}),
]
#: Units, and the number that they have for 1 K and for 0 K.
UNITS: list[tuple[str, float, float]] = [
    *((name, 1.0, 0.0) for name in ("K", "kelvin", "Kelvin", "degK")),
    *((name, 1.0, -273.15) for name in ("degC", "deg C", "degrees C", "degrees Celsius", "Celsius", "degree_C", "C")),
    *((name, 1.8, -459.67) for name in ("degF", "Fahrenheit")),
    ("0.1 K", 10.0, 0.0),
    ("mK", 1000.0, 0.0),
]
#: Names of the variable of absolute values.
ABSOLUTE_NAMES: list[tuple[str, dict[str, Any]]] = [
    ("tas", {}),
    ("tas", {"standard_name": "air_temperature"}),
    ("t2m", {"standard_name": "unknown"}),
    ("TREFHT", {}),
    ("tmp", {"long_name": "near-surface temperature"}),
    ("air", {"standard_name": "air_temperature"}),
    ("TMP_2m", {}),
]
#: Other variables of a file: name, attributes, and the value in all cells.
OTHERS: list[tuple[str, dict[str, Any], float]] = [
    ("tas_unc", {"units": "K", "long_name": "uncertainty of the temperature anomaly"}, 0.2),
    ("number_of_observations", {"units": "1"}, 3.0),
    ("pr", {"units": "kg m-2 s-1", "standard_name": "precipitation_flux"}, 1e-5),
    ("tas_climatology", {"units": "K", "long_name": "climatology of temperature"}, 280.0),
    ("elevation", {"units": "m"}, 10.0),
]
#: Beside anomalies: the absolute values, which are not taken.
ABSOLUTE_BESIDE = ("temperature", {"units": "K", "long_name": "near-surface air temperature"}, 280.0)
#: Names of data sets: attribute, of the variable or the file, its text, and the data set.
PRODUCERS: list[tuple[str, bool, str, str]] = [
    ("title", False, "HadCRUT.5.0.2.0 ensemble-mean near-surface temperature anomalies", "HadCRUT"),
    ("title", False, "HADCRUT4 Combined Air Temperature/SST Anomaly", "HadCRUT"),
    ("title", False, "GISTEMP Surface Temperature Analysis", "GISTEMP"),
    ("title", False, "NOAA Merged Land Ocean Global Surface Temperature Analysis (NOAAGlobalTemp)", "NOAAGlobalTemp"),
    ("title", False, "Monthly fields on a grid", ""),
    ("dataset", True, "CRUTEM4", "CRUTEM"),
    ("dataset_title", False, "Berkeley Earth Surface Temperature", "BerkeleyEarth"),
    ("source_id", False, "HadCRUT-5-0-2-0", "HadCRUT"),
    ("source_id", False, "GISTEMP-v4", "GISTEMP"),
]
FILE_NAMES = {
    "data.nc": "", "air.mon.anom.nc": "", "out put.nc": "", HADCRUT: "HadCRUT",
    "gistemp1200_GHCNv4_ERSSTv5.nc": "GISTEMP", "OBS_NOAAGlobalTemp_ground_v5_Amon_tasa.nc": "NOAAGlobalTemp",
}  # fmt: skip
#: Reference periods of the data sets by their producers' documentation.
USUAL_BASES = {
    "HadCRUT": (1961, 1990), "CRUTEM": (1961, 1990), "GISTEMP": (1951, 1980), "BerkeleyEarth": (1951, 1980),
    "NOAAGlobalTemp": (1971, 2000),
}  # fmt: skip
#: Statements on gaps: attribute of the file, or "name", its value, and whether the gaps are filled.
GAPS: list[tuple[str, Any, bool]] = [
    ("name", "HadCRUT.5.0.2.0.analysis.anomalies.ensemble_mean.nc", True),
    ("name", "OBS_HadCRUT5_ground_5.0.1.0-analysis_Amon_tas.nc", True),
    ("name", "tastosanom_mon_HadCRUT-5-1-0-0-analysis_MOHC_gn.nc", True),
    ("name", "HadCRUT5_infilled.nc", True),
    ("name", "HadCRUT.5.0.2.0.noninfilled.nc", False),
    ("infilled", "true", True),
    ("infilled", np.int32(1), True),
    ("infilled", np.int32(0), False),
    ("comment", "Gaps were infilled by a Gaussian process.", True),
    ("comment", "Gaps are not infilled.", False),
    ("comment", "Compared with a reanalysis.", False),
    ("product", "gap-filled", True),
]
