"""All members of an archive, each with its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from climrecon.catalogue import find_members, open_catalogue
from climrecon.errors import NoDataError

COLUMNS = ("project", "product", "institute", "model", "experiment", "time_frequency", "realm", "variable", "ensemble")
QUERY = {"project": "CMIP5", "experiment": "historical", "time_frequency": "mon"}


def catalogue(folder: Path, names: list[str]) -> Path:
    """Entries ``variable table model ensemble version [months]``; the files exist and are empty."""
    rows = []
    for name in names:
        variable, table, model, ensemble, version, *span = name.split()
        path = folder / version / ("_".join([variable, table, model, "historical", ensemble, *span]) + ".nc")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        rows.append(
            {
                "file": str(path), "project": "cmip5", "product": "output1", "institute": "I", "model": model.lower(),
                "experiment": "historical", "time_frequency": "fx" if table == "fx" else "mon", "realm": "any",
                "variable": [variable], "ensemble": ensemble,
            }
        )  # fmt: skip
    content = {
        "esmcat_version": "0.1.0", "id": "t", "attributes": [{"column_name": c, "vocabulary": ""} for c in COLUMNS],
        "assets": {"column_name": "file", "format": "netcdf"},
        "aggregation_control": {"variable_column_name": "variable", "groupby_attrs": ["model"], "aggregations": []},
        "catalog_dict": rows,
    }  # fmt: skip
    path = folder / "catalogue.json"
    path.write_text(json.dumps(content))
    return path


def test_members_with_what_else_there_is_of_them(tmp_path: Path) -> None:
    path = catalogue(
        tmp_path,
        [
            "tas Amon A r10i1p1 v1 185001-200512",
            "tas Amon A r2i1p1 v1 195001-200512",
            "tas Amon A r2i1p1 v1 185001-194912",
            "tas Amon A r1i1p1 v20100101 185001-200512",
            "tas Amon A r1i1p1 v20120101 185001-200512",
            "tos Omon A r1i1p1 v20110101 185001-200512",
            "sic OImon A r1i1p1 v20110101 185001-200512",
            "sftlf fx A r0i0p0 v1",
            "tas Amon B r1i1p1 v1 185001-200512",
            "tas Amon B r1i1p1 v1 190001-201012",
            "psl Amon C r1i1p1 v1 185001-200512",
        ],
    )
    found = find_members(open_catalogue(path), QUERY, "tas", others=("tos", "sic"), fixed=("sftlf",))
    assert [m.facets["ensemble"] for m in found.members if m.facets["model"] == "a"] == ["r1i1p1", "r2i1p1", "r10i1p1"]
    first, second, _, other = found.members
    assert {name: len(files) for name, files in first.files.items()} == {"tas": 1, "tos": 1, "sic": 1, "sftlf": 1}
    assert "v20120101" in str(first.files["tas"][0])
    assert [p.name[-16:-3] for p in second.files["tas"]] == ["185001-194912", "195001-200512"]
    assert set(second.files) == {"tas", "sftlf"}
    assert "overlap" in other.notes[0]
    assert [item.reason for item in found.left_out] == ["version v20100101 is not v20120101, the newest of this member"]
    both = find_members(open_catalogue(path), {**QUERY, "model": "A, C"}, "tas")
    assert {m.facets["model"] for m in both.members} == {"a"}


def cmip6(folder: Path, names: list[str]) -> Path:
    """Files ``variable table experiment ensemble grid institute`` of model M in CMIP6's folders, listed with their facets."""
    rows = []
    for name in names:
        variable, table, experiment, ensemble, grid, institute = name.split()
        span = "" if table == "fx" else "_185001-201412"
        parts = folder / experiment / ensemble / table / variable / grid / "v20190101"
        path = parts / f"{variable}_{table}_M_{experiment}_{ensemble}_{grid}{span}.nc"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        facets = dict(
            zip(COLUMNS, ("CMIP6", "CMIP", institute, "M", experiment, "", "any", [variable], ensemble), strict=True)
        )
        rows.append({"file": str(path), **facets, "time_frequency": "fx" if table == "fx" else "mon"})
    path = catalogue(folder, [])
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "catalog_dict": rows}))
    return path


