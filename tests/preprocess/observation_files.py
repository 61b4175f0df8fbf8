"""Small files written as each producer writes them: names, dimensions, types, fills, units, time axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np

LAT5 = np.arange(-87.5, 90, 5.0)
LON5 = np.arange(-177.5, 180, 5.0)
PERMUTED = ("time", "lat", "lon")
#: Writes values (T, H, W) of months (T,) into a folder.
Producer = Callable[[Path, np.ndarray, np.ndarray], Path]


def month_numbers(first_year: int, count: int) -> np.ndarray:
    return np.arange(first_year * 12, first_year * 12 + count)


def gappy(seed: int, shape: tuple[int, int, int], missing: float = 0.5) -> np.ndarray:
    """Anomalies in hundredths of K (exact in packed files), NaN where missing."""
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(0.0, 1.2, shape).clip(-6, 6) * 100) / 100
    values[rng.random(shape) < missing] = np.nan
    return values


def days_since(index: np.ndarray, units: str, calendar: str, day: int = 15) -> np.ndarray:
    dates = [cftime.datetime(int(i) // 12, int(i) % 12 + 1, day, calendar=calendar) for i in index]
    return np.asarray(cftime.date2num(dates, units, calendar=calendar), dtype=np.float64)


def month_edges(index: np.ndarray, units: str, calendar: str) -> np.ndarray:
    starts = days_since(np.append(index, index[-1] + 1), units, calendar, day=1)
    return np.stack([starts[:-1], starts[1:]], axis=1)


def write(
    path: Path,
    values: np.ndarray,
    index: np.ndarray,
    *,
    name: str = "tas",
    lat: np.ndarray = LAT5,
    lon: np.ndarray = LON5,
    lat_name: str = "lat",
    lon_name: str = "lon",
    dims: Sequence[str] = PERMUTED,
    extra: str | None = None,
    kind: str = "f4",
    scale: float | None = None,
    offset: float = 0.0,
    fill: float | None = None,
    fill_declared: bool = True,
    attributes: dict[str, Any] | None = None,
    file_attributes: dict[str, Any] | None = None,
    time_units: str = "days since 1850-01-01 00:00:00",
    calendar: str | None = "standard",
    times: np.ndarray | None = None,
    time_kind: str = "f8",
    time_bounds: bool = False,
    lat_bounds: np.ndarray | None = None,
    fmt: str = "NETCDF4",
) -> Path:
    """Write (T, H, W) ``values`` that stand in the order of ``lat`` and ``lon``."""
    with netCDF4.Dataset(path, "w", format=fmt) as file:
        for key, value in (file_attributes or {}).items():
            file.setncattr(key, value)
        # The classic formats have the unlimited dimension first or not at all.
        file.createDimension("time", None if fmt == "NETCDF4" or dims[0] == "time" else len(index))
        file.createDimension(lat_name, len(lat))
        file.createDimension(lon_name, len(lon))
        time = file.createVariable("time", time_kind, ("time",))
        time.units = time_units
        if calendar:
            time.calendar = calendar
        if times is None:
            times = days_since(index, time_units, calendar or "standard")
        if time_bounds:
            file.createDimension("bnds", 2)
            time.bounds = "time_bnds"
            bounds = file.createVariable("time_bnds", "f8", ("time", "bnds"))
            bounds[:] = month_edges(index, time_units, calendar or "standard")
        time[:] = times
        for axis, values_of_axis, units in ((lat_name, lat, "degrees_north"), (lon_name, lon, "degrees_east")):
            coordinate = file.createVariable(axis, "f8", (axis,))
            coordinate.units = units
            coordinate[:] = values_of_axis
        if lat_bounds is not None:
            if "bnds" not in file.dimensions:
                file.createDimension("bnds", 2)
            file[lat_name].bounds = "lat_bnds"
            file.createVariable("lat_bnds", "f8", (lat_name, "bnds"))[:] = lat_bounds
        names = {"time": "time", "lat": lat_name, "lon": lon_name}
        order = [PERMUTED.index(dim) for dim in dims]
        shape = [names[dim] for dim in dims]
        data = np.transpose(values, order)
        if extra:
            file.createDimension(extra, 1)
            shape.insert(1, extra)
            data = np.expand_dims(data, 1)
        variable = file.createVariable(
            name, kind, shape, fill_value=fill if fill is not None and fill_declared else None
        )
        variable.set_auto_maskandscale(False)
        if scale is not None:
            variable.scale_factor = np.float32(scale)
            variable.add_offset = np.float32(offset)
            data = np.round((data - offset) / scale)
        if fill is not None:
            data = np.where(np.isnan(data), fill, data)
        for key, value in ({"units": "K"} if attributes is None else attributes).items():
            variable.setncattr(key, value)
        variable[:] = data
    return path


def producer(file_name: str, finish: Callable[[netCDF4.Dataset], None] = lambda file: None, **form: Any) -> Producer:
    """A function that writes ``values`` at ``index`` into a folder, in the form of one producer's file ``file_name``."""

    def write_file(folder: Path, values: np.ndarray, index: np.ndarray) -> Path:
        path = write(folder / file_name, values, index, **form)
        with netCDF4.Dataset(path, "a") as file:
            finish(file)
        return path

    return write_file


