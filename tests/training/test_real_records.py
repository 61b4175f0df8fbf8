"""Training on records as they are: gaps, cells that are hardly ever known, files that overlap, years held out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import torch

from climrecon.errors import InputDataError, ProblemList, UsageError
from climrecon.fields import Estimate, Months
from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.methods.priors.covariance import great_circle
from climrecon.methods.store import load_network, network_of
from climrecon.scores.suite import score_table
from climrecon.settings import load_site, validate
from climrecon.tasks.evaluate.plan import EvaluationRun
from climrecon.tasks.train.task import Training
from climrecon.training.calendar import Calendar
from climrecon.training.fields import TrainingFields
from climrecon.training.forcing import no_forcing
from climrecon.training.rarely_known import rarely_known, text_on, with_neighbours
from climrecon.training.recipe_settings import UNetRecipe
from climrecon.training.recipes import parse, recipe
from climrecon.training.store import StoredMember
from climrecon.training.unet_network import learn_full_prior
from climrecon.workflow.progress import Quiet
from climrecon.workflow.run_info import run_info

SMALL = "analysis,width=4,rank=20,trailing=20,pool=64,folds=2,checks=16"


def write(path: Path, values: np.ndarray, first_year: int, flags: np.ndarray | None = None) -> Path:
    """As GISTEMP's monthly files on 5 degrees are written: base in the long name, flags beside the field."""
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", None), ("lat", 36), ("lon", 72)):
            file.createDimension(name, size)
        time = file.createVariable("time", "i8", ("time",))
        time.setncatts({"standard_name": "time", "units": f"days since {first_year}-01-15", "calendar": "365_day"})
        time[:] = np.round((np.arange(len(values)) + 0.25) * 365 / 12)
        for name, at, units in (("lat", FIVE_DEGREES.lat, "degrees_north"), ("lon", FIVE_DEGREES.lon, "degrees_east")):
            file.createVariable(name, "f8", (name,)).units = units
            file[name][:] = at
        field = file.createVariable("tas", "f4", ("time", "lat", "lon"), fill_value=np.nan)
        field.setncatts({"units": "K", "long_name": "temperature anomaly (base 1961-1990)"})
        field[:] = values
        if flags is not None:
            file.createVariable("was_missing", "i1", ("time", "lat", "lon"))[:] = flags
    return path


