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


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    path = catalogue(tmp_path, ["tas Amon A r1i1p1 v1 185001-200512"])
    with pytest.raises(NoDataError, match=r"No member .* matches .*experiment=piControl"):
        find_members(open_catalogue(path), {**QUERY, "experiment": "piControl"}, "tas")
    with pytest.raises(NoDataError, match="no column"):
        find_members(open_catalogue(path), {**QUERY, "version": "v1"}, "tas")
    next(tmp_path.glob("v1/*.nc")).unlink()
    with pytest.raises(NoDataError, match="the file does not exist"):
        find_members(open_catalogue(path), QUERY, "tas")