def _realization(file: netCDF4.Dataset) -> None:
    realization = file.createVariable("realization", "i8", ())
    realization.standard_name = "realization"
    realization[:] = 100


def _status(file: netCDF4.Dataset) -> None:
    file.createDimension("field_status_string_length", 1)
    status = file.createVariable("field_status", "S1", ("time", "field_status_string_length"))
    status[:] = np.full((len(file.dimensions["time"]), 1), b"f")


def _climatology(file: netCDF4.Dataset) -> None:
    file.createDimension("month_number", 12)
    climatology = file.createVariable("climatology", "f4", ("month_number", "latitude", "longitude"))
    climatology.units, climatology.standard_name = "degree C", "surface_temperature"
    climatology[:] = 14.0
    mask = file.createVariable("land_mask", "f8", ("latitude", "longitude"))
    mask.standard_name = "land_binary_mask"
    mask[:] = 1.0


def _height(file: netCDF4.Dataset) -> None:
    height = file.createVariable("height", "f8", ())
    height.units, height.axis = "m", "Z"
    height[:] = 2.0


LONG_NAMES = {"lat_name": "latitude", "lon_name": "longitude"}
MET_OFFICE = LONG_NAMES | {"fill": -1e30, "calendar": "gregorian", "time_bounds": True}
HADCRUT5 = MET_OFFICE | {"kind": "f8"}

hadcrut5_mean = producer(
    "HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc",
    _realization,
    **HADCRUT5,
    name="tas_mean",
    attributes={
        "long_name": "blended air_temperature_anomaly over land with sea_water_temperature_anomaly",
        "units": "K",
        "cell_methods": "area: mean (interval: 5.0 degrees_north 5.0 degrees_east) time: mean "
        "(interval: 1 month) realization: mean",
        "coordinates": "realization",
    },
    file_attributes={
        "title": "HadCRUT.5.0.2.0 blended land air temperature and sea-surface temperature anomalies",
        "comment": "2m air temperature over land blended with sea water temperature at a depth of 20cm "
        "expressed as monthly anomalies relative to 1961-1990 climatology.",
        "institution": "Met Office Hadley Centre / Climatic Research Unit, University of East Anglia",
        "reference": "C. P. Morice et al., 2021",
        "version": "HadCRUT.5.0.2.0",
        "Conventions": "CF-1.7",
    },
)


def hadcrut5_member(folder: Path, number: int, values: np.ndarray, index: np.ndarray) -> Path:
    return producer(
        f"HadCRUT.5.0.2.0.anomalies.{number}.nc",
        **HADCRUT5,
        attributes={"units": "K", "long_name": "blended air_temperature_anomaly over land"},
        file_attributes={"version": "HadCRUT.5.0.2.0"},
    )(folder, values, index)


hadcrut5_uncorrelated = producer(
    "HadCRUT.5.0.2.0.uncorrelated.nc",
    **HADCRUT5,
    name="tas_unc",
    attributes={"units": "K", "long_name": "uncorrelated measurement and sampling uncertainty"},
)
hadcrut4_median = producer(
    "HadCRUT.4.6.0.0.median.nc",
    _status,
    **MET_OFFICE | {"time_bounds": False},
    name="temperature_anomaly",
    attributes={
        "long_name": "near_surface_temperature_anomaly",
        "units": "K",
        "missing_value": np.float32(-1e30),
        "reference_period": np.array([1961, 1990], dtype=np.int16),
    },
    file_attributes={"title": "HadCRUT4 near-surface temperature ensemble data - ensemble median"},
    time_units="days since 1850-1-1 00:00:00",
    time_kind="f4",
)
crutem5 = producer(
    "CRUTEM.5.0.2.0.anomalies.nc", **MET_OFFICE, attributes={"units": "K", "standard_name": "air_temperature_anomaly"}
)
gistemp = producer(
    "gistemp1200_GHCNv4_ERSSTv5.nc",
    name="tempanomaly",
    lat=np.arange(-89.0, 90, 2.0),
    lon=np.arange(-179.0, 180, 2.0),
    kind="i2",
    scale=0.01,
    fill=32767,
    attributes={"long_name": "Surface temperature anomaly", "units": "K", "cell_methods": "time: mean"},
    file_attributes={"title": "GISTEMP Surface Temperature Analysis", "Conventions": "CF-1.6"},
    time_units="days since 1800-01-01 00:00:00",
    calendar=None,
    time_kind="i4",
    time_bounds=True,
)
#: ``values`` north to south from 2.5 E, as the file has them.
noaa_global_temp = producer(
    "NOAAGlobalTemp_v5.1.0_gridded_s188001_e202212_c20230108T133308.nc",
    name="anom",
    lon=np.arange(2.5, 360, 5.0),
    extra="z",
    fill=-999.9,
    attributes={"long_name": "Global Temperature Anomalies", "units": "degrees C", "missing_value": np.float32(-999.9)},
    file_attributes={"title": "NOAA Merged Land Ocean Global Surface Temperature Analysis"},
    time_units="days since 1800-01-01 00:00:00",
    calendar=None,
)
cowtan_way = producer(
    "had4_krig_v2_0_0.nc",
    **LONG_NAMES,
    name="temperature_anomaly",
    fill=-1e30,
    attributes={"units": "K", "long_name": "temperature_anomaly"},
)


