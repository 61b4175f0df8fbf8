from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from climrecon.errors import OutputError
from climrecon.fields import Months
from climrecon.files import atomic_path, write_text
from climrecon.output.axes import step_coordinates
from climrecon.output.content import content_sha256
from climrecon.output.netcdf import global_attributes, write_netcdf
from climrecon.output.product import Product
from climrecon.output.rounding import step_of
from climrecon.variables import VARIABLES
from climrecon.workflow.run_folder import staged
from helpers.left_behind import left_by_a_dead_process
from helpers.made_up import make_product


def attributes(product: Product, when: str = "2026-01-01T00:00:00Z") -> dict[str, str]:
    return global_attributes(product, {"seed": 0}, {"climrecon": "0"}, when, "run", "climrecon reconstruct")


def test_observed_cells_are_bit_identical_in_the_files_own_order(tmp_path: Path) -> None:
    product = make_product()
    path = tmp_path / "x.nc"
    write_netcdf(product, path, attributes(product))
    with netCDF4.Dataset(path) as file:
        file.set_auto_mask(False)
        assert file["lat"][0] > file["lat"][-1]
        assert file["lon"][0] == 2.5
        ours = np.roll(file["tas"][:][:, ::-1], 36, axis=2)
        mask = product.observations.mask
        assert (ours[mask] == product.observations.values[mask]).all()
        assert file["tas"].dtype == np.float32
        status = np.roll(file["tas_status"][:][:, ::-1], 36, axis=2)
        assert set(np.unique(status[mask])) == {1}
        assert set(np.unique(status[~mask])) == {2, 3}
        assert file["tas_status"].flag_meanings == "observed reconstructed no_skill outside_training_range"
        assert "sea-surface temperature over sea blended" in file["tas"].long_name
        assert file.history.endswith("2020-01-01 made")
        assert (file["tas_stddev"][:] > 0).all()


def cf_problems(path: Path) -> list[str]:
    """What the CF suite of compliance-checker finds wrong, of any weight."""
    from compliance_checker.runner import CheckSuite, ComplianceChecker

    CheckSuite.load_all_available_checkers()
    report = path.with_suffix(".json")
    ComplianceChecker.run_checker(str(path), ["cf:1.8"], 0, "normal", output_filename=str(report), output_format="json")
    found = json.loads(report.read_text())["cf:1.8"]
    return [m for key in PRIORITIES for item in found[key] for m in item["msgs"]]


PRIORITIES = ("high_priorities", "medium_priorities", "low_priorities")


def test_it_passes_the_cf_checker(tmp_path: Path) -> None:
    product = make_product(realisations=2)
    path = tmp_path / "tas_mon.nc"
    write_netcdf(product, path, attributes(product))
    assert cf_problems(path) == []


@pytest.mark.parametrize("name", ["tas", "tas_analysis", "tas_stddev", "tas_status", "tas_realisation"])
def test_a_variable_alone_passes_too(tmp_path: Path, name: str) -> None:
    product = make_product(3, realisations=2)
    path = tmp_path / "alone.nc"
    write_netcdf(product, path, attributes(product), (name,))
    assert cf_problems(path) == []
    with netCDF4.Dataset(path) as file:
        data = [v for v in file.variables if v not in file.dimensions and not v.endswith("_bnds")]
        assert data == [name]
        assert "ancillary_variables" not in file[name].ncattrs()


def test_ancillary_variables_are_those_in_the_file(tmp_path: Path) -> None:
    product = make_product(2)
    for stddev, expected in ((product.stddev, "tas_stddev tas_status"), (None, "tas_status")):
        write_netcdf(replace(product, stddev=stddev), tmp_path / "x.nc", attributes(product))
        with netCDF4.Dataset(tmp_path / "x.nc") as file:
            assert file["tas"].ancillary_variables == expected


def test_another_variable_has_its_own_names(tmp_path: Path) -> None:
    product = make_product(2, realisations=1)
    source = replace(product.observations.source, blended=False)
    product = replace(product, observations=replace(product.observations, variable="tos", source=source))
    path = tmp_path / "tos.nc"
    write_netcdf(product, path, attributes(product))
    assert cf_problems(path) == []
    with netCDF4.Dataset(path) as file:
        assert {"tos", "tos_analysis", "tos_stddev", "tos_status", "tos_realisation"} <= set(file.variables)
        assert not [name for name in file.variables if name.startswith("tas")]
        assert file["tos"].standard_name == "sea_water_temperature_anomaly"
        assert file["tos_stddev"].standard_name == "sea_water_temperature_anomaly standard_error"
        assert "air" not in file["tos"].long_name


