"""From a catalogue to the store: good members, bad ones, changed and new ones, and a preparation that is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from climrecon.catalogue import build_catalogue
from climrecon.errors import NoDataError, OutputError, UsageError
from climrecon.settings import load_site, validate
from climrecon.tasks.train.task import Training
from climrecon.workflow.progress import Quiet
from climrecon.workflow.run_info import run_info


class Told(Quiet):
    """Keeps warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)


def training(tmp_path: Path, catalogue: Path, monkeypatch: pytest.MonkeyPatch, **values: Any) -> Training:
    site = tmp_path / "site.toml"
    site.write_text(f'network_store = ["{tmp_path / "store"}"]\n')
    monkeypatch.setenv("CLIMRECON_CONFIG", str(site))
    loaded = load_site()
    given = {"task": "train", "catalogue": str(catalogue), "cachedir": str(tmp_path / "cache"), **values}
    return Training(validate(given, loaded), loaded, run_info())


def archive(demo: Path, folder: Path) -> Path:
    """The demo's models and observations, in a folder of their own that may be spoilt."""
    shutil.copytree(demo / "cmip5", folder / "cmip5")
    (folder / "observations").mkdir()
    for path in (demo / "observations").rglob("*.nc"):
        (folder / "observations" / path.name).symlink_to(path)
    return folder


def stored(job: Training) -> dict[str, tuple[int, bytes]]:
    return {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in job.data.preparation.folder.glob("*.safetensors")}


def tas(folder: Path, model: str, member: int, part: str = "*") -> Path:
    (path,) = folder.rglob(f"tas_Amon_{model}_historical_r{member}i1p1_{part}.nc")
    return path