def climate(months: int, seed: int = 0) -> np.ndarray:
    """(months, 36, 72) fields of a few large patterns."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(np.radians(FIVE_DEGREES.lat), np.radians(FIVE_DEGREES.lon), indexing="ij")
    patterns = np.stack([np.cos(n * x + n) * np.cos(y) ** n for n in range(6)])
    return (np.tensordot(rng.normal(size=(months, 6)), patterns, 1) + 0.3 * rng.normal(size=(months, 36, 72))).astype(
        "f4"
    )


def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: str, **values: Any) -> Training:
    (tmp_path / "site.toml").write_text(f'network_store = ["{tmp_path / "store"}"]\n{site}')
    monkeypatch.setenv("CLIMRECON_CONFIG", str(tmp_path / "site.toml"))
    loaded = load_site()
    given = {"task": "train", "training_data": "mine", "cachedir": str(tmp_path / "cache"), "plots": False, **values}
    return Training(validate(given, loaded), loaded, run_info())


class Notes(Quiet):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def two_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], np.ndarray]:
    """1921-2000 with gaps and no value south of 80 S before 1999, and 1961-2000 completed; the record they make."""
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(1)
    values = climate(960)
    gaps = rng.random(values.shape) < np.linspace(0.3, 0.02, 960)[:, None, None]
    gaps[:936, :2] = True
    gaps[942:, :2] = True
    old, new = values.copy(), values.copy()
    old[gaps] = np.nan
    new[gaps] = 0.1
    old[480:] += 0.01  # an earlier version of the same months
    record = np.concatenate([old[:480], np.where(gaps, np.nan, values)[480:]])
    names = (
        write(folder / "gappy_192101-200012.nc", old, 1921),
        write(folder / "complete_196101-200012.nc", new[480:], 1961, gaps[480:]),
    )
    return list(names), record


def site_of(paths: list[Path], more: str = "") -> str:
    return f"[training_data.mine]\nfiles = {json.dumps([str(path) for path in paths])}\n{more}"


def test_overlapping_files_with_gaps_and_unknown_poles_are_trained_on(
    two_files: tuple[list[Path], np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, record = two_files
    site = site_of(paths, 'join = true\nperiod = "1931-2000"\n')
    text = f"{SMALL.replace('folds=2', 'folds=1')},seasons=false,refit=true,validation_years=1,hold_out=1963-1967 1983-1987"
    training = job(tmp_path, monkeypatch, site, recipe=text, iterations=3, masks=str(paths[0]))
    assert [member.name for member in training.data.members] == ["mine"]
    held = "test 1963-1967, 1983-1987"
    before = [line for line in training.dry_run(0, Quiet()).summary if held in line]
    training.data.prepare(0, Quiet())
    (after,) = [line for line in training.dry_run(0, Quiet()).summary if held in line]
    assert "validation 19" in after
    assert [line.split("years: ")[1] for line in before] == [after.split("months: ")[1]], "known by the headers alone"
    (member,) = training.data.material.stored
    np.testing.assert_array_equal(member.values, record[120:])
    assert member.index[0] == 1931 * 12
    reporter = Notes()
    training.train(0, reporter)
    # Six months of two rows are known.
    rare = "144 cells are known in fewer than 24 months; their covariances are their neighbours'."
    assert rare in reporter.notes
    card = json.loads((training.plan.folder / "network" / "card.json").read_text())
    assert rare in card["caveats"]
    (entry,) = card["training"]["members"]["test"]
    assert entry["periods"] == ["196301-196712", "198301-198712"]
    (entry,) = card["training"]["members"]["train"]
    assert {"193101", "196210", "196803", "198210"} <= {end for period in entry["periods"] for end in period.split("-")}
    assert "of months that stand in several" in " ".join(entry["notes"])
    assert card["training"]["recipe"]["hold_out"] == ["1963-1967", "1983-1987"]
    assert held in card["training"]["held_out"]
    # The network that is scored does not know the test's years, the one that is stored does.
    scored, stored = (load_network(str(training.plan.folder / folder)) for folder in ("network", "refitted"))
    assert stored.card.training["covariances"] == "all 840 months"
    assert 600 < int(scored.card.training["covariances"].split()[0]) < 720
    weights = [network_of(one).state_dict() for one in (scored, stored)]
    assert torch.equal(weights[0]["head.weight"], weights[1]["head.weight"])
    assert not torch.equal(weights[0]["prior.vectors"], weights[1]["prior.vectors"])
    other = job(tmp_path, monkeypatch, site, recipe=f"{text} 1993-1995", iterations=3, masks=str(paths[0]))
    assert other.plan.fingerprint != training.plan.fingerprint


def test_a_file_that_holds_no_patterns_is_refused_at_once(
    two_files: tuple[list[Path], np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, _ = two_files
    with pytest.raises(InputDataError, match=r"has tas \(K\).*kelvin per kelvin"):
        job(tmp_path, monkeypatch, site_of(paths[:1]), masks=str(paths[0]), forced_patterns=str(paths[0]))
    quiet = {"recipe": "kadow2020,iterations=2", "masks": str(paths[0]), "forced_patterns": str(paths[0])}
    assert job(tmp_path, monkeypatch, site_of(paths[:1]), **quiet).models is None, "its network knows of none"


def test_a_period_without_months_is_said(
    two_files: tuple[list[Path], np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = job(
        tmp_path, monkeypatch, site_of(two_files[0][:1], 'period = "1850-1900"\n'), masks=str(two_files[0][0])
    )
    training.data.prepare(0, Quiet())
    with pytest.raises(InputDataError, match="lies in period=185001-190012"):
        _ = training.data.material
    with pytest.raises(UsageError, match=r"period.*sixties"):
        job(tmp_path, monkeypatch, site_of(two_files[0], 'period = "sixties"\n'))


def test_sets_of_one_history_share_their_held_out_years(
    two_files: tuple[list[Path], np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two single records of other lengths: what one holds out the other has not learned."""
    paths, record = two_files
    other = write(tmp_path / "longer_192101-200012.nc", record + 0.05 * climate(960, 7), 1921)
    site = site_of(paths[1:]) + f'\n[training_data.other]\nfiles = ["{other}"]\n'
    training = job(tmp_path, monkeypatch, site, training_data="mine+other", masks=str(paths[0]))
    training.data.prepare_many(range(2), Quiet())
    material = training.data.material
    split = material.split
    learned = np.concatenate([material.stored[n].index[rows] for n, rows in split.train])
    for n, rows in (*split.test, *split.validation):
        assert not np.isin(material.stored[n].index[rows], learned).any()
    assert not any("flattered" in caveat for caveat in split.caveats)


