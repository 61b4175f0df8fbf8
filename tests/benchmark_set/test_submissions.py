"""The form of a submission: what is refused with which words, and what does not matter."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from climrecon.benchmark_set import score_submissions
from climrecon.benchmark_set.card import MEMBERS, STDDEV, VALUES
from climrecon.benchmark_set.files import write_fields
from climrecon.benchmark_set.submission import SubmissionError
from climrecon.fields import Months
from helpers.benchmark_sets import ATTRIBUTES, SmallSet, fair, with_members

CASE = "sparse-noisy"
#: A file that is right, to be spoiled.
Spoil = Callable[[netCDF4.Dataset], None]


def refused(small: SmallSet, folder: Path) -> str:
    """The error of a submission, which must name the file and end with the exit code of bad input."""
    with pytest.raises(SubmissionError) as caught:
        score_submissions([folder], small.folder)
    assert caught.value.exit_code == 4
    assert caught.value.hint
    return str(caught.value)


@pytest.fixture(scope="module")
def right(small: SmallSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A submission that has the form, with few members."""
    return small.submit(tmp_path_factory.mktemp("right") / "made", lambda known, values: with_members(known, values, 5))


def spoiled(right: Path, folder: Path, spoil: Spoil) -> Path:
    shutil.copytree(right, folder)
    with netCDF4.Dataset(folder / f"{CASE}.nc", "a") as file:
        file.set_auto_mask(False)
        spoil(file)
    return folder