def test_all_members_of_mixed_grids_and_calendars(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = training(tmp_path, demo / "catalogue.json", monkeypatch, training_data="cmip5+20cr")
    assert [(m.name, m.family) for m in job.data.members][:2] == [("DEMO-GAUSS r1i1p1", "DEMO-GAUSS"), ("DEMO-GAUSS r2i1p1", "DEMO-GAUSS")]  # fmt: skip
    job.data.prepare_many(range(len(job.data.members)), Quiet())
    assert all(job.data.is_prepared(part) for part in range(6))
    material = job.data.material
    # The archive holds 20CR as its producer publishes it and in CMOR's form: one is enough.
    assert material.left_out == (("20CR r1i1p1", "it holds the same fields as 20CR"),)
    targets = {m.about["name"]: m.about["target"] for m in material.stored}
    assert targets.pop("DEMO-GAUSS r1i1p1") == "blended"
    assert set(targets.values()) == {"tas"}
    assert any("no tos, sic" in note for note in material.stored[1].about["notes"])
    for member in material.stored:
        assert member.values.shape[1:] == (36, 72)
        inside = (member.index // 12 >= 1961) & (member.index // 12 <= 1990)
        months = member.index % 12
        for month in range(12):  # each to its own climatology over the same years
            mean = member.values[inside & (months == month)].mean(axis=0)
            assert np.abs(mean).max() < 2e-3
    uses = {use: {n for n, _ in getattr(material.split, use)} for use in ("train", "validation", "test")}
    assert not uses["train"] & uses["test"] - {4}  # the reanalysis' only member is split by years
    before = stored(job)
    again = training(tmp_path, demo / "catalogue.json", monkeypatch, training_data="cmip5+20cr")
    assert all(again.data.is_prepared(part) for part in range(6))
    again.data.prepare(0, Quiet())
    assert stored(again) == before
    assert again.plan.fingerprint == job.plan.fingerprint
    blended = training(tmp_path, demo / "catalogue.json", monkeypatch, training_data="cmip5", training_target="blended")
    told = Told()
    blended.data.prepare_many(range(4), told)
    assert len(told.warnings) == 3
    assert all("no tos" in text for text in told.warnings)


def test_bad_members_are_named_and_left_out_and_the_others_stay(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = archive(demo, tmp_path / "archive")
    with netCDF4.Dataset(tas(folder, "DEMO-REG", 2, "198501-200012"), "a") as file:
        file["tas"].units = "W m-2"
    # A third model without the variable, and a fourth that lacks months.
    lacking = folder / "cmip5" / "psl_Amon_OTHER_historical_r1i1p1_196101-200012.nc"
    shutil.copy(tas(folder, "DEMO-REG", 1, "198501-200012"), lacking)
    with netCDF4.Dataset(lacking, "a") as file:
        file.renameVariable("tas", "psl")
        file["psl"].standard_name = "air_pressure_at_sea_level"
    holed = folder / "cmip5" / "tas_Amon_HOLED_historical_r1i1p1_196101-198012.nc"
    shutil.copy(tas(folder, "DEMO-REG", 1, "196101-198412"), holed)
    with netCDF4.Dataset(holed, "a") as file:
        time_axis = file["time"][:]
        time_axis[-1] += 3600.0  # a month ten years later: months lie absent before it
        file["time"][:] = time_axis
        file["time_bnds"][-1] = file["time_bnds"][-1] + 3600.0
    catalogue = build_catalogue(folder).path
    cut = tas(folder, "DEMO-GAUSS", 2, "198501-200012")
    cut.write_bytes(cut.read_bytes()[:-2000])
    job = training(tmp_path, catalogue, monkeypatch, training_data="cmip5", training_target="tas")
    assert "OTHER r1i1p1" not in [m.name for m in job.data.members]
    told = Told()
    job.data.prepare_many(range(len(job.data.members)), told)
    warned = {text.split(" is left out: ")[0]: text for text in told.warnings}
    assert set(warned) == {"DEMO-GAUSS r2i1p1", "DEMO-REG r2i1p1"}
    assert "'W m-2' are not those of a temperature" in warned["DEMO-REG r2i1p1"]
    assert cut.name in warned["DEMO-GAUSS r2i1p1"]
    notes = {m.about["name"]: m.about["notes"] for m in job.data.material.stored}
    assert "120 months are absent: 1984-12" in notes["HOLED r1i1p1"][0]
    before = stored(job)
    # Mended and added: only what is new is prepared.
    shutil.copy(tas(demo, "DEMO-GAUSS", 2, "198501-200012"), cut)
    for part in ("196101-198412", "198501-200012"):
        source = tas(demo, "DEMO-REG", 2, part)
        new = folder / "cmip5" / source.name.replace("DEMO-REG_historical_r2", "NEWMODEL_historical_r1")
        with netCDF4.Dataset(shutil.copy(source, new), "a") as file:
            file["tas"][:] = file["tas"][:] + np.random.default_rng(0).normal(size=(len(file["time"]), 1, 1))
    job = training(tmp_path, build_catalogue(folder).path, monkeypatch, training_data="cmip5", training_target="tas")
    waiting = [job.data.members[part].name for part in range(len(job.data.members)) if not job.data.is_prepared(part)]
    assert waiting == ["DEMO-GAUSS r2i1p1", "NEWMODEL r1i1p1"]
    for part in range(len(job.data.members)):
        job.data.prepare(part, told)
    after = stored(job)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 2
    assert [name for name, _ in job.data.material.left_out] == ["DEMO-REG r2i1p1"]


def test_a_preparation_killed_at_any_time_goes_on_and_loses_nothing(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL for the whole process group, cdo included, three times; then the same result as without."""
    calm = training(tmp_path / "calm", demo / "catalogue.json", _made(monkeypatch, tmp_path / "calm"), training_data="cmip5")  # fmt: skip
    calm.data.prepare_many(range(4), Quiet())
    job = training(tmp_path, demo / "catalogue.json", monkeypatch, training_data="cmip5")
    config = tmp_path / "config.json"
    config.write_text(json.dumps(job.settings.plain()))
    finished = 0
    for attempt in range(3):
        child = subprocess.Popen(
            [sys.executable, "-m", "climrecon", "stage", "prepare", str(config), "--part", str(attempt)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        assert child.stderr is not None
        child.stderr.readline()  # "Preparing …"
        time.sleep(0.08 * attempt)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        child.stderr.close()
        finished += job.data.is_prepared(attempt)
        for path in job.data.preparation.folder.glob("*.safetensors"):
            assert path.read_bytes() == (calm.data.preparation.folder / path.name).read_bytes()
    assert finished < 3
    job.data.prepare_many([part for part in range(4) if not job.data.is_prepared(part)], Quiet())
    assert {name: content for name, (_, content) in stored(job).items()} == {
        name: content for name, (_, content) in stored(calm).items()
    }
    assert not list((job.data.preparation.folder / ".scratch").iterdir())


def _made(monkeypatch: pytest.MonkeyPatch, folder: Path) -> pytest.MonkeyPatch:
    folder.mkdir()
    return monkeypatch


def test_too_little_space_ends_the_run_and_blames_no_member(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system refuses files of more than 300 kB, first to cdo and then to us: no member is noted as bad."""
    import resource

    job = training(tmp_path, demo / "catalogue.json", monkeypatch, training_data="cmip5", training_target="tas")
    config = tmp_path / "config.json"
    config.write_text(json.dumps(job.settings.plain()))
    answer = subprocess.run(
        [sys.executable, "-m", "climrecon", "stage", "prepare", str(config)],
        capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)),
    )  # fmt: skip
    assert answer.returncode == OutputError.exit_code, answer.stderr
    assert "The same command continues" in answer.stderr
    assert not job.data.is_prepared(0)
    assert not list(job.data.preparation.folder.glob("*.left-out.json"))
    job.data.prepare(0, Quiet())
    assert job.data.is_prepared(0)


def test_what_can_be_known_is_said_before_anything_long(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"no set cmp5.*did you mean cmip5\?"):
        training(tmp_path, demo / "catalogue.json", monkeypatch, training_data="cmp5")
    with pytest.raises(UsageError, match="kriging is the name of a baseline"):
        training(tmp_path, demo / "catalogue.json", monkeypatch, training_data="cmip5", network_name="kriging")
    with pytest.raises(UsageError, match="punet6 already"):
        training(tmp_path, demo / "catalogue.json", monkeypatch, training_data="cmip5", network_name="punet6")
    with pytest.raises(UsageError, match="recipe"):
        training(tmp_path, demo / "catalogue.json", monkeypatch, training_data="cmip5", recipe="pune")
    with pytest.raises(NoDataError, match="there is HadCRUT5"):
        training(tmp_path, demo / "catalogue.json", monkeypatch, training_data="cmip5", masks="HadCRUT9")
    only = build_catalogue(demo / "observations", tmp_path / "only.json").path
    with pytest.raises(NoDataError, match="Training set cmip5"):
        training(tmp_path, only, monkeypatch, training_data="cmip5")