def test_rarely_known_cells_are_the_area_mean_of_known_cells_nearby() -> None:
    grid, rng = Grid.regular(18, 36), np.random.default_rng(0)
    values = rng.normal(size=(60, 18, 36))
    values[:50, 0, :9] = np.nan
    values[3, :3, :20] = np.nan
    values[4] = np.nan
    values[5] = np.where(np.arange(36) == 20, 2.0, np.nan)[None, :]
    found = with_neighbours(values, grid)
    rare = np.zeros((18, 36), bool)
    rare[0, :9] = True
    np.testing.assert_array_equal(found[:, ~rare], values[:, ~rare])
    distance = great_circle(grid).reshape(18, 36, 18, 36)
    for month in (0, 55):  # the few months with a value are no exception
        near = (distance[0, 4] <= 1500) & ~rare & np.isfinite(values[month])
        assert found[month, 0, 4] == pytest.approx(np.average(values[month][near], weights=grid.area[near]))
    assert np.isnan(found[4]).all()
    assert found[5, 0, 4] == 2.0, "no known cell nearby: the nearest"
    few = np.where(np.arange(18)[:, None] < 8, np.nan, values)
    with pytest.raises(InputDataError, match=r"288 cells, 41 % of the area, .* a third"):
        with_neighbours(few, grid)
    whole = rng.normal(size=(30, 18, 36))
    assert with_neighbours(whole, grid) is whole


def fields(values: np.ndarray, grid: Grid, index: np.ndarray | None = None) -> TrainingFields:
    index = np.arange(len(values)) + 1961 * 12 if index is None else index
    member = np.zeros(len(values), int)
    return TrainingFields(values, index % 12 + 1, index, member, ("a",), grid, np.isfinite(values))


def test_covariances_of_fields_with_unknown_poles() -> None:
    grid, rng = Grid.regular(8, 16), np.random.default_rng(0)
    values = rng.normal(size=(120, 8, 16)).astype(np.float32)
    values[:, 0] = np.nan
    some = fields(values, grid)
    rare = rarely_known(some)
    assert rare.sum() == 16
    assert text_on(rare).startswith("16 cells are known in fewer than 24 months")
    assert text_on(~rare & False) == ""
    chosen = recipe("analysis", rank=10, trailing=10)
    assert isinstance(chosen, UNetRecipe)
    prior = learn_full_prior(some, np.arange(120), chosen, no_forcing(grid))
    assert np.isfinite(prior.vectors.numpy()).all()
    filled = with_neighbours(values.astype(np.float64), grid).astype(np.float32)
    whole = learn_full_prior(fields(filled, grid), np.arange(120), chosen, no_forcing(grid))
    np.testing.assert_allclose(prior.scale, whole.scale, atol=1e-6)


class Truth:
    def __init__(self, mean: np.ndarray) -> None:
        self.mean = mean

    def reconstruct(self, values: Any, mask: Any, obs_sd: Any, month: Any, context: Any) -> Estimate:
        assert not (mask & ~np.isfinite(values)).any()
        assert mask[0, 2, 3] == 0, "an unknown cell is not observed"
        return Estimate(self.mean, np.ones(self.mean.shape))


