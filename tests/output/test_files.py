from __future__ import annotations

import os
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from made_up import make_product

from climrecon.errors import OutputError
from climrecon.fields import Months
from climrecon.output.netcdf import content_sha256, global_attributes, month_coordinates, write_netcdf
from climrecon.output.product import Product
from climrecon.pipeline.staging import staged


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
        assert file["tas_status"].flag_meanings == "observed reconstructed no_skill"
        assert "sea-surface temperature over sea blended" in file["tas"].long_name
        assert file.history.endswith("2020-01-01 made")
        assert (file["tas_stddev"][:] > 0).all()


def test_it_passes_the_cf_checker(tmp_path: Path) -> None:
    from compliance_checker.runner import CheckSuite, ComplianceChecker

    product = make_product(realisations=2)
    path = tmp_path / "tas_mon.nc"
    write_netcdf(product, path, attributes(product))
    CheckSuite.load_all_available_checkers()
    report = tmp_path / "report.json"
    ComplianceChecker.run_checker(
        str(path), ["cf:1.8"], 0, "normal", output_filename=str(report), output_format="json"
    )
    import json

    found = json.loads(report.read_text())["cf:1.8"]
    errors = [m for item in found["high_priorities"] for m in item["msgs"]]
    errors += [m for item in found["medium_priorities"] for m in item["msgs"]]
    assert not errors, errors


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
        np.testing.assert_allclose(file["tas_realisation"][3] - file["tas_realisation"][0], 3.0, atol=1e-5)


def test_months_have_their_bounds() -> None:
    middle, bounds = month_coordinates(Months.of([1850, 1850], [1, 2]), "standard")
    np.testing.assert_array_equal(bounds, [[0, 31], [31, 59]])
    np.testing.assert_array_equal(middle, [15.5, 45.0])
    assert month_coordinates(Months.of(1850, 2), "360_day")[1].tolist() == [[30, 60]]


def test_content_hash_sees_data_and_not_the_date(tmp_path: Path) -> None:
    product = make_product(2)
    paths = [tmp_path / f"{n}.nc" for n in "abc"]
    write_netcdf(product, paths[0], attributes(product))
    write_netcdf(product, paths[1], attributes(product, "2030-01-01T00:00:00Z"))
    product.infilled[0, 0, 0] += 1e-3
    write_netcdf(product, paths[2], attributes(product))
    first, second, third = map(content_sha256, paths)
    assert first == second != third


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


def test_a_stage_is_published_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(RuntimeError), staged(folder) as stage:
        (stage / "a.nc").write_text("half")
        raise RuntimeError
    assert not list(folder.iterdir())
    (folder / ".climrecon-999999999-dead").mkdir()
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
