from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np

from climrecon.grid import FIVE_DEGREES, NINO34, weighted_mean


def open_one(demo: Path, pattern: str) -> netCDF4.Dataset:
    (path,) = demo.rglob(pattern)
    return netCDF4.Dataset(path)


def test_it_is_small_and_says_that_it_is_made_up(demo: Path) -> None:
    files = list(demo.rglob("*.nc"))
    assert sum(path.stat().st_size for path in demo.rglob("*") if path.is_file()) < 30e6
    for path in files:
        with netCDF4.Dataset(path) as file:
            assert "SYNTHETIC" in file.comment, path


def test_gaps_grow_backwards_in_time(demo: Path) -> None:
    with open_one(demo, "HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc") as file:
        mask = ~np.ma.getmaskarray(file["tas_mean"][:])
        assert file["tas_mean"].dimensions == ("time", "latitude", "longitude")
        assert file["realization"].shape == ()
    share = (mask * FIVE_DEGREES.area).sum((1, 2)).reshape(-1, 12).mean(1)
    decades = share[:170].reshape(17, 10).mean(1)
    assert decades[0] < 0.3
    assert decades[-1] > 0.8
    assert np.corrcoef(decades, np.arange(17))[0, 1] > 0.95
    war = share[1942 - 1850]
    assert war < share[1936 - 1850]


def test_the_el_nino_of_1877_is_there(demo: Path) -> None:
    with open_one(demo, "HadCRUT.5.0.2.0.truth.nc") as file:
        truth = np.asarray(file["tas"][:])
    nino = weighted_mean(truth, FIVE_DEGREES.region_weights(NINO34))
    winter = nino[(1877 - 1850) * 12 + 10 : (1877 - 1850) * 12 + 14].mean()
    assert winter > 2.0
    warming = (truth * FIVE_DEGREES.area).sum((1, 2)).reshape(-1, 12).mean(1)
    assert 0.8 < warming[-10:].mean() - warming[:50].mean() < 1.8


def test_observations_are_the_truth_with_errors(demo: Path) -> None:
    stem = "HadCRUT.5.0.2.0"
    with (
        open_one(demo, f"{stem}.truth.nc") as a,
        open_one(demo, f"{stem}.anomalies.ensemble_mean.nc") as b,
        open_one(demo, f"{stem}.uncorrelated.nc") as c,
    ):
        truth, seen, sd = (np.ma.filled(x[:], np.nan) for x in (a["tas"], b["tas_mean"], c["tas_unc"]))
    ratio = np.nanstd((seen - truth) / sd)
    assert 0.9 < ratio < 1.1


def test_models_have_their_own_calendars_grids_and_chunks(demo: Path) -> None:
    paths = sorted(demo.rglob("tas_Amon_DEMO-*_r1i1p1_*.nc"))
    assert len(paths) == 4
    calendars = set()
    for path in paths:
        with netCDF4.Dataset(path) as file:
            calendars.add(file["time"].calendar)
            assert file["tas"].units == "K"
            assert 200 < float(file["tas"][:].min()) < float(file["tas"][:].max()) < 330
            assert file.project_id == "CMIP5"
    assert calendars == {"noleap", "360_day"}
    with open_one(demo, "air.2m.mon.mean.nc") as file:
        assert file["lat"][0] > file["lat"][-1]
        assert file["lon"][0] == 0
        assert file["time"].units.startswith("hours since 1800")
