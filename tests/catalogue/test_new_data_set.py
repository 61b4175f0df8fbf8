"""A data set is one row of one table: reader, catalogue builder and search take all from there."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from climrecon import datasets
from climrecon.catalogue import build_catalogue, open_catalogue, search
from climrecon.datasets import DataSet
from climrecon.errors import InputDataError
from climrecon.preprocess import PrepareRequest, read_observations

ROW = DataSet(
    "NewTemp",
    r"newtemp|new temperature analysis",
    version=r"rev(\d+)",
    blended=True,
    base=(1971, 2000),
    institute="NEW",
    names={"tanom_new": "tas"},
    infilled=r"newtemp_full",
)


def write(path: Path) -> Path:
    with netCDF4.Dataset(path, "w") as file:
        axes = {
            "time": (np.arange(15.0, 730.0, 30.4375), "days since 1990-01-01"),
            "lat": (np.arange(-85.0, 90, 10), "degrees_north"),
            "lon": (np.arange(-175.0, 180, 10), "degrees_east"),
        }
        for name, (values, units) in axes.items():
            file.createDimension(name, len(values))
            file.createVariable(name, "f8", (name,))[:] = values
            file[name].units = units
        field = np.random.default_rng(0).normal(size=(24, 18, 36))
        field[field > 0.5] = np.nan
        file.createVariable("tanom_new", "f4", tuple(axes), fill_value=-9e9)[:] = np.ma.masked_invalid(field)
        file["tanom_new"].units = "degC"
    return path


def test_one_row_is_all_that_reader_builder_and_search_need(tmp_path: Path, monkeypatch) -> None:
    path = write(tmp_path / "NewTemp_rev7_1990-1991.nc")
    with pytest.raises(InputDataError, match=r"tanom_new \(unknown\)"):
        read_observations([path], PrepareRequest())

    monkeypatch.setattr(datasets, "DATA_SETS", (*datasets.DATA_SETS, ROW))
    observations = read_observations([path], PrepareRequest())
    source = observations.source
    assert (source.dataset, source.version, source.blended) == ("NewTemp", "7", True)
    assert observations.reference_period == (1971, 2000)
    assert any("1971-2000 is the default of the data set NewTemp" in note for note in source.notes)

    full = write(tmp_path / "NewTemp_full_rev7_1990-1991.nc")
    with pytest.raises(InputDataError, match="gaps are filled already"):
        read_observations([full], PrepareRequest())

    built = build_catalogue(tmp_path)
    result = search(open_catalogue(built.path), {"model": "newtemp", "variable": "tas"})
    assert result.main == (path,)
    assert result.facets["institute"] == "NEW"
    assert (result.facets["product"], result.facets["version"]) == ("grid", "7")
    assert [item.path for item in result.left_out] == [str(full)]
