"""A network of years, seasons or days: trained, its card read, used in a reconstruction and scored, all at its frequency."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from climrecon.data.noise import NoiseSource
from climrecon.errors import ClimReconError, InputDataError, NetworkError
from climrecon.fields import Steps
from climrecon.frequency import DAY, FREQUENCIES, MONTH, SEASON, YEAR
from climrecon.grid import Grid
from climrecon.methods import threads
from climrecon.settings import load_site, validate
from climrecon.steps import day_number
from climrecon.tasks.run import run_task
from climrecon.training.calendar import MARGIN_OF_DAYS, Calendar
from climrecon.training.sets import split
from climrecon.training.validation_set import draw_validation_set
from climrecon.workflow.progress import Quiet
from climrecon.workflow.run_info import run_info
from helpers.archives_of_steps import LAT, LON, REFERENCE, archive, edges, write
from helpers.small_archive import fields, gaps

SMALL = "punet,rank=12,trailing=8,width=4,depth=2,pool=200,folds=2,batch=8,check_every=30,checks=40,validation_years=4"


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    with threads.one_thread():
        yield


def run(folder: Path, frequency: str, task: str, output: str, **parameters: Any) -> Path:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CLIMRECON_CONFIG", str(folder / "site.toml"))
        site = load_site()
    raw = {
        "task": task, "time_frequency": frequency, "reference_period": REFERENCE[frequency], "plots": "false",
        "cachedir": str(folder / "cache"), "outputdir": str(folder / output), "dispatch": "local", "seed": "1", **parameters,
    }  # fmt: skip
    run_task(validate(raw, site), site, Quiet(), run_info())
    return folder / output


@pytest.mark.parametrize(("frequency", "calendar"), [("yr", "standard"), ("sem", "standard"), ("day", "noleap")])
def test_from_training_to_scores(tmp_path: Path, frequency: str, calendar: str) -> None:
    _, seen = archive(tmp_path, frequency, calendar)
    steps = FREQUENCIES[frequency]
    trained = run(
        tmp_path, frequency, "train", "trained", training_data="models", training_target="tas", masks=str(seen),
        network_name="mine", recipe=SMALL, iterations="60", plots="true" if frequency == "yr" else "false",
    )  # fmt: skip
    card = json.loads((trained / "card.json").read_text())
    assert card["frequency"] == frequency
    count = {"yr": 90, "sem": 160, "day": 6 * 365}[frequency]
    assert card["training"][steps.plural] == count
    assert card["scores"][f"n_{steps.plural}"] == {"yr": 36, "sem": 12, "day": 1095}[frequency]
    text = (trained / "card.md").read_text() + (trained / "report.html").read_text()
    assert f"with neighbouring {steps.plural}" in text
    assert f"held-out {steps.plural}" in text
    assert "It knows no forced responses, which are those of monthly means" in text
    # Spatial patterns that its cells share, and steps that persist: it interpolates better than kriging with its fit.
    row = next(iter(card["scores"]["cases"].values()))
    assert row["mine"]["rmse"] < 0.5 * row["raw_mean"]["rmse"]
    assert row["mine"]["rmse"] < 1.05 * row["kriging"]["rmse"]
    assert 0.75 < row["mine"]["covers_90"] < 0.99

    result = run(tmp_path, frequency, "reconstruct", "result", obs_file=str(seen), network="mine", compare_with="none")
    (path,) = result.glob("tas_*.nc")
    assert path.name.startswith(f"tas_{frequency}_climrecon-mine_")
    with netCDF4.Dataset(path) as file, netCDF4.Dataset(seen) as given:
        assert not np.ma.getmaskarray(file["tas"][:]).any()
        assert len(file["time"]) == len(given["time"])

    scored = run(
        tmp_path, frequency, "evaluate", "scored", training_data="models", training_target="tas", masks=str(seen),
        network="mine", compare_with="oi,idw", noise="true", realisations="3",
    )  # fmt: skip
    content = json.loads((scored / "scores.json").read_text())
    rmse = {name: row["cells"]["rmse"] for name, row in content["scores"].items()}
    assert rmse["mine"] < rmse["idw"]
    assert rmse["oi"] < rmse["idw"], "optimal interpolation takes the network's covariance"
    assert not [caveat for caveat in content["caveats"] if "learned from" in caveat and "flattered" in caveat]

    other = "yr" if frequency != "yr" else "sem"
    wrong = write(tmp_path / "wrong.nc", other, 3, gaps=True)
    named = FREQUENCIES[other].adjective
    with pytest.raises(NetworkError, match=f"made for time_frequency={frequency}; the observations are {named} means"):
        run(tmp_path, other, "reconstruct", "refused", obs_file=str(wrong), network="mine")
    with pytest.raises(NetworkError, match=f"made for time_frequency={frequency}"):
        run(tmp_path, other, "train", "refused", training_data="models", masks=str(wrong), network="mine")


def test_files_of_another_frequency_are_left_out_with_the_reason(tmp_path: Path) -> None:
    _, seen = archive(tmp_path, "yr")
    for path in (tmp_path / "models").glob("*/*.nc"):
        write(path, "mon", 1, absolute=True)
    with pytest.raises(InputDataError, match=r"No member can be used:(.|\n)*is not annual(.|\n)*cdo yearmean"):
        run(tmp_path, "yr", "train", "out", training_data="models", masks=str(seen), recipe=SMALL, iterations="10")


def test_gaps_of_another_frequency_are_refused(tmp_path: Path) -> None:
    archive(tmp_path, "yr")
    monthly = write(tmp_path / "monthly.nc", "mon", 4, gaps=True)
    with pytest.raises(ClimReconError, match="is not annual"):
        run(tmp_path, "yr", "train", "out", training_data="models", masks=str(monthly), recipe=SMALL, iterations="10")


def test_a_query_is_made_for_the_frequency_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A set's query names monthly fields, as the site's own do; the annual ones stand in the catalogue's table yr."""
    from climrecon.catalogue import build_catalogue
    from climrecon.tasks.training_data.members import training_members

    for frequency, table in (("yr", "Ayr"), ("mon", "Amon")):
        folder = tmp_path / "CMIP5" / "output1" / "X" / "MODEL" / "historical" / frequency / "atmos" / table / "r1i1p1"
        write(folder / f"tas_{table}_MODEL_historical_r1i1p1_190101-199012.nc", frequency, 1, absolute=True)
    (tmp_path / "site.toml").write_text('[training_data.cmip5]\nquery = { time_frequency = "mon" }\n')
    monkeypatch.setenv("CLIMRECON_CONFIG", str(tmp_path / "site.toml"))
    site = load_site()
    catalogue = str(build_catalogue(tmp_path / "CMIP5").path)
    for frequency in ("yr", "mon"):
        settings = validate(
            {"task": "train", "training_data": "cmip5", "catalogue": catalogue, "time_frequency": frequency}, site
        )
        (member,) = training_members(settings, site).members
        assert [path.parts[-5] for path in member.files["tas"]] == [frequency]


