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


def test_the_ensemble_mean_is_written_as_the_met_office_writes_it(demo: Path) -> None:
    """Header of HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc as released: ncdump of the real file."""
    with open_one(demo, "HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc") as file:
        assert {name: len(size) for name, size in file.dimensions.items()} == {
            "time": 2100, "latitude": 36, "longitude": 72, "bnds": 2
        }  # fmt: skip
        assert not file.dimensions["time"].isunlimited()
        kinds = {name: str(variable.dtype) for name, variable in file.variables.items()}
        assert kinds == {
            "tas_mean": "float64", "time": "float64", "time_bnds": "int64", "latitude": "float64",
            "latitude_bnds": "float64", "longitude": "float64", "longitude_bnds": "float64",
            "realization": "int64", "realization_bnds": "int64",
        }  # fmt: skip
        assert file["tas_mean"].getncattr("_FillValue") == -1e30
        assert file["tas_mean"].coordinates == "realization"
        assert file["tas_mean"].cell_methods == (
            "area: mean (interval: 5.0 degrees_north 5.0 degrees_east) time: mean (interval: 1 month) realization: mean"
        )
        assert (file["latitude"][0], file["longitude"][0]) == (-87.5, -177.5)
        assert file["time"].units == "days since 1850-01-01 00:00:00"
        assert file["time"][0] == 15.5
        assert list(file["time_bnds"][1]) == [31, 59]
        assert int(file["realization"][...]) == 100
        assert list(file["realization_bnds"][:]) == [1, 200]
        assert (file.Conventions, file.version) == ("CF-1.7", "HadCRUT.5.0.2.0")
        file.set_auto_mask(False)
        values = file["tas_mean"][:]
    assert np.all((values == -1e30) | (np.abs(values) < 20))


def test_it_has_no_seam_at_the_date_line(demo: Path) -> None:
    """Neighbours across the date line are as alike as neighbours elsewhere."""
    with open_one(demo, "HadCRUT.5.0.2.0.truth.nc") as file:
        truth = np.asarray(file["tas"][1200:], dtype=np.float64)
    step = np.sqrt(np.mean((np.roll(truth, -1, axis=2) - truth) ** 2, axis=(0, 1)))
    assert step[-1] < 1.2 * np.median(step)


def test_models_share_no_weather_with_the_observations(demo: Path) -> None:
    """Their own El Nino, not that of the truth; warming alone is common."""

    def nino(path: Path, name: str) -> np.ndarray:
        with netCDF4.Dataset(path) as file:
            lat = np.asarray(file[next(k for k in file.variables if k.startswith("lat"))][:])
            lon = np.mod(np.asarray(file[next(k for k in file.variables if k.startswith("lon"))][:]), 360.0)
            values = np.asarray(file[name][:], dtype=np.float64)
        box = values[:, np.abs(lat) <= 5.0][:, :, (lon > 190) & (lon < 240)].mean((1, 2)).reshape(-1, 12)
        box = box - box.mean(axis=0)
        years = np.arange(len(box))
        return (box - np.outer(years - years.mean(), np.polyfit(years, box, 1)[0])).ravel()

    (truth,) = demo.rglob("HadCRUT.5.0.2.0.truth.nc")
    (model,) = demo.rglob("tas_Amon_DEMO-GAUSS_historical_r1i1p1_196101-198412.nc")
    (twin,) = demo.rglob("tas_Amon_DEMO-GAUSS_historical_r2i1p1_196101-198412.nc")
    mine = nino(truth, "tas")[(1961 - 1850) * 12 : (1985 - 1850) * 12]
    first, second = nino(model, "tas"), nino(twin, "tas")
    assert abs(np.corrcoef(mine, first)[0, 1]) < 0.5
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.5
    assert 0.3 < first.std() < 1.5


def test_one_seed_makes_one_climate() -> None:
    from climrecon.demo.climate import make_climate
    from climrecon.fields import Months

    time = Months(np.arange(1961 * 12, 1963 * 12))
    first, again, other = (make_climate(time, seed).anomalies for seed in (4, 4, 5))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