CMIP6 = {"project": "CMIP6", "experiment": "historical", "time_frequency": "mon"}


def test_of_several_grids_the_native_one_is_taken_and_noted(tmp_path: Path) -> None:
    names = [
        "tas Amon historical r1i1p1f1 gr I", "tas Amon historical r1i1p1f1 gn I", "tos Omon historical r1i1p1f1 gr1 I",
        "tos Omon historical r1i1p1f1 gr I", "siconc SImon historical r1i1p1f1 gn I",
        "tas Amon historical r2i1p1f1 gr I",
    ]  # fmt: skip
    found = find_members(open_catalogue(cmip6(tmp_path, names)), CMIP6, "tas", others=("tos", "sic"))
    first, second = found.members
    assert {name: files[0].parts[-3] for name, files in first.files.items()} == {"tas": "gn", "tos": "gr", "sic": "gn"}
    assert first.notes == ("of the grids gn, gr the first is taken", "tos: of the grids gr, gr1 the first is taken")
    assert second.files["tas"][0].parts[-3] == "gr"
    assert [item.reason for item in found.left_out] == ["grid gr is not gn, which is taken"]
    assert found.lost == ()


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        (["sftlf fx piControl r1i1p1f1 gn I"], "piControl/r1i1p1f1/fx/sftlf/gn"),
        (["sftlf fx piControl r1i1p1f1 gn I", "sftlf fx historical r2i1p1f1 gr I"], "historical/r2i1p1f1/fx/sftlf/gr"),
        (["sftlf fx piControl r1i1p1f1 gr I", "sftlf fx amip r2i1p1f1 gn I"], "amip/r2i1p1f1/fx/sftlf/gn"),
        (["sftlf fx amip r1i1p1f1 gn OTHER"], "amip/r1i1p1f1/fx/sftlf/gn"),
    ],
)
def test_the_land_of_a_model_is_taken_from_any_experiment(tmp_path: Path, there: list[str], taken: str) -> None:
    path = cmip6(tmp_path, ["tas Amon historical r1i1p1f1 gn I", *there])
    query = {**CMIP6, "ensemble": "r1i1p1f1"}
    (member,) = find_members(open_catalogue(path), query, "tas", fixed=("sftlf",)).members
    assert str(member.files["sftlf"][0].relative_to(tmp_path)).startswith(taken)


def test_members_that_are_lost_are_named_with_the_reason(tmp_path: Path) -> None:
    names = [
        "tas Amon historical r1i1p1f1 gn I",
        "tos Omon historical r1i1p1f1 gn I",
        "tas Amon historical r2i1p1f1 gn I",
    ]
    path = cmip6(tmp_path, names)
    content = json.loads(path.read_text())
    for row in content["catalog_dict"][1:2]:
        twin = tmp_path / "other" / "tos_of_someone_185001-201412.nc"
        twin.parent.mkdir()
        twin.write_text("another")
        content["catalog_dict"].append({**row, "file": str(twin)})
        row["file"] = str(Path(row["file"]).rename(tmp_path / "other" / "tos_of_another_185001-201412.nc"))
    Path(content["catalog_dict"][2]["file"]).unlink()
    path.write_text(json.dumps(content))
    found = find_members(open_catalogue(path), CMIP6, "tas", others=("tos",))
    assert len(found.members) == 1
    assert "hold the same months under different names" in found.members[0].lacking["tos"]
    ((name, reason),) = found.lost
    assert name == "M r2i1p1f1"
    assert reason.endswith("the file does not exist")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    path = catalogue(tmp_path, ["tas Amon A r1i1p1 v1 185001-200512"])
    with pytest.raises(NoDataError, match=r"No member .* matches .*experiment=piControl"):
        find_members(open_catalogue(path), {**QUERY, "experiment": "piControl"}, "tas")
    with pytest.raises(NoDataError, match="no column"):
        find_members(open_catalogue(path), {**QUERY, "version": "v1"}, "tas")
    next(tmp_path.glob("v1/*.nc")).unlink()
    with pytest.raises(NoDataError, match="the file does not exist"):
        find_members(open_catalogue(path), QUERY, "tas")