def test_scores_count_what_is_known() -> None:
    grid, rng = Grid.regular(6, 12), np.random.default_rng(0)
    truth = rng.normal(size=(48, 6, 12)).astype(np.float32)
    estimate = truth + 0.5
    estimate[:, 2, 3] = 100.0
    truth[:, 2, 3] = np.nan
    mask = np.ones((6, 12), bool)
    mask[4:] = False
    table = score_table(
        {"n": lambda: Truth(estimate)},  # type: ignore[dict-item,return-value]
        truth,
        np.isfinite(truth),
        Months(np.arange(48) + 1961 * 12),
        grid,
        {"m": mask},
        (0,),
    )
    row = table["cases"]["m clean"]["n"]
    assert row["rmse"] == row["annual_mean_bias"] == row["monthly_mean_rmse"] == pytest.approx(0.5, abs=1e-4)


def test_periods_in_recipes() -> None:
    name, settings = parse("analysis,hold_out=1963-1967 1973,validate_on=1970")
    made = recipe(name, **settings)
    assert made.hold_out == ("1963-1967", "1973")
    assert made.calendar == Calendar((1963, 1964, 1965, 1966, 1967, 1973), (1970,))
    assert recipe("kadow2020", **parse("kadow2020,hold_out=")[1]).calendar == Calendar()
    with pytest.raises(ProblemList, match="share the years 1965-1966"):
        recipe("native", hold_out=["1963-1967"], validate_on=["1965-1966"])
    with pytest.raises(ProblemList, match="no period of whole years"):
        recipe("native", hold_out="1963-")


def test_a_network_that_learned_other_years_is_not_flattered(tmp_path: Path) -> None:
    index = np.arange(1963 * 12, 1968 * 12)
    stored = StoredMember("key", np.zeros((len(index), 1, 1)), index, {"set": "s", "name": "a"})

    class Named:
        def __init__(self, periods: dict[str, list[str]]) -> None:
            entry = {"set": "s", "name": "a", **periods}
            self.info = type("Info", (), {"card": {"training": {"members": {"train": [entry]}}}})

    methods = {
        "apart": Named({"periods": ["193001-196210", "196803-200212"]}),
        "same": Named({"periods": ["193001-196301"]}),
        "old": Named({}),
    }
    run = EvaluationRun(None, methods, "apart", "same", None, None, tmp_path)  # type: ignore[arg-type]
    run.__dict__["truth"] = type("Truth", (), {"members": ((stored, slice(None)),)})
    assert [text.split()[0] for text in run.learned_from()] == ["same", "old"]


@pytest.mark.shared
@pytest.mark.slow
def test_the_real_record_is_trained_on(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GISTEMP with its gaps for 1930-1959 and completed from then on, the shipped network's years held out."""
    old = shared_data / "observations" / "gistemp" / "gistemp1200_v4_5x5_base6190_188001-200212.nc"
    new = shared_data / "training" / "gistemp" / "gistemp_complete_5x5_196001-200212.nc"
    years = "hold_out=1963-1967 1973-1977 1983-1987 1993-1997,validate_on=1969-1971 1979-1981 1989-1991"
    site = site_of([old, new], 'join = true\nperiod = "1930-2002"\n')
    training = job(
        tmp_path, monkeypatch, site, masks=str(old), iterations=20, recipe=f"{SMALL},validation_years=1,{years}",
        forced_patterns=str(shared_data / "forced_patterns_cmip5" / "tas_patterns_41_models_5x5.nc"),
    )  # fmt: skip
    assert any("forced responses of: 41 models in" in line for line in training.dry_run(0, Quiet()).summary)
    training.data.prepare(0, Quiet())
    reporter = Notes()
    training.train(0, reporter)
    assert any("cells are known in fewer than 24 months" in note for note in reporter.notes)
    card = json.loads((training.plan.folder / "network" / "card.json").read_text())
    assert card["training"]["members"]["test"][0]["months"].endswith("240 months")
    assert card["training"]["members"]["validation"][0]["months"].endswith("108 months")
    assert card["training"]["members"]["train"][0]["target"] == "as observed"
    assert np.isfinite(card["training"]["validation"]["rmse"])
    assert len(card["training"]["forced_responses"]["sources"]) == 42
    assert card["training"]["forced_responses"]["amplitude_of_mean_K"] > 0.2
