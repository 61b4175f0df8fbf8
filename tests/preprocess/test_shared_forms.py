"""Files as users have them, where the folder of failing inputs is there: months, members, values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from climrecon.catalogue import build_catalogue, find_members, open_catalogue
from climrecon.grid import FIVE_DEGREES
from climrecon.netcdf.coordinates import member_count
from climrecon.netcdf.names import span_in
from climrecon.netcdf.opening import opened
from climrecon.netcdf.times import find_time, month_index
from climrecon.preprocess import PrepareRequest, prepare_member, read_observations


@pytest.mark.shared
@pytest.mark.parametrize(
    ("pattern", "span", "members"),
    [
        ("15-*/HadCRUT*.nc", "196001-196012", 3),
        ("16-*/TREFHT*.nc", "196001-196012", 1),
        ("17-*/*.nc", "196101-199012", 1),
        ("20-*/t_member*.nc", "196101-199012", 2),
        ("20-*/t_realization*.nc", "196101-199012", 2),
        ("20-*/t_[dely]*.nc", "196101-199012", 1),
        ("26-*/air*.nc", "196101-199012", 3),
        ("28-*/*.nc", "196001-196012", 1),
    ],
)
def test_months_and_members(cases: Path, pattern: str, span: str, members: int) -> None:
    paths = sorted(cases.glob(pattern))
    assert paths
    for path in paths:
        with opened(path) as file:
            variable = next(one for one in file.variables.values() if one.ndim >= 3)
            index = month_index(file, find_time(file, variable)[1]).index
            assert (int(index[0]), int(index[-1])) == span_in(span), path.name
            assert member_count(variable) == members, path.name


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", ["t_decimal", "t_lat_lon_time", "t_lonlat_order", "t_valid_time", "t_yyyymm", "t_months"]
)
def test_every_layout_gives_the_fields_of_the_plain_file(cases: Path, tmp_path: Path, name: str) -> None:
    (plain,) = cases.glob("20-*/t_days.nc")
    results = [
        prepare_member([path], FIVE_DEGREES, (1961, 1990), tmp_path) for path in (plain, plain.with_name(f"{name}.nc"))
    ]
    np.testing.assert_array_equal(results[0][1].index, results[1][1].index)
    np.testing.assert_allclose(results[0][0], results[1][0], atol=2e-5)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["t_member_first", "t_member_second", "t_realization_text", "t_member_id_text"])
@pytest.mark.parametrize("number", [0, 1])
def test_members_are_those_of_the_file_with_time_first(cases: Path, tmp_path: Path, name: str, number: int) -> None:
    (plain,) = cases.glob("20-*/t_member_after_time.nc")
    first, second = (
        prepare_member([path], FIVE_DEGREES, (1961, 1990), tmp_path, realisation=number)[0]
        for path in (plain, plain.with_name(f"{name}.nc"))
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.shared
def test_a_compressed_grid(cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIMRECON_UNPACKED", str(tmp_path))
    (path,) = cases.glob("01-*/*.nc.gz")
    observations = read_observations([path], PrepareRequest())
    assert observations.source.dataset == "GISTEMP"
    assert 0 < observations.mask.mean() < 1


@pytest.mark.shared
def test_an_archive_of_two_grids(cases: Path, tmp_path: Path) -> None:
    (folder,) = cases.glob("25-*/all")
    built = build_catalogue(folder, tmp_path / "c.json")
    query = {"project": "CMIP6", "experiment": "historical", "time_frequency": "mon"}
    found = find_members(open_catalogue(built.path), query, "tas", others=("tos", "sic"), fixed=("sftlf",))
    assert [member.facets["model"] for member in found.members] == [f"MODEL-{letter}" for letter in "ABCD"]
    assert all(set(member.files) == {"tas", "tos", "sic", "sftlf"} for member in found.members)
    assert all("gr" not in path.parts for member in found.members for paths in member.files.values() for path in paths)
    assert found.lost == ()