def test_an_anomaly_says_that_it_is_a_difference(tmp_path: Path) -> None:
    product = make_product(2)
    write_netcdf(product, tmp_path / "x.nc", attributes(product))
    with netCDF4.Dataset(tmp_path / "x.nc") as file:
        for name in ("tas", "tas_analysis", "tas_stddev"):
            assert (file[name].units, file[name].units_metadata) == ("K", "temperature: difference")
        assert file["tas"].reference_period == "1961-1990"
        assert file.comment.endswith("A note.")


def test_double_precision_comes_back(tmp_path: Path) -> None:
    product = make_product(2)
    values = product.observations.values.astype(np.float64) + 1e-12
    source = replace(product.observations.source, dtype=">f8")
    infilled = np.where(product.observations.mask, values, product.analysis)
    product = replace(
        product, infilled=infilled, observations=replace(product.observations, values=values, source=source)
    )
    write_netcdf(product, tmp_path / "x.nc", attributes(product))
    with netCDF4.Dataset(tmp_path / "x.nc") as file:
        assert file["tas"].dtype == np.float64
        ours = np.roll(file["tas"][:].data[:, ::-1], 36, axis=2)
        mask = product.observations.mask
        assert (ours[mask] == values[mask]).all()


def test_rows_written_twice_come_back_twice(tmp_path: Path) -> None:
    product = make_product(2, twice=True)
    path = tmp_path / "x.nc"
    write_netcdf(product, path, attributes(product))
    with netCDF4.Dataset(path) as file:
        assert file["tas"].shape == (2, 72, 72)
        np.testing.assert_array_equal(file["tas"][:, ::2], file["tas"][:, 1::2])
        bounds = file["lat_bnds"][:]
        np.testing.assert_allclose(bounds[0], [-90, -87.5])


def test_realisations_are_written_one_by_one(tmp_path: Path) -> None:
    product = make_product(3, realisations=4)
    path = tmp_path / "x.nc"
    write_netcdf(product, path, attributes(product))
    with netCDF4.Dataset(path) as file:
        assert file["tas_realisation"].shape == (4, 3, 36, 72)
        apart = file["tas_realisation"][3] - file["tas_realisation"][0]
        np.testing.assert_allclose(apart, 3.0, atol=1.001 * step_of(VARIABLES["tas"]))  # halves are rounded to even
        assert float(np.median(np.asarray(apart))) == 3.0


@pytest.mark.parametrize(
    ("architecture", "words"), [({"persistence": 0.28}, "correlated (0.28 from"), ({}, "not stated")]
)
def test_realisations_say_how_their_months_go_together(
    tmp_path: Path, architecture: dict[str, float], words: str
) -> None:
    product = make_product(3, realisations=1)
    network = replace(product.network, card={"architecture": architecture})
    write_netcdf(replace(product, network=network), tmp_path / "x.nc", attributes(product))
    with netCDF4.Dataset(tmp_path / "x.nc") as file:
        assert words in file["tas_realisation"].comment


def test_months_have_their_bounds() -> None:
    middle, bounds = step_coordinates(Months.of([1850, 1850], [1, 2]), "standard")
    np.testing.assert_array_equal(bounds, [[0, 31], [31, 59]])
    np.testing.assert_array_equal(middle, [15.5, 45.0])
    assert step_coordinates(Months.of(1850, 2), "360_day")[1].tolist() == [[30, 60]]


def test_content_hash_sees_data_and_not_the_date(tmp_path: Path) -> None:
    product = make_product(2)
    paths = [tmp_path / f"{n}.nc" for n in "abc"]
    write_netcdf(product, paths[0], attributes(product))
    write_netcdf(product, paths[1], attributes(product, "2030-01-01T00:00:00Z"))
    product.infilled[0, 0, 0] += 0.1
    write_netcdf(product, paths[2], attributes(product))
    first, second, third = map(content_sha256, paths)
    assert first == second != third


def repacked(path: Path, copy: Path) -> None:
    """The same content without compression."""
    with netCDF4.Dataset(path) as old, netCDF4.Dataset(copy, "w", format="NETCDF4_CLASSIC") as new:
        new.setncatts({key: old.getncattr(key) for key in old.ncattrs()})
        for name, dimension in old.dimensions.items():
            new.createDimension(name, None if dimension.isunlimited() else len(dimension))
        for name, variable in old.variables.items():
            variable.set_auto_maskandscale(False)
            about = {key: variable.getncattr(key) for key in variable.ncattrs()}
            fill = about.pop("_FillValue", None)
            made = new.createVariable(name, variable.dtype, variable.dimensions, fill_value=fill)
            made.setncatts(about)
            made.set_auto_maskandscale(False)
            made[:] = variable[:]