def put(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    def spoil(file: netCDF4.Dataset) -> None:
        file[name][:] = change(file[name][:])

    return spoil


def one_hole(values: np.ndarray) -> np.ndarray:
    values[3, 5, 7] = np.nan
    return values


def one_filled(values: np.ndarray) -> np.ndarray:
    values[3, 5, 7] = 1e20
    return values


def turned(values: np.ndarray) -> np.ndarray:
    """Months and rows, 36 of each, in each other's place."""
    return np.ascontiguousarray(np.swapaxes(values, 0, 1))


def own_months(values: np.ndarray) -> np.ndarray:
    """Members whose months are permuted, each in another way."""
    rng = np.random.default_rng(0)
    return np.stack([one[rng.permutation(len(one))] for one in values])


def absolute(values: np.ndarray) -> np.ndarray:
    return values + 14.0


CHANGES: dict[str, tuple[Spoil, str]] = {
    "a hole": (put(VALUES, one_hole), "tas has 1 values that are missing or not finite, e.g. in 1911-04 at latitude -62.5, longitude -142.5"),
    "a declared hole": (put(VALUES, one_filled), "tas has 1 values that are missing"),
    "infinite": (put(VALUES, lambda v: np.where(v > 1.0, np.inf, v)), "not finite"),
    "absolute, degC": (lambda f: (f[VALUES].setncattr("units", "degC"), put(VALUES, absolute)(f)), "absolute temperatures"),
    "absolute, K": (put(VALUES, lambda v: v + 287.0), "absolute temperatures"),
    "another quantity": (lambda f: f[VALUES].setncattr("units", "m s-1"), "units 'm s-1'; K is expected"),
    "no units": (lambda f: f[VALUES].delncattr("units"), "units ''; K is expected"),
    "another month": (put("time", lambda v: np.where(v > v[-2], v + 90.0, v)), "holds other months than the input: 1 months, 1914-03"),
    "axes in each other's place": (put(VALUES, turned), "contradicts the observations"),
    "months in reverse": (put(VALUES, lambda v: v[::-1]), "contradicts the observations"),
    "upside down": (put(VALUES, lambda v: v[:, ::-1]), "contradicts the observations"),
    "half around": (put(VALUES, lambda v: np.roll(v, 36, axis=2)), "contradicts the observations"),
    "sign": (put(VALUES, lambda v: -v), "contradicts the observations"),
    "errors below zero": (put(STDDEV, lambda v: -v), "values below zero"),
    "a hole in the errors": (put(STDDEV, one_hole), "tas_stddev has 1 values"),
    "members' axes": (put(MEMBERS, lambda v: np.stack([turned(one) for one in v])), "mean of tas_realisation differs from tas"),
    "members' months": (put(MEMBERS, own_months), "mean of tas_realisation differs from tas"),
    "a member with a hole": (put(MEMBERS, lambda v: np.stack([*v[:-1], one_hole(v[-1])])), "tas_realisation has 1 values"),
    "another name": (lambda f: f.renameVariable(VALUES, "temperature"), "no variable tas; fields of the file: temperature, tas_stddev"),
    "no method": (lambda f: f.delncattr("method"), "attribute method is absent"),
    "another method": (lambda f: f.setncattr("method", "b"), "method is 'b', in the files before 'made'"),
    "hours in words": (lambda f: f.setncattr("cpu_hours", "few"), "cpu_hours is 'few', no number"),
    "hours below zero": (lambda f: f.setncattr("cpu_hours", "-1"), "cpu_hours is '-1', no number"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_wrong_is_named(small: SmallSet, right: Path, tmp_path: Path, change: str) -> None:
    spoil, words = CHANGES[change]
    message = refused(small, spoiled(right, tmp_path / "made", spoil))
    assert words in message
    assert f"{CASE}.nc" in message


def test_a_missing_month(small: SmallSet, tmp_path: Path) -> None:
    folder = small.submit(tmp_path / "made", fair)
    fields = {name: values[1:] for name, values in fair(small.known[CASE], small.values[CASE]).items()}
    write_fields(folder / f"{CASE}.nc", Months(small.time.index[1:]), fields, ATTRIBUTES)
    assert "lacks 1 months, 1911-01" in refused(small, folder)


def test_another_grid(small: SmallSet, tmp_path: Path) -> None:
    folder = small.submit(tmp_path / "made", fair)
    path = folder / f"{CASE}.nc"
    path.unlink()
    with netCDF4.Dataset(path, "w") as file:
        file.setncatts(ATTRIBUTES)
        for name, size, units in (("time", 36, "days since 1911-01-01"), ("lat", 18, "degrees_north"), ("lon", 36, "degrees_east")):  # fmt: skip
            file.createDimension(name, size)
            file.createVariable(name, "f8", (name,)).units = units
        file["time"][:] = 15 + 30.4 * np.arange(36)
        file["lat"][:], file["lon"][:] = np.linspace(-85, 85, 18), np.linspace(5, 355, 36)
        file.createVariable(VALUES, "f4", ("time", "lat", "lon")).units = "K"
        file[VALUES][:] = 0.0
    assert "is on 18 x 36 (10 x 10 degrees, global); 36 x 72 (5 x 5 degrees, global) is expected" in refused(
        small, folder
    )


def test_months_in_words(small: SmallSet, tmp_path: Path) -> None:
    message = refused(small, small.submit(tmp_path / "made", fair, training_months="1960-1970, all"))
    assert "training_months: ' all' is no period" in message


def test_one_member_is_none(small: SmallSet, tmp_path: Path) -> None:
    folder = small.submit(tmp_path / "made", lambda known, values: with_members(known, values, 1))
    message = refused(small, folder)
    assert (
        "tas_realisation[realization 1, time 36, lat 36, lon 72] has no dimension realization of two members" in message
    )


def test_absent_and_foreign_files(small: SmallSet, tmp_path: Path) -> None:
    folder = small.submit(tmp_path / "made", fair)
    (folder / f"{CASE}.nc").rename(tmp_path / "away.nc")
    assert f"{CASE}.nc: the file does not exist" in refused(small, folder)
    (folder / f"{CASE}.nc").write_text("no netCDF")
    with pytest.raises(Exception, match="cannot be opened as netCDF"):
        score_submissions([folder], small.folder)
    assert "is no submission" in refused(small, tmp_path / "away.nc")
    assert "is no submission" in refused(small, tmp_path / "nothing")


def test_all_problems_are_reported_together_and_nothing_is_entered(
    small: SmallSet, right: Path, tmp_path: Path
) -> None:
    first = spoiled(right, tmp_path / "first", CHANGES["a hole"][0])
    second = spoiled(right, tmp_path / "second", CHANGES["sign"][0])
    for version, folder in (("1", first), ("2", second)):
        for path in folder.glob("*.nc"):
            with netCDF4.Dataset(path, "a") as file:
                file.method_version = version
    with pytest.raises(SubmissionError, match="(?s)missing or not finite.*contradicts") as caught:
        score_submissions([first, right, second], small.folder, board=tmp_path / "board.html")
    assert caught.value.exit_code == 4
    assert not (tmp_path / "board.json").exists()


def rewritten(source: Path, target: Path, order: list[str], flip_lat: bool, east: bool, backwards: bool) -> None:
    """The same content with other orders of dimensions, rows, columns, months and members."""
    target.mkdir()
    for path in source.glob("*.nc"):
        with netCDF4.Dataset(path) as old, netCDF4.Dataset(target / path.name, "w") as new:
            new.setncatts(old.__dict__)
            turn = {
                "lat": slice(None, None, -1 if flip_lat else 1),
                "lon": np.roll(np.arange(72), 36) if east else slice(None),
                "time": slice(None, None, -1 if backwards else 1),
                "realization": np.random.default_rng(1).permutation(len(old.dimensions["realization"])),
            }
            for name, dimension in old.dimensions.items():
                new.createDimension(name, len(dimension))
            for name in ("time", "lat", "lon"):
                new.createVariable(name, "f8", (name,)).setncatts(
                    {k: v for k, v in old[name].__dict__.items() if k != "bounds"}
                )
                new[name][:] = old[name][:][turn[name]] % 360.0 if name == "lon" and east else old[name][:][turn[name]]
            for name in (VALUES, STDDEV, MEMBERS):
                dims = [one for one in order if one in old[name].dimensions]
                values = old[name][:].filled()
                for axis, one in enumerate(old[name].dimensions):
                    values = np.take(values, np.arange(values.shape[axis])[turn[one]], axis=axis)
                new.createVariable(name, "f4", dims).units = "K"
                new[name][:] = np.transpose(values, [old[name].dimensions.index(one) for one in dims])


@pytest.mark.parametrize(
    ("order", "flip_lat", "east", "backwards"),
    [
        (["lon", "lat", "time", "realization"], False, False, False),
        (["time", "realization", "lat", "lon"], True, True, False),
        (["lat", "realization", "lon", "time"], True, False, True),
    ],
)
def test_orders_do_not_matter(
    small: SmallSet, right: Path, tmp_path: Path, order: list[str], flip_lat: bool, east: bool, backwards: bool
) -> None:
    rewritten(right, tmp_path / "turned", order, flip_lat, east, backwards)
    (usual,), (other,) = (score_submissions([one], small.folder) for one in (right, tmp_path / "turned"))
    assert other["sha256"] != usual["sha256"]
    assert other["overall"] == usual["overall"]
    assert other["cases"] == usual["cases"]
    assert other["probes"] == usual["probes"]


def test_units_of_differences_are_the_same(small: SmallSet, tmp_path: Path) -> None:
    small.submit(tmp_path / "made", fair)
    small.submit(tmp_path / "celsius", fair)
    for path in (tmp_path / "celsius").glob("*.nc"):
        with netCDF4.Dataset(path, "a") as file:
            file[VALUES].units = "degC"
    (usual,), (other,) = (score_submissions([tmp_path / name], small.folder) for name in ("made", "celsius"))
    assert other["overall"] == usual["overall"]


def test_hours_are_summed_over_the_cases(small: SmallSet, tmp_path: Path) -> None:
    (row,) = score_submissions([small.submit(tmp_path / "made", fair, cpu_hours=0.25)], small.folder)
    assert row["cpu_hours"] == 0.5
    (row,) = score_submissions([small.submit(tmp_path / "other", fair, cpu_hours="")], small.folder)
    assert row["cpu_hours"] is None
