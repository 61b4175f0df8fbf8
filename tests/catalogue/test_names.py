"""What names of files and folders say: role, member, version, infilled or not, frequency."""

from __future__ import annotations

import pytest

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
    words = (
        "P1M",
        "monthly mean",
        "monthly-mean",
        "mean_mon",
        "mon ",
        "MON",
        "1month",
        "1 month",
        "month",
        "Monthly averages",
    )
    assert {frequency(name) for name in words} == {"mon"}
    assert [frequency(name) for name in ("P1D", "daily mean", "PT6H", "P1Y", "fixed")] == [
        "day",
        "day",
        "6hr",
        "yr",
        "fx",
    ]
    assert frequency("monC") == "monc"
    assert frequency("", "OImon") == "mon"
    assert frequency("day") == "day"
    assert frequency("", "unknown") == ""