@pytest.mark.parametrize(
    ("frequency", "count", "margin"),
    [(YEAR, 150, 1), (SEASON, 4 * 60, 2), (DAY, 30 * 365, MARGIN_OF_DAYS), (MONTH, 720, 2)],
)
def test_years_of_the_only_member_are_held_out_at_a_distance(frequency: Any, count: int, margin: int) -> None:
    first = {YEAR: 1850, SEASON: 1900 * 4, MONTH: 1900 * 12}.get(frequency, 1_000_000 + 365 * 300)
    time = Steps(np.arange(first, first + count), frequency, "noleap" if frequency == DAY else "standard")
    uses = split(["A"], [time])
    held = {use: time[getattr(uses, use)[0][1]] for use in ("train", "validation", "test")}
    others = np.concatenate([held["validation"].index, held["test"].index])
    assert np.abs(held["train"].index[:, None] - others[None]).min() == margin + 1
    for use in ("validation", "test"):
        assert len(held[use].whole_years()) * frequency.per_year <= len(held[use])
        assert 0.07 * count <= len(held[use]) <= 0.2 * count
    assert f"margin of {margin} {frequency.word}" in uses.how
    few = time[: {YEAR: 60, SEASON: 4 * 20, DAY: 365 * 9}.get(frequency, 12 * 12)]
    with pytest.raises(InputDataError, match=rf"too little to learn from.* {frequency.plural} would be learned from"):
        split(["A"], [few])


