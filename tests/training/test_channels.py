"""Further variables as channels: what they bring, what is refused, and from an archive to a reconstruction."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import torch
import xarray as xr

from climrecon.catalogue import build_catalogue
from climrecon.errors import ClimReconError, NoDataError, ProblemList, UsageError
from climrecon.fields import Auxiliary, Context, Months
from climrecon.grid import FIVE_DEGREES
from climrecon.methods.card import describe
from climrecon.methods.store import as_network, load_network, save_network
from climrecon.preprocess.auxiliary import read_auxiliary
from climrecon.settings import load_site, validate
from climrecon.settings.site import TrainingSet
from climrecon.tasks.run import run_task
from climrecon.tasks.train.task import Training
from climrecon.tasks.training_data.members import _of_files
from climrecon.training import unet_task
from climrecon.training.auxiliary import ABSENT, COMPLETE, ERROR, seen_of, statistics
from climrecon.training.banks import Choices
from climrecon.training.fields import TrainingFields
from climrecon.training.recipes import recipe
from climrecon.training.run import Trained, train
from climrecon.workflow.progress import Quiet
from climrecon.workflow.provenance import read_provenance
from climrecon.workflow.run_info import run_info
from helpers.small_archive import GRID, SMOOTH, UNET, fields, gaps


def with_pressure(some: TrainingFields, seed: int) -> TrainingFields:
    """Pressure falls where it is warm: 150 Pa a kelvin, and as much again of its own."""
    rng = np.random.default_rng([seed, 8])
    own = (rng.normal(size=(len(some), GRID.area.size)) @ SMOOTH.T).reshape(some.values.shape)
    return replace(some, auxiliary={"psl": (-150.0 * some.values + 75.0 * own).astype(np.float32)})


TRAINING, HELD = with_pressure(fields(240, 2), 1), with_pressure(fields(120, 1, 9, "held"), 2)


def trained(folder: Path, auxiliary: tuple[str, ...], steps: int = 400, **more: Any) -> Trained:
    settings = {**UNET, "pool": 2000, "checks": 100, "check_every": 100, "validation_years": 10, "width": 8}
    made = recipe("punet", **{**settings, "variables": ("tas", *auxiliary), "iterations": steps, **more})
    some = (TRAINING, HELD) if auxiliary else (replace(TRAINING, auxiliary={}), replace(HELD, auxiliary={}))
    return train(made, *some, *gaps(), folder=folder, seed=3, device="cpu")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("both")
    return {"tas": trained(folder / "a", ()), "psl": trained(folder / "b", ("psl",))}


def stored(trained: Trained, folder: Path) -> Any:
    network = as_network(trained.network)
    return load_network(str(save_network(network, describe("mine", network, GRID, {}), folder)))


@pytest.mark.parametrize(
    ("auxiliary", "mirror", "images"),
    [((), {}, 2), ((), {"mirror": False}, 1), (("psl",), {}, 1), (("psl",), {"neighbour_months": 0}, 1)],
)
def test_mirror_images_are_drawn_where_they_are_wanted_and_never_of_further_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, auxiliary: tuple[str, ...], mirror: dict[str, bool], images: int
) -> None:
    sizes = []

    class Recording(Choices):
        def __init__(self, seed: int, batch: int, of_each: tuple[int, ...], workers: Any) -> None:
            sizes.append(of_each)
            super().__init__(seed, batch, of_each, workers)

    monkeypatch.setattr(unet_task, "Choices", Recording)
    trained(tmp_path, auxiliary, 2, pool=20, checks=10, validation_years=1, **mirror)
    assert sizes == [(20 * images,)]


def held_out_rmse(network: Any, auxiliary: Auxiliary | None) -> float:
    """Over the cells that are not seen of all held-out months, each behind a mask of its own."""
    masks, _ = gaps()
    mask = np.stack([masks.draw(np.random.default_rng([4, n])) for n in range(len(HELD))]).reshape(HELD.values.shape)
    months = Months(HELD.index)
    values = np.where(mask, HELD.values, np.nan).astype(np.float32)
    estimate = network.method.with_auxiliary(auxiliary).reconstruct(
        values, mask, None, months.month, Context(GRID, months)
    )
    return float(np.sqrt(np.average((estimate.mean - HELD.values)[~mask] ** 2)))


def test_a_variable_that_carries_information_lowers_the_error(both: dict[str, Trained], tmp_path: Path) -> None:
    """n = 120 held-out months, and the validation's 240, a quarter of which see nothing of the further variable."""
    alone, with_psl = (both[name].card["validation"] for name in ("tas", "psl"))
    assert with_psl["rmse"] < 0.97 * alone["rmse"]
    assert with_psl["score"] < 0.95 * alone["score"]
    networks = {name: stored(one, tmp_path / name) for name, one in both.items()}
    known = Auxiliary(("psl",), HELD.index, HELD.auxiliary["psl"][:, None])
    found = {
        "alone": held_out_rmse(networks["tas"], None),
        "given": held_out_rmse(networks["psl"], known),
        "absent": held_out_rmse(networks["psl"], None),
    }
    assert found["given"] < 0.9 * found["alone"]
    # Without the further variable it is not much worse than one that was never taught it (0.92 and 0.88 K).
    assert found["absent"] < 1.1 * found["alone"]


