"""The radar trial: files in the forms of three services, outages, and what fills them without a network."""

from __future__ import annotations

import io
import re
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def radar(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import radar

    return radar


@pytest.fixture
def data(radar: Any) -> Any:
    import radar_data

    return radar_data


def archive_of(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def test_an_ascii_composite_is_read_in_order_of_time_and_from_the_south(data: Any, tmp_path: Path) -> None:
    head = "ncols 8\nnrows 8\nxllcorner 0\nyllcorner 0\ncellsize 1000\nNODATA_value -1\n"

    def grid(north: int, south: int) -> bytes:
        rows = [[north] * 8] * 4 + [[south] * 4 + [-1] + [south] * 3] * 4
        return (head + "\n".join(" ".join(map(str, row)) for row in rows)).encode()

    one = data.ARCHIVES["Germany, hourly"]
    archive_of(tmp_path / "radar" / one.file, {"RW_1.asc": grid(30, 7), "RW_0.asc": grid(10, 5)})
    rates = one.rates(tmp_path)
    np.testing.assert_allclose(rates[:, 1], [[1.0, 1.0], [3.0, 3.0]], rtol=1e-6)
    np.testing.assert_allclose(rates[:, 0], [[0.5, np.nan], [0.7, np.nan]], rtol=1e-6)


def test_amounts_of_minutes_become_rates(data: Any, tmp_path: Path) -> None:
    path = tmp_path / "one.h5"
    with netCDF4.Dataset(path, "w") as file:
        group = file.createGroup("image1")
        for name, size in (("y", 4), ("x", 8)):
            group.createDimension(name, size)
        image = group.createVariable("image_data", "u2", ("y", "x"), fill_value=False)
        image[:] = 25
        image[:, 5] = 65535
    one = data.ARCHIVES["Netherlands, 5 minutes"]
    archive_of(tmp_path / "radar" / one.file, {"08/one.h5": path.read_bytes()})
    np.testing.assert_allclose(one.rates(tmp_path), [[[3.0, np.nan]]], rtol=1e-6)


def test_outages_have_their_shapes_and_last(data: Any) -> None:
    rng = np.random.default_rng(0)
    for kind in data.KINDS:
        shares = [1.0 - data.outage(kind, rng).mean() for _ in range(40)]
        assert min(shares) > 0.03
        assert max(shares) < 0.7
    assert np.mean([1 - data.outage("radar", rng).mean() for _ in range(40)]) > 0.25
    masks = data.RadarOutages.on_tiles()
    mask = masks.draw(rng)
    drawn = np.array([[m.all() for m in masks.neighbours(mask, (-1, 1, -2, 2), rng)] for _ in range(400)])
    assert all((m == mask).all() or m.all() for m in masks.neighbours(mask, (-1, 1, -2, 2), rng))
    # What has ended one step later has ended two steps later as well.
    assert (drawn[:, 2] >= drawn[:, 0]).all()
    assert (drawn[:, 3] >= drawn[:, 1]).all()
    # Durations 1 to 4 are alike, and so are the places in them: the next step is within the outage in 0, 1/2, 2/3, 3/4.
    assert drawn[:, 1].mean() == pytest.approx(1 - (0 + 1 / 2 + 2 / 3 + 3 / 4) / 4, abs=0.08)


def moving(data: Any, steps: int = 92) -> np.ndarray:
    """A band of rain that moves one cell a step to the east, on 64 x 64 cells."""
    column = np.arange(64)[None, :] - np.arange(steps)[:, None]
    rain = 6.0 * np.exp(-0.5 * ((column % 32 - 16) / 4.0) ** 2)
    return np.repeat(rain[:, None, :], 64, axis=1).astype(np.float32)


def test_cases_are_apart_from_what_is_learned_and_known_baselines_fill_them(radar: Any, data: Any) -> None:
    for one in data.ARCHIVES.values():
        assert one.learned.stop < one.validated.start < one.validated.stop < one.scored.start
    one = replace(data.ARCHIVES["Netherlands, 5 minutes"], duration=3)
    rates = moving(data)
    fields = data.training_fields(rates, range(0, 4), 32, all_images=True)
    assert fields.values.shape == (4 * 8 * 4, 32, 32)
    np.testing.assert_allclose(data.RAIN.inverse(fields.values[:4]), rates[:4, :32, :32], atol=1e-4)
    cases = data.cases_of(one, rates, 0)
    assert cases.mask[:, :2].all()
    assert cases.mask[:, -2:].all()
    assert cases.truth.shape == (8 * 4 * 3, 7, 32, 32)
    steady = replace(cases, truth=np.broadcast_to(cases.truth[:, :1], cases.truth.shape))
    for fill in (radar.persistence, radar.in_time):
        scores = radar.scores_of(fill(steady), steady)
        assert (scores["rmse"], scores["csi_1"], scores["fss_5"], scores["short_waves"]) == (0.0, 1.0, 1.0, 1.0)
    rising = np.arange(7.0)[None, :, None, None] * np.ones_like(cases.truth)
    linear = replace(cases, truth=rising)
    assert radar.scores_of(radar.in_time(linear), linear)["rmse"] == 0.0
    late = radar.scores_of(radar.persistence(linear), linear)
    assert late["rmse_of_step"] == [1.0, 2.0, 3.0]
    assert late["bias"] == -2.0
    # A front that moves is nowhere where it was.
    made = {"persistence": radar.persistence(cases), "in time": radar.in_time(cases)}
    found = {name: radar.scores_of(fields, cases) for name, fields in made.items()}
    assert 0.0 < found["in time"]["rmse"] < found["persistence"]["rmse"]
    low, high = radar.compared(made, cases, "in time")["persistence"]
    assert 0.0 < low < found["persistence"]["rmse"] - found["in time"]["rmse"] < high


def test_a_network_of_the_trial_is_trained_and_kept(radar: Any, data: Any, tmp_path: Path, monkeypatch: Any) -> None:
    small = {"rank": 10, "trailing": 10, "width": 4, "iterations": 4, "check_every": 2, "pool": 12, "checks": 6}
    monkeypatch.setattr(radar, "SETTINGS", {**radar.SETTINGS, **small})
    monkeypatch.setattr(radar, "APART", 32)
    one, rates = data.ARCHIVES["Netherlands, 5 minutes"], moving(data)
    network = radar.trained(one, rates, 2, tmp_path)
    assert (network.neighbour_months, network.padding, network.keeps_mean) == (2, "edge", False)
    again = radar.trained(one, rates, 2, tmp_path)
    for key, value in network.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[key], value)
    cases = data.cases_of(one, rates, 0)
    few = replace(cases, truth=cases.truth[:3], mask=cases.mask[:3], kind=cases.kind[:3], start=cases.start[:3])
    method = radar.Transformed(radar.UNetReconstructor("network", network, 0.1, 0.0, np.zeros((1, 1))), data.RAIN)
    filled = radar.by_method(few, method, around=True)
    assert filled.shape == (3, 3, 32, 32)
    assert filled.min() >= 0.0
    # Its first weights are optimal interpolation, which knows bands.
    assert radar.scores_of(filled, few)["rmse"] < radar.scores_of(np.zeros_like(filled), few)["rmse"]


def test_the_code_of_the_page_runs(data: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "how-to" / "radar.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    for name, value in {"iterations": 4, "pool": 12, "checks": 6, "rank": 10, "trailing": 10}.items():
        code, count = re.subn(rf'"{name}": \d+', f'"{name}": {value}', code)
        assert count == 1
    rates = moving(data)[:, :32, :32]
    values, mask = rates[60:67].copy(), np.ones((7, 32, 32), bool)
    mask[2:5, 8:24, 8:24] = False
    given = {
        "learned": np.stack([rates[:40], rates[:40].transpose(0, 2, 1)]),
        "validated": rates[None, 50:56],
        "RadarOutages": data.RadarOutages,
    }
    found: dict[str, Any] = {**given, "values": np.where(mask, values, np.nan), "mask": mask}
    exec(code, found)
    np.testing.assert_array_equal(found["filled"][mask], values[mask])
    assert np.abs(found["filled"] - values)[~mask].mean() < 0.5 * values[~mask].mean()
    assert found["grid"].same_as(data.plane())
    assert found["rain"] == data.RAIN


def test_real_archives_are_read(data: Any, shared_data: Path) -> None:
    one = data.ARCHIVES["Germany, hourly"]
    rates = one.rates(shared_data)
    assert rates.shape == (24, 225, 225)
    assert np.nanmean(rates) == pytest.approx(0.15, abs=0.02)
    assert len(data.cases_of(one, rates, 0).truth) >= 30