@pytest.mark.parametrize(("name", "first"), [("yr", 1900), ("sem", 1900 * 4), ("day", 1_109_500)])
def test_neighbours_of_the_validation_are_steps_of_one_span(name: str, first: int) -> None:
    """Steps of different spans are no neighbours; years come in runs, so that a network has neighbours to see."""
    from dataclasses import replace

    frequency = FREQUENCIES[name]
    made = fields(months=120, members=1)
    time = Steps(np.arange(first, first + 120), frequency, "noleap")
    made = replace(made, index=time.index, month=time.month, frequency=frequency, calendars=("noleap",))
    cases = draw_validation_set(made, *gaps(), years=3, seed=2)
    shift = np.flatnonzero(np.diff(cases.index) == 1)
    assert len(shift) > 0.6 * len(cases.index)
    numbers = {value.tobytes(): number for number, value in enumerate(np.asarray(made.values))}
    rows = np.array([numbers[value.tobytes()] for value in cases.truth])
    assert (np.diff(rows)[shift] == 1).all(), "neighbours are successive steps of the member"
    same_mask = (cases.mask[1:] == cases.mask[:-1]).all(axis=(1, 2))
    assert same_mask[shift].all()
    assert not same_mask[np.setdiff1d(np.arange(len(rows) - 1), shift)].all()
    assert np.array_equal(cases.month, time.month[rows])
    assert ("annual_r" in cases.score(cases.truth)) == (name != "day")


def test_regional_errors_persist_for_months_whatever_the_step() -> None:
    source = NoiseSource(np.eye(30), np.zeros((30, 1)) + 1e-30, own=np.full((1, 30), 1e-6))
    rng = np.random.default_rng(0)

    def correlation(step: float) -> float:
        runs = np.array([source.draw_months(rng, 2, step)[0] for _ in range(800)])
        return float(np.corrcoef(runs[:, 0].ravel(), runs[:, 1].ravel())[0, 1])

    monthly = correlation(1.0)
    assert correlation(12.0) == pytest.approx(monthly**12, abs=0.03)
    assert correlation(1.0 / 30.0) == pytest.approx(monthly ** (1.0 / 30.0), abs=0.03)


def test_given_years_of_days_are_held_out_in_any_calendar() -> None:
    given = Calendar.of(["1950-1951"], ["1953"])
    for calendar in ("standard", "noleap", "360_day"):
        time = Steps(day_number(edges("day", calendar, (1948, 8))[:-1], calendar), DAY, calendar)
        labels = np.array(time.labels())
        assert labels[given.in_test(time)][0] == "1950-01-01"
        assert labels[given.in_test(time)][-1][:7] == "1951-12"
        learned = labels[given.learned(time)]
        assert learned[0] == "1948-01-01"
        assert not [label for label in learned if "1949-12-10" < label < "1952-01-20"]


def test_auxiliary_days_meet_by_their_date(tmp_path: Path) -> None:
    """A file of another calendar counts days otherwise; its values are those of the same dates."""
    from climrecon.fields import Auxiliary
    from climrecon.preprocess.auxiliary import read_auxiliary

    grid = Grid(np.append(LAT - 1.25, LAT[-1] + 1.25), np.append(LON - 1.25, LON[-1] + 1.25))
    found = {}
    for calendar in ("standard", "noleap"):
        path = write(tmp_path / f"{calendar}.nc", "day", 1, calendar=calendar)
        values, stamps = read_auxiliary(path, "tas", grid, (1981, 1986), tmp_path, DAY)
        found[calendar] = Auxiliary(("tas",), stamps, values[:, None])
    time = Steps(day_number(edges("day", "noleap")[:-1], "noleap"), DAY, "noleap")
    given = found["standard"].at(time.stamps, ("tas",))
    assert np.isfinite(given).all(), "each date of one calendar is one of the other"
    whole = Steps(day_number(edges("day", "standard")[:-1], "standard"), DAY)
    kept = np.array([not label.endswith("02-29") for label in whole.labels()])
    np.testing.assert_array_equal(given, found["standard"].values[kept])
    assert not np.isfinite(found["noleap"].at(whole.stamps[~kept], ("tas",))).any()