def test_what_is_seen_and_how_it_is_normalised(both: dict[str, Trained]) -> None:
    mean, spread = statistics(TRAINING)
    values = TRAINING.auxiliary["psl"].reshape(len(TRAINING), -1)
    np.testing.assert_allclose(mean[0], values.mean(0), rtol=1e-3, atol=0.1)
    np.testing.assert_allclose(spread[0], values.std(0), rtol=1e-3)
    network = both["psl"].network
    np.testing.assert_allclose(network.auxiliary_mean.numpy(), mean, rtol=1e-5, atol=1e-4)
    holed = values.copy()
    holed[:, 5] = np.nan
    some = replace(TRAINING, auxiliary={"psl": holed.reshape(TRAINING.values.shape)})
    mean, spread = statistics(some)
    assert mean[0, 5] == 0
    assert 0.5 < spread[0, 5] / np.median(spread[0]) < 2
    masks, _ = gaps()
    seen = np.stack([seen_of(holed[:1], spread, masks, np.random.default_rng([7, n]))[0] for n in range(400)])
    assert np.isnan(seen[:, 5]).all()
    known = np.isfinite(np.delete(seen, 5, axis=1))
    assert known.any(1).mean() == pytest.approx(1 - ABSENT, abs=0.07)
    assert known.all(1).mean() == pytest.approx(COMPLETE, abs=0.07)
    assert np.nanstd((seen - holed[:1]) / spread) == pytest.approx(ERROR, rel=0.05)


def test_other_recipes_and_other_starts_are_refused(both: dict[str, Trained], tmp_path: Path) -> None:
    with pytest.raises(ProblemList, match="share one mask"):
        recipe("kadow2020", variables=("tas", "psl"))
    with pytest.raises(ProblemList, match="may be skewed; use mirror=false"):
        recipe("punet", variables=("tas", "psl"), mirror=True)
    assert not recipe("punet", variables=("tas", "psl")).mirror  # type: ignore[attr-defined]
    for wrong in (("sst",), ("tas", "psl", "psl"), ()):
        with pytest.raises(ProblemList, match="first comes the network's variable"):
            recipe("punet", variables=wrong)
    trained(tmp_path / "fit", ("psl",), 4, check_every=2, pool=20, checks=10, validation_years=1)
    changed = replace(TRAINING, auxiliary={"psl": 2 * TRAINING.auxiliary["psl"]})
    made = recipe("punet", **{**UNET, "variables": ("tas", "psl"), "iterations": 4})
    about: dict[str, Any] = {"seed": 3, "device": "cpu"}
    with pytest.raises(UsageError, match="another training"):
        train(made, changed, HELD, *gaps(), folder=tmp_path / "fit", **about)
    with pytest.raises(UsageError, match="takes psl; none was asked for"):
        train(recipe("punet", **UNET, iterations=2), TRAINING, HELD, *gaps(), folder=tmp_path / "n",
              start=both["psl"].network, **about)  # fmt: skip


