"""Which members are held out: whole families of models, whole members, years of the only one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from climrecon.errors import InputDataError
from climrecon.grid import Grid
from climrecon.training.sets import ALL, MARGIN, Split, family_of, fields_of, shared_history, split, twins
from climrecon.training.store import MemberStore

GRID = Grid.regular(4, 8)

#: Models of CMIP5's historical runs and how many members each has, some of them.
CMIP5 = {
    "ACCESS1-0": 3, "ACCESS1-3": 3, "bcc-csm1-1": 3, "BNU-ESM": 1, "CanESM2": 5, "CCSM4": 8, "CESM1-BGC": 1,
    "CESM1-CAM5": 3, "CMCC-CESM": 1, "CMCC-CM": 1, "CNRM-CM5": 10, "CSIRO-Mk3-6-0": 10, "EC-EARTH": 8,
    "FGOALS-g2": 4, "GFDL-CM3": 5, "GFDL-ESM2M": 1, "GISS-E2-H": 17, "GISS-E2-R": 24, "HadCM3": 10,
    "HadGEM2-CC": 3, "HadGEM2-ES": 5, "inmcm4": 1, "IPSL-CM5A-LR": 6, "IPSL-CM5A-MR": 3, "MIROC5": 5,
    "MIROC-ESM": 3, "MPI-ESM-LR": 3, "MPI-ESM-MR": 3, "MPI-ESM-P": 2, "MRI-CGCM3": 5, "NorESM1-M": 3,
}  # fmt: skip


def test_models_that_share_an_atmosphere_are_one_family() -> None:
    assert family_of("ACCESS1-0") == family_of("HadGEM2-ES")
    assert family_of("NorESM1-M") == family_of("CCSM4") == family_of("CESM1-CAM5") == family_of("bcc-csm1-1")
    assert family_of("MPI-ESM-LR") == family_of("CMCC-CM")
    assert family_of("GFDL-CM3") != family_of("MIROC5")
    assert family_of("NewModel-LR") == family_of("NewModel-HR") == "NewModel"


def test_whole_families_are_held_out_of_cmip5() -> None:
    models = [model for model, count in CMIP5.items() for _ in range(count)]
    families = [family_of(model) for model in models]
    chosen = split([f"{m} {n}" for n, m in enumerate(models)], families, [1872] * len(models))
    of = {use: {families[i] for i, _ in getattr(chosen, use)} for use in ("train", "validation", "test")}
    assert not of["train"] & of["validation"]
    assert not of["train"] & of["test"]
    assert not of["validation"] & of["test"]
    numbers = [i for use in of for i, _ in getattr(chosen, use)]
    assert sorted(numbers) == list(range(len(models)))
    assert len(chosen.train) > 0.85 * len(models)
    assert all(len(getattr(chosen, use)) >= 5 for use in of)
    assert chosen.caveats == ()


def test_two_families_and_one() -> None:
    two = split(list("abcd"), ["A", "A", "B", "B"], [480] * 4)
    assert [i for i, _ in two.train] == [2, 3]
    assert [[i for i, _ in use] for use in (two.validation, two.test)] == [[0], [1]]
    assert "one model family" in two.caveats[0]
    reanalysis = split([str(n) for n in range(56)], ["20CR"] * 56, [1680] * 56)
    assert [len(use) for use in (reanalysis.train, reanalysis.validation, reanalysis.test)] == [50, 3, 3]
    assert "learned from" in reanalysis.caveats[0]
    pair = split(["a", "b"], ["A", "A"], [480, 480])
    assert pair.train == ((0, slice(None)),)
    assert pair.validation[0][1].stop + MARGIN == pair.test[0][1].start


def test_years_of_the_only_member_with_a_margin() -> None:
    one = split(["a"], ["A"], [516])
    ((_, train),), ((_, validation),), ((_, test),) = one.train, one.validation, one.test
    assert train.start == 0
    assert validation.start - train.stop == MARGIN == test.start - validation.stop
    assert test.stop == 516
    assert test.stop - test.start == validation.stop - validation.start == 48
    with pytest.raises(InputDataError, match="too little"):
        split(["a"], ["A"], [120])


def test_twins_are_found_and_fields_joined(tmp_path: Path) -> None:
    store, rng = MemberStore(tmp_path), np.random.default_rng(0)
    index = np.arange(36) + 1961 * 12
    fields = {name: rng.normal(size=(36, 4, 8)).astype(np.float32) for name in "ab"}
    fields["c"] = fields["a"][6:] + 0.001
    fields["b"][3, 1, 1] = np.nan
    for name, values in fields.items():
        mean = np.nanmean(values, axis=(1, 2))
        about = {"name": name, "missing": int(np.isnan(values).sum()), "global_mean": mean.tolist()}
        store.put(name, values, index[36 - len(values) :], about)
    members = [store.get(name) for name in "abc"]
    assert twins(members) == {2: 0}
    joined = fields_of(members, [(0, slice(None)), (1, slice(0, 12))], GRID, tmp_path)
    assert joined.names == ("a", "b")
    assert len(joined) == 48
    assert joined.member.tolist() == [0] * 36 + [1] * 12
    assert joined.month[:13].tolist() == [*range(1, 13), 1]
    assert joined.index[36] == 1961 * 12
    assert joined.scored is not None
    assert (~joined.scored).sum() == 1
    assert fields_of(members, [(0, slice(None))], GRID, tmp_path).scored is None


def test_members_of_one_history_are_told(tmp_path: Path) -> None:
    """Two reanalyses of the same years, and a model with its own weather; all warm alike."""
    store, rng = MemberStore(tmp_path), np.random.default_rng(0)
    trend, world = np.linspace(0, 1, 240), rng.normal(0, 0.1, 240)
    for name, own in (("a", world), ("b", world + rng.normal(0, 0.03, 240)), ("c", rng.normal(0, 0.1, 240))):
        about = {"name": name, "global_mean": (trend + own).tolist()}
        store.put(name, np.zeros((240, 4, 8), np.float32), np.arange(240) + 1961 * 12, about)
    members = [store.get(name) for name in "abc"]
    (said,) = shared_history(members, Split(((0, ALL),), ((2, ALL),), ((1, ALL),), ""))
    assert said.startswith("b was held out, but shares its history with a")