def berkeley(folder: Path, values: np.ndarray, index: np.ndarray) -> Path:
    return producer(
        "Land_and_Ocean_LatLong1.nc",
        _climatology,
        **LONG_NAMES,
        name="temperature",
        lat=np.arange(-85.0, 90, 10.0),
        lon=np.arange(-175.0, 180, 10.0),
        fill=np.nan,
        attributes={
            "units": "degree C",
            "standard_name": "surface_temperature_anomaly",
            "long_name": "Air Surface Temperature Anomaly",
            "valid_min": np.float32(-50),
            "valid_max": np.float32(50),
        },
        file_attributes={
            "title": "Native Format Berkeley Earth Surface Temperature Anomaly Field",
            "comment": "Anomalies are relative to the Jan 1951-Dec 1980 average; data from 1850 to 2020.",
        },
        time_units="year A.D.",
        calendar=None,
        times=(index // 12) + (index % 12 + 0.5) / 12,
    )(folder, values, index)


def gaussian_rows(count: int) -> np.ndarray:
    """Gaussian latitudes, south to north."""
    return np.degrees(np.arcsin(np.polynomial.legendre.leggauss(count)[0]))


def psl_20cr(folder: Path, values: np.ndarray, index: np.ndarray) -> Path:
    """``values`` north to south on a Gaussian grid from 0 E."""
    return producer(
        "air.2m.mon.mean.nc",
        name="air",
        lat=gaussian_rows(values.shape[1])[::-1],
        lon=np.arange(values.shape[2]) * 360.0 / values.shape[2],
        fill=-9.96921e36,
        attributes={
            "long_name": "Monthly Air Temperature at 2 m",
            "units": "degK",
            "missing_value": np.float32(-9.96921e36),
            "valid_range": np.array([150.0, 400.0], dtype=np.float32),
            "standard_name": "air_temperature",
            "statistic": "Ensemble Mean",
        },
        file_attributes={"title": "Monthly NOAA-CIRES 20th Century Reanalysis version 3 (20CRv3)"},
        time_units="hours since 1800-01-01 00:00:0.0",
        calendar=None,
        times=days_since(index, "hours since 1800-01-01 00:00:0.0", "standard", day=1),
    )(folder, values, index)


def cmip5(folder: Path, values: np.ndarray, index: np.ndarray, calendar: str) -> Path:
    first, last = index[0], index[-1]
    name = (
        f"tas_Amon_MPI-ESM-LR_historical_r1i1p1_{first // 12:04d}{first % 12 + 1:02d}-"
        f"{last // 12:04d}{last % 12 + 1:02d}.nc"
    )
    rows = gaussian_rows(values.shape[1])
    edges = np.concatenate([[-89.98], 0.5 * (rows[1:] + rows[:-1]), [89.98]])
    return producer(
        name,
        _height,
        lat=rows,
        lon=np.arange(values.shape[2]) * 360.0 / values.shape[2],
        lat_bounds=np.stack([edges[:-1], edges[1:]], axis=1),
        fill=1e20,
        attributes={
            "standard_name": "air_temperature",
            "long_name": "Near-Surface Air Temperature",
            "units": "K",
            "missing_value": np.float32(1e20),
            "coordinates": "height",
        },
        file_attributes={"title": "MPI-ESM-LR model output prepared for CMIP5 historical", "project_id": "CMIP5"},
        time_units="days since 1850-1-1 00:00:00",
        calendar=calendar,
        time_bounds=True,
        fmt="NETCDF3_CLASSIC",
    )(folder, values, index)