RECIPE = "punet,rank=12,trailing=20,seasons=false,width=4,pool=64,folds=1,checks=16,validation_years=1,check_every=20"
PERIOD = "1961-1990"


def psl(demo: Path, pattern: str = "psl_Amon_DEMO-GAUSS*r2i1p1*.nc") -> Path:
    (path,) = demo.rglob(pattern)
    return path


def reconstructed(demo: Path, store: Path, output: Path, network: str = "mine", **more: Any) -> Any:
    site = load_site()
    given = {"catalogue": str(demo / "catalogue.json"), "period": PERIOD, "network": network, "compare_with": "none",
             "plots": "false", "outputdir": str(output), "dispatch": "local", **more}  # fmt: skip
    return run_task(validate(given, site), site, Quiet(), run_info())


@pytest.fixture(scope="module")
def archive(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The demo archive without the pressure of one member, and a network trained on what it has."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("archive")
    shutil.copytree(demo / "cmip5", folder / "cmip5")
    psl(folder, "psl_Amon_DEMO-REG*r1i1p1*.nc").unlink()
    (folder / "site.toml").write_text(f'network_store = ["{folder / "store"}"]\n')
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CLIMRECON_CONFIG", str(folder / "site.toml"))
        # Kriging would take longer than all the rest; other tests have it.
        patched.setattr("climrecon.tasks.train.fit.REFERENCE_METHOD", "idw")
        patched.setattr("climrecon.tasks.train.results.REFERENCE_METHOD", "idw")
        site = load_site()
        given = {
            "task": "train", "catalogue": str(build_catalogue(folder).path), "training_data": "cmip5",
            "training_target": "tas", "auxiliary": "psl", "recipe": RECIPE, "iterations": 20, "network_name": "mine",
            "cachedir": str(folder / "cache"), "outputdir": str(folder / "trained"), "dispatch": "local",
            "masks": str(next(demo.rglob("HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc"))), "period": "1870-1899",
        }  # fmt: skip
        outcome = run_task(validate(given, site), site, Quiet(), run_info())
        yield {"folder": folder, "outcome": outcome, "given": given}


def test_from_an_archive_to_a_reconstruction(demo: Path, archive: dict[str, Any], tmp_path: Path) -> None:
    folder = archive["folder"]
    outputs = {entry["path"]: entry["role"] for entry in archive["outcome"].manifest["outputs"]}
    assert outputs["samples.png"] == "figure"
    report = (folder / "trained" / "report.html").read_text()
    assert report.count("data:image/png;base64") == 4
    assert "psl of the same members" in report
    card = json.loads((folder / "trained" / "card.json").read_text())
    assert card["inputs"][-1] == "psl"
    assert card["training"]["recipe"]["variables"] == ["tas", "psl"]
    assert ["DEMO-REG r1i1p1", "the training set has no psl of it"] in card["training"]["left_out"]
    assert {"mine", "mine with psl", "idw"} <= set(card["scores"]["cases"]["1877-09 clean"])
    used = read_provenance(folder / "trained" / "provenance.json").inputs
    assert sum("psl_Amon" in name for name in used) == 3

    # A second look finds everything prepared: temperature and pressure of three members.
    job = Training(validate(archive["given"], load_site()), load_site(), run_info())
    assert len(job.data.members) == 3
    assert len(list(job.data.preparation.folder.glob("*.safetensors"))) == 6
    assert all(job.data.is_prepared(part) for part in range(3))
    assert job.is_trained()
    job.data.preparation.store.path(job.data.preparation.of_auxiliary[0].key(job.data.members[0])).write_bytes(b"lost")
    job.data.mend(Quiet())
    assert job.data.is_prepared(0)

    given = psl(demo)
    results = {}
    for name, files in (("without", {}), ("with", {"auxiliary_files": f"psl={given}"})):
        outcome = reconstructed(demo, folder / "store", tmp_path / name, **files)
        (main,) = (tmp_path / name).glob("*.nc")
        with netCDF4.Dataset(main) as file:
            results[name] = (
                np.ma.filled(file["tas_stddev"][:], np.nan),
                outcome.manifest,
                file.comment + str(file.__dict__),
            )
        inputs = read_provenance(tmp_path / name / "provenance.json").inputs
        assert (str(given) in inputs) == (name == "with")
    assert np.isfinite(results["with"][0]).all()
    assert np.abs(results["with"][0] - results["without"][0]).max() > 1e-3
    assert results["with"][1]["fingerprint"] != results["without"][1]["fingerprint"]
    # The demo's observations have variability that its models lack: the mean is that of the interpolation.
    assert "psl is known in 360 of 360 months; with variability that" in results["with"][2]
    assert "psl is not given, and taken as not observed" in results["without"][2]


def test_what_does_not_fit_the_network_is_refused(demo: Path, archive: dict[str, Any], tmp_path: Path) -> None:
    def refused(files: str, network: str = "mine") -> str:
        with pytest.raises(ClimReconError) as caught:
            reconstructed(demo, archive["folder"], tmp_path / "o", network, auxiliary_files=files)
        assert not list((tmp_path / "o").glob("*.nc"))
        return str(caught.value)

    assert "punet6 takes no auxiliary variable besides tas" in refused(f"psl={psl(demo)}", "punet6")
    assert "mine takes psl besides tas" in refused(f"tos={psl(demo)}")
    assert "There is no file" in refused(f"psl={tmp_path / 'none.nc'}")
    (tas,) = demo.rglob("tas_Amon_20CR*.nc")
    assert "No variable is psl" in refused(f"psl={tas}")
    assert "is not VARIABLE=FILE" in refused("slp")
    changed = tmp_path / "changed.nc"
    for units, why in (
        ("hPa", r"are \d+ times those of the members that mine learned from"),
        ("m", "units 'm' of psl"),
    ):
        shutil.copy(psl(demo), changed)
        with netCDF4.Dataset(changed, "a") as file:
            file["psl"].units = units
        assert re.search(why, refused(f"psl={changed}"))
    with xr.open_dataset(psl(demo), decode_times=False) as file:
        scaled = file.load()
    scaled["psl"] = (scaled["psl"] / 100.0).assign_attrs(units="hPa", standard_name="air_pressure_at_sea_level")
    scaled.to_netcdf(changed, mode="w")
    grid = FIVE_DEGREES
    ours, theirs = (read_auxiliary(path, "psl", grid, (1961, 1990), tmp_path)[0] for path in (psl(demo), changed))
    np.testing.assert_allclose(ours, theirs, atol=2.0)
    with pytest.raises(NoDataError, match="No member of cmip5 has tas, pr"):
        Training(validate({**archive["given"], "auxiliary": "pr"}, load_site()), load_site(), run_info())
    with pytest.raises(ProblemList, match="did you mean psl"):
        validate({"task": "train", "auxiliary": "pls"}, load_site())


def test_a_member_whose_pressure_is_damaged_is_left_out_and_named(archive: dict[str, Any], tmp_path: Path) -> None:
    job = Training(validate(archive["given"], load_site()), load_site(), run_info())
    preparation, member = replace(job.data.preparation, folder=tmp_path / "members"), job.data.members[0]
    bad = tmp_path / "psl.nc"
    bad.write_bytes(member.files["psl"][0].read_bytes()[:5000])
    damaged = replace(member, files={**member.files, "psl": (bad,)})
    reason = preparation.prepare(damaged)
    assert reason
    assert reason.startswith("psl: ")
    assert preparation.is_done(damaged)
    assert preparation.open(damaged) == reason


def test_lists_of_files_tell_variables_by_their_names(tmp_path: Path) -> None:
    names = [
        f"{variable}_Amon_{model}_historical_r1i1p1_{span}.nc"
        for variable, model in (("tas", "A"), ("tas", "B"), ("psl", "A"))
        for span in ("185001-189912", "190001-194912")
    ]
    for name in names:
        (tmp_path / name).touch()
    first, second = _of_files("mine", TrainingSet(files=[str(tmp_path / "*.nc")]), "tas", ("psl",))
    assert [path.name for path in first.files["psl"]] == names[4:]
    assert [path.name for path in first.files["tas"]] == names[:2]
    assert list(second.files) == ["tas"]
