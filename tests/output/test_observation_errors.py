"""Which results state that a data set's uncorrelated errors are in: those of methods that use them, and kept cells."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import pytest

from climrecon.settings import Site, validate
from climrecon.settings.site import SiteFile
from climrecon.tasks.run import stages_of
from climrecon.workflow.progress import Quiet
from climrecon.workflow.run_info import run_info
from climrecon.workflow.stage import run_stages

FILE = "HadCRUT.5.0.2.0.uncorrelated.nc"
IN = f"uncorrelated errors of the cells ({FILE}"
NOT_IN = f"The uncorrelated errors of the cells ({FILE}) are not in: "


def stated(demo: Path, folder: Path, network: str, keep_observed: str = "true") -> str:
    """``climrecon_observation_errors`` of a result from observations with a file of uncorrelated errors."""
    given = {
        "catalogue": str(demo / "catalogue.json"), "plots": "false", "report": "false", "compare_with": "none",
        "period": "187711-187801", "network": network, "obs_members": "0", "keep_observed": keep_observed,
        "cachedir": str(folder / "cache"), "outputdir": str(folder / "o"), "reference_period": "1961-1990",
    }  # fmt: skip
    site = Site(SiteFile())
    run_stages(stages_of(validate(given, site), site, run_info({"id": "7"})), Quiet())
    (path,) = (folder / "o").glob("tas_mon*.nc")
    with netCDF4.Dataset(path) as file:
        return str(file.climrecon_observation_errors)


@pytest.mark.parametrize("network", ["kadow2020", "climatology", "idw"])
def test_a_method_that_uses_no_stated_errors_does_not_claim_them(demo: Path, tmp_path: Path, network: str) -> None:
    text = stated(demo, tmp_path, network)
    assert f"{NOT_IN}the method does not use them." in text
    assert f"are in: {IN}" not in text
    assert "states systematic errors, partly correlated errors." in text, "a file states the uncorrelated ones"


@pytest.mark.parametrize("network", ["punet6", "oi"])
def test_a_method_that_uses_stated_errors_says_so(demo: Path, tmp_path: Path, network: str) -> None:
    text = stated(demo, tmp_path, network)
    assert f"are in: {IN})." in text
    assert NOT_IN not in text


@pytest.mark.parametrize(("keep_observed", "where"), [("true", "at kept cells alone"), ("false", "")])
def test_kriging_has_the_stated_errors_at_kept_cells_alone(
    demo: Path, tmp_path: Path, keep_observed: str, where: str
) -> None:
    text = stated(demo, tmp_path, "kriging", keep_observed)
    if where:
        assert f"are in: {IN}, at kept cells alone: the method estimates its own)." in text
    else:
        assert f"{NOT_IN}the method estimates its own." in text
        assert "at kept cells" not in text