@pytest.mark.parametrize("dtype", ["float32", ">f4", "float64"])
def test_the_hash_of_what_was_just_written_is_that_of_the_file(tmp_path: Path, dtype: str) -> None:
    product = make_product(2)
    source = replace(product.observations.source, dtype=dtype)
    product = replace(product, observations=replace(product.observations, source=source))
    written = write_netcdf(product, tmp_path / "x.nc", attributes(product))
    assert {"tas", "tas_analysis", "tas_stddev", "tas_status"} <= set(written)
    assert content_sha256(tmp_path / "x.nc", written) == content_sha256(tmp_path / "x.nc")
    written["tas"] = written["tas_analysis"]
    assert content_sha256(tmp_path / "x.nc", written) != content_sha256(tmp_path / "x.nc")


def test_content_hash_is_of_data_whatever_the_versions_and_the_packing(tmp_path: Path) -> None:
    product = make_product(2)
    first, second, packed, renamed = (tmp_path / f"{n}.nc" for n in "abcd")
    write_netcdf(product, first, attributes(product))
    later = global_attributes(product, {"seed": 1}, {"climrecon": "9"}, "2030-01-01T00:00:00Z", "other", "x")
    write_netcdf(product, second, later)
    with netCDF4.Dataset(first) as a, netCDF4.Dataset(second) as b:
        assert a.source != b.source
        assert a.tracking_id != b.tracking_id
    assert content_sha256(first) == content_sha256(second)
    repacked(first, packed)
    assert packed.stat().st_size > 1.2 * first.stat().st_size
    assert content_sha256(packed) == content_sha256(first)
    write_netcdf(product, renamed, {**attributes(product), "climrecon_network_sha256": "0" * 64})
    assert content_sha256(renamed) != content_sha256(first)


@pytest.mark.parametrize(("mask", "mode"), [(0o002, 0o664), (0o022, 0o644)])
def test_files_follow_the_umask(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        product = make_product(2)
        write_netcdf(product, tmp_path / "x.nc", attributes(product))
    finally:
        os.umask(before)
    assert (tmp_path / "x.nc").stat().st_mode & 0o777 == mode


def test_nothing_half_written_stays(tmp_path: Path) -> None:
    product = make_product(2)

    def explode():
        yield product.analysis
        raise KeyboardInterrupt

    broken = Product(**{**vars(product), "realisations": explode, "n_realisations": 2})
    with pytest.raises(KeyboardInterrupt):
        write_netcdf(broken, tmp_path / "x.nc", attributes(product))
    assert not list(tmp_path.iterdir())


FULL = """
import resource, signal, sys
from pathlib import Path
sys.path[:0] = {path!r}
from helpers.made_up import make_product
from climrecon.errors import OutputError
from climrecon.output.netcdf import write_netcdf
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
usual = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, usual[1]))
try:
    write_netcdf(make_product(24), Path({target!r}), {{"Conventions": "CF-1.8"}})
except OutputError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, usual)  # what measures the tests writes at the end, too
"""


def test_a_file_that_cannot_grow_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    # A limit on the size of files is what a quota looks like to the library: "HDF error", nothing more.
    code = FULL.format(path=sys.path, target=str(tmp_path / "x.nc"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=240)
    assert "x.nc could not be written" in done.stdout
    assert "MB are free" in done.stdout
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    product = make_product(2)
    with pytest.raises(OutputError, match=r"x\.nc could not be written"):
        write_netcdf(product, tmp_path / "none" / "x.nc", attributes(product))


def test_other_failures_are_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    def broken():
        yield np.zeros((2, 36, 72), np.float32)
        raise RuntimeError("the sampler failed")

    product = replace(make_product(2), realisations=broken, n_realisations=2)
    with pytest.raises(RuntimeError, match="sampler"):
        write_netcdf(product, tmp_path / "x.nc", attributes(product))
    assert not list(tmp_path.iterdir())


def test_a_replaced_file_stays_as_it_was_if_the_new_one_fails(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    write_text(target, "old")
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_stage_is_published_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(RuntimeError), staged(folder) as stage:
        (stage / "a.nc").write_text("half")
        raise RuntimeError
    assert not list(folder.iterdir())
    left_by_a_dead_process(folder)
    with staged(folder) as stage:
        (stage / "manifest.json").write_text("{}")
        (stage / "a.nc").write_text("whole")
        (stage / "sub").mkdir()
        (stage / "sub" / "b.nc").write_text("b")
        assert not (folder / "a.nc").exists()
    assert sorted(p.name for p in folder.iterdir()) == ["a.nc", "manifest.json", "sub"]


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    import errno

    with pytest.raises(OutputError, match="disk is full"), staged(tmp_path / "run") as stage:
        (stage / "a.nc").write_text("x")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list((tmp_path / "run").iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"), staged(tmp_path / "file" / "run"):
        pass
