"""Evaluations of years, seasons and days: on known fields and on withheld observations, in the words of the frequency."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from climrecon.errors import InputDataError, NetworkError, ProblemList
from climrecon.fields import Months, Steps
from climrecon.frequency import DAY, FREQUENCIES, SEASON, YEAR
from climrecon.grid import Grid
from climrecon.scores import masked_truth
from climrecon.scores.gaps import masks_for
from climrecon.scores.masked_truth import MaskedTruth, MethodOutput, sums_of
from climrecon.scores.table import score_methods
from climrecon.settings import load_site, validate
from climrecon.steps import day_number
from climrecon.tasks.run import run_task
from climrecon.workflow.progress import Quiet
from climrecon.workflow.run_info import run_info
from helpers.archives_of_steps import REFERENCE, edges, write

COUNTS = {"yr": 90, "sem": 160, "day": 2191}


def evaluated(folder: Path, frequency: str, **parameters: Any) -> tuple[dict[str, Any], str]:
    """Content of ``scores.json`` and the report of an evaluation of quick baselines."""
    site = load_site()
    raw = {
        "task": "evaluate", "time_frequency": frequency, "training_target": "tas", "network": "pca", "compare_with": "idw,climatology",
        "reference_period": REFERENCE[frequency], "outputdir": str(folder / "out"), "plots": "true",
        "cachedir": str(folder / "cache"), "dispatch": "local", **parameters,
    }  # fmt: skip
    run_task(validate(raw, site), site, Quiet(), run_info())
    return json.loads((folder / "out" / "scores.json").read_text()), (folder / "out" / "report.html").read_text()


def text_of(report: str) -> str:
    """The visible words before the settings."""
    return re.sub(r"<[^>]+>", " ", re.sub(r"<style.*?</style>", "", report.split("<h2>Inputs")[0], flags=re.DOTALL))


@pytest.mark.parametrize("frequency", ["yr", "sem", "day"])
def test_known_fields_are_seen_through_the_gaps_of_their_date(tmp_path: Path, frequency: str) -> None:
    truth = write(tmp_path / "truth.nc", frequency, 1, absolute=True)
    seen = write(tmp_path / "seen.nc", frequency, 2, gaps=True)
    content, report = evaluated(tmp_path, frequency, truth_file=str(truth), obs_file=str(seen))
    steps = FREQUENCIES[frequency]
    (one,) = content["truth"]
    assert content["frequency"] == frequency
    assert one[f"n_{steps.plural}"] == COUNTS[frequency]
    assert content["gaps"]["rules"] == [f"truth: each {steps.word} is seen through the gaps of its own date"]
    rmse = {name: row["cells"]["rmse"] for name, row in content["scores"].items()}
    assert rmse["pca"] < rmse["idw"] < rmse["climatology"]
    # The patterns that were written, which the climatology misses; its error is their spread in the missing cells.
    assert rmse["climatology"] == pytest.approx(1.3, abs=0.25)
    regions = content["scores"]["pca"]["regions"]["region"]
    assert list(regions) == (["annual"] if frequency == "yr" else [steps.adjective, "annual"])
    assert content["scores"]["pca"]["paired"]["rmse"]["interval"] is not None
    assert sum(row[f"n_{steps.plural}"] for row in content["scores"]["pca"]["decades"]) == COUNTS[frequency]
    for step in {"annual", steps.adjective}:
        assert len(re.findall(rf">\s*region, {step}\s*<", report)) == 1, "a table stands there once"
    shown = text_of(report)
    assert f"{COUNTS[frequency]} {steps.plural}" in shown
    assert not re.search(r"\bmonth", shown, re.IGNORECASE)
    with netCDF4.Dataset(tmp_path / "out" / "rmse_by_cell.nc") as file:
        assert f"n_{steps.plural}" in file.variables


@pytest.mark.parametrize(("frequency", "kind"), [("yr", "blocks"), ("sem", "spans"), ("day", "cells")])
def test_observations_are_withheld_at_each_frequency(tmp_path: Path, frequency: str, kind: str) -> None:
    seen = write(tmp_path / "seen.nc", frequency, 2, gaps=True)
    content, report = evaluated(tmp_path, frequency, obs_file=str(seen), withhold=kind, folds=2)
    steps = FREQUENCIES[frequency]
    rmse = {name: row["cells"]["rmse"] for name, row in content["scores"].items()}
    assert rmse["pca"] < rmse["climatology"]
    assert content["truth"][0][f"n_{steps.plural}"] == COUNTS[frequency]
    if kind != "spans":
        assert f"of single {steps.plural}" in content["withheld"]["in_words"]
        assert not re.search(r"\bmonth", text_of(report), re.IGNORECASE)


def test_a_network_of_months_is_refused(tmp_path: Path) -> None:
    seen = write(tmp_path / "seen.nc", "yr", 2, gaps=True)
    with pytest.raises(NetworkError, match="made for time_frequency=mon; the observations are annual means"):
        evaluated(tmp_path, "yr", obs_file=str(seen), withhold="cells", network="punet6")


def test_a_truth_of_another_frequency_is_refused(tmp_path: Path) -> None:
    truth, seen = write(tmp_path / "truth.nc", "mon", 1), write(tmp_path / "seen.nc", "yr", 2, gaps=True)
    with pytest.raises(InputDataError, match="is not annual"):
        evaluated(tmp_path, "yr", truth_file=str(truth), obs_file=str(seen))


def test_what_is_of_months_alone_is_refused_at_once(tmp_path: Path) -> None:
    site = load_site()
    with pytest.raises(ProblemList, match="training_target: monthly means are blended, not seasonal ones"):
        validate({"task": "train", "time_frequency": "sem", "training_target": "blended"}, site)
    with pytest.raises(ProblemList, match="forced_patterns: .* a network of annual means has none"):
        validate({"task": "train", "time_frequency": "yr", "forced_patterns": "patterns.nc"}, site)
    truth = write(tmp_path / "truth.nc", "yr", 1, absolute=True)
    with pytest.raises(InputDataError, match="made-up coverage of months; the run is of annual means") as caught:
        evaluated(tmp_path, "yr", truth_file=str(truth), masks="ship-tracks")
    assert "masks=FILE" in str(caught.value.hint)


def days(first: int, count: int, calendar: str = "standard") -> Steps:
    return Steps(day_number(edges("day", calendar, (first, count))[:-1], calendar), DAY, calendar)


def test_dates_meet_whatever_the_calendar() -> None:
    ours, theirs = days(1984, 2, "noleap"), days(1984, 2)
    position, has, rule = masks_for(ours, theirs)
    assert has.all()
    assert theirs[position].labels() == ours.labels()
    assert rule == "each day is seen through the gaps of its own date"
    _, has, rule = masks_for(theirs, ours)
    assert [label for label, one in zip(theirs.labels(), has, strict=True) if not one] == ["1984-02-29"]
    assert "1 days without observations" in rule


def test_whole_years_of_masks_stand_for_others_where_dates_do_not_meet() -> None:
    ours, theirs = days(1950, 3, "360_day"), days(1983, 2)
    position, has, rule = masks_for(ours, theirs)
    assert has.all()
    taken = theirs[position].labels()
    assert taken[:2] == ["1983-01-01", "1983-01-02"]
    assert taken[360] == "1984-01-01"
    assert taken[720] == "1983-01-01"
    assert taken[59] == "1983-02-28", "the last day before 30 February that there is"
    assert "1983-1984" in rule
    seasons, seen = Steps(np.arange(1950 * 4 + 1, 1953 * 4), SEASON), Steps(np.arange(1980 * 4 + 2, 1984 * 4), SEASON)
    position, _, rule = masks_for(seasons, seen)
    assert seen[position].place.tolist() == seasons.place.tolist()
    assert "198012-198311" in rule
    years = Steps(np.arange(1950, 1960), YEAR)
    assert masks_for(years, Steps(np.arange(1900, 1904), YEAR))[0].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]


def test_sums_of_days_do_not_depend_on_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks hold a few days each; but for the tenths of the spread, which come from a part, scores are those in one."""
    grid, rng, time = Grid.regular(6, 12), np.random.default_rng(0), days(1983, 2)
    truth = rng.normal(size=(len(time), 6, 12)).astype(np.float32)
    truth[rng.random(truth.shape) < 0.1] = np.nan
    known = MaskedTruth("made up", truth, rng.random(truth.shape) < 0.3, time, grid)
    mean = np.nan_to_num(truth) + rng.normal(0, 0.5, truth.shape).astype(np.float32)
    draws = {"global": rng.normal(size=(4, len(time)))}
    made = MethodOutput(mean, np.full(truth.shape, 0.5, np.float32), {"global": np.ones(len(time))}, draws)
    found = []
    for size in (10**9, 72 * 7):
        monkeypatch.setattr(masked_truth, "AT_ONCE", size)
        assert len(known.blocks) == (1 if size > 72 * 7 else 105)
        found.append(score_methods({"m": [sums_of(known, made)]}, None, times=[time])["m"])
    assert found[0] == found[1]
    assert found[0]["regions"]["global"]["annual"]["covers_90"] >= 0.0


def test_a_record_of_months_is_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masked_truth, "AT_ONCE", 1)
    known = MaskedTruth("", np.zeros((5, 2, 4)), np.zeros((5, 2, 4), bool), Months(np.arange(5)), Grid.regular(2, 4))
    assert known.blocks == [slice(None)]
