from __future__ import annotations

from pathlib import Path

import pytest

from climrecon.catalogue import open_catalogue, search
from climrecon.errors import NoDataError
from climrecon.output.entry import write_entry

ROW = {"project": "climrecon", "product": "reconstruction", "model": "hadcrut-5.0.2.0", "experiment": "punet6",
       "time_frequency": "mon", "variable": "tas", "time_range": "185001-202510", "format": "nc"}  # fmt: skip


NAME = "tas_mon_climrecon-punet6_HadCRUT.5.0.2.0_185001-202510.nc"


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    result = tmp_path / NAME
    result.write_bytes(b"")
    write_entry(tmp_path / "catalogue.json", [{**ROW, "file": str(result)}])
    return tmp_path / "catalogue.json"


def test_intake_esm_finds_a_reconstruction(entry: Path) -> None:
    import intake

    catalogue = intake.open_esm_datastore(str(entry), columns_with_iterables=["variable"])
    found = catalogue.search(variable="tas", product="reconstruction", experiment="punet6")
    assert found.df["file"].tolist() == [str(entry.parent / NAME)]
    assert len(catalogue.search(variable="tos").df) == 0


def test_our_own_search_does_not_take_it_for_observations(entry: Path) -> None:
    with pytest.raises(NoDataError, match="only if asked for"):
        search(open_catalogue(str(entry)), {"variable": "tas"})
