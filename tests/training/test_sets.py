"""Which members are held out: whole families of models, whole members, years of the only one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from climrecon.array_types import IntArray
from climrecon.errors import InputDataError
from climrecon.fields import Months
from climrecon.grid import Grid
from climrecon.training.calendar import MARGIN, Calendar, years_of
from climrecon.training.sets import ALL, BETWEEN_HALVES, Split, family_of, fields_of, one_history, shared_history, twins
from climrecon.training.sets import split as split_of
from climrecon.training.store import MemberStore, assemble

GRID = Grid.regular(4, 8)
MONTHS = np.arange(1872) + 1850 * 12

#: Models of CMIP5's historical runs and how many members each has, some of them.
CMIP5 = {
    "ACCESS1-0": 3, "ACCESS1-3": 3, "bcc-csm1-1": 3, "BNU-ESM": 1, "CanESM2": 5, "CCSM4": 8, "CESM1-BGC": 1,
    "CESM1-CAM5": 3, "CMCC-CESM": 1, "CMCC-CM": 1, "CNRM-CM5": 10, "CSIRO-Mk3-6-0": 10, "EC-EARTH": 8,
    "FGOALS-g2": 4, "GFDL-CM3": 5, "GFDL-ESM2M": 1, "GISS-E2-H": 17, "GISS-E2-R": 24, "HadCM3": 10,
    "HadGEM2-CC": 3, "HadGEM2-ES": 5, "inmcm4": 1, "IPSL-CM5A-LR": 6, "IPSL-CM5A-MR": 3, "MIROC5": 5,
    "MIROC-ESM": 3, "MPI-ESM-LR": 3, "MPI-ESM-MR": 3, "MPI-ESM-P": 2, "MRI-CGCM3": 5, "NorESM1-M": 3,
}  # fmt: skip


def split(families: list[str], months: list[IntArray], *calendars: Calendar, **more: bool) -> Split:
    """Of monthly members."""
    return split_of(families, [Months(index) for index in months], *calendars, **more)


def test_models_that_share_an_atmosphere_are_one_family() -> None:
    assert family_of("ACCESS1-0") == family_of("HadGEM2-ES")
    assert family_of("NorESM1-M") == family_of("CCSM4") == family_of("CESM1-CAM5") == family_of("bcc-csm1-1")
    assert family_of("MPI-ESM-LR") == family_of("CMCC-CM")
    assert family_of("GFDL-CM3") != family_of("MIROC5")
    assert family_of("NewModel-LR") == family_of("NewModel-HR") == "NewModel"


def test_whole_families_are_held_out_of_cmip5() -> None:
    models = [model for model, count in CMIP5.items() for _ in range(count)]
    families = [family_of(model) for model in models]
    chosen = split(families, [MONTHS] * len(models))
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
    two = split(["A", "A", "B", "B"], [MONTHS[:480]] * 4)
    assert [i for i, _ in two.train] == [2, 3]
    assert [[i for i, _ in use] for use in (two.validation, two.test)] == [[0], [1]]
    assert "one model family" in two.caveats[0]
    reanalysis = split(["20CR"] * 56, [MONTHS[:1680]] * 56)
    assert [len(use) for use in (reanalysis.train, reanalysis.validation, reanalysis.test)] == [50, 3, 3]
    assert "learned from" in reanalysis.caveats[0]
    pair = split(["A", "A"], [MONTHS[:480]] * 2)
    assert pair.train == ((0, slice(None)),)
    first, second = pair.validation[0][1], pair.test[0][1]
    assert isinstance(first, slice)
    assert isinstance(second, slice)
    assert first.stop + 12 * BETWEEN_HALVES == second.start


def held(chosen: Split, months: list[IntArray]) -> dict[str, dict[int, IntArray]]:
    """By use and member: its months."""
    return {use: {n: months[n][rows] for n, rows in getattr(chosen, use)} for use in ("train", "validation", "test")}


def runs(index: IntArray) -> list[tuple[int, int]]:
    """First year and number of months of each run."""
    return [(int(run[0]) // 12, len(run)) for run in np.split(index, np.flatnonzero(np.diff(index) != 1) + 1)]


@pytest.mark.parametrize("years", [43, 73, 123])
def test_whole_years_of_the_only_member_in_blocks_spread_over_it(years: int) -> None:
    index = np.arange(years * 12) + (2003 - years) * 12
    one = split(["A"], [index])
    uses = {use: members[0] for use, members in held(one, [index]).items()}
    for use in ("validation", "test"):
        blocks = runs(uses[use])
        assert len(blocks) >= 2
        assert all(count % 12 == 0 and 36 <= count <= 60 for _, count in blocks)
        assert 0.08 * years <= sum(count for _, count in blocks) / 12 <= 0.15 * years
        assert blocks[-1][0] - blocks[0][0] > 0.4 * years, "not its end alone"
    order = sorted([(year, use) for use in ("validation", "test") for year, _ in runs(uses[use])])
    assert [use for _, use in order] == ["validation", "test"] * (len(order) // 2), "they take turns"
    others = np.concatenate([uses["validation"], uses["test"]])
    assert np.abs(uses["train"][:, None] - others[None]).min() == MARGIN + 1
    assert len(index) - len(uses["train"]) - len(others) == 2 * MARGIN * len(order), "margins alone are lost"
    assert one.caveats


def test_too_short_a_record_is_refused() -> None:
    with pytest.raises(InputDataError, match="too little to learn from"):
        split(["A"], [MONTHS[:168]])
    with pytest.raises(InputDataError, match=r" 8 months .* learned from.*test 1850-1887"):
        split(["A"], [MONTHS[:480]], Calendar.of(["1850-1887"], ["1889"]))


def test_given_years_are_the_test_of_a_single_member_and_of_none_learned_from() -> None:
    index = np.arange(516) + 1960 * 12
    given = Calendar.of(["1963-1967", "1973-1977", "1983-1987", "1993-1997"], ["1969-1971", "1979-1981", "1989-1991"])
    uses = {use: members[0] for use, members in held(split(["A"], [index], given), [index]).items()}
    assert runs(uses["test"]) == [(1963, 60), (1973, 60), (1983, 60), (1993, 60)]
    assert runs(uses["validation"]) == [(1969, 36), (1979, 36), (1989, 36)]
    assert np.abs(uses["train"][:, None] - np.concatenate([uses["test"], uses["validation"]])).min() == MARGIN + 1
    alone = held(split(["A"], [index], Calendar.of(["1963-1967"])), [index])
    assert runs(alone["test"][0]) == [(1963, 60)]
    assert len(runs(alone["validation"][0])) == 2


def test_a_validation_year_beside_the_test_loses_its_margin() -> None:
    index = np.arange(516) + 1960 * 12
    uses = held(split(["A"], [index], Calendar.of(["1963-1967"], ["1968-1970"])), [index])
    assert uses["validation"][0][0] == 1968 * 12 + MARGIN


def test_given_years_are_held_out_where_whole_members_are() -> None:
    """Models: their members as without, less the years; a member without those years keeps all of its months."""
    months = [MONTHS, MONTHS, MONTHS + 12 * 1000, MONTHS]
    families = ["A", "A", "B", "C"]
    without = split(families, months)
    given = Calendar.of(["1963-1967"], ["1969-1971"])
    uses = held(split(families, months, given), months)
    assert {use: list(members) for use, members in uses.items()} == {
        use: list(members) for use, members in held(without, months).items()
    }
    learned = [Months(index) for index in uses["train"].values()]
    assert not any(given.in_test(time).any() or given.in_validation(time).any() for time in learned)
    for use, found in (("test", given.in_test), ("validation", given.in_validation)):
        for number, index in uses[use].items():
            assert found(Months(index)).all() if number != 2 else len(index) == len(months[2])


def test_members_of_one_history_share_the_years_held_out() -> None:
    months = [MONTHS[:960], MONTHS[120:960]]
    uses = held(split(["A", "B"], months, one_history=True), months)
    assert all(list(members) == [0, 1] for members in uses.values())
    learned = np.concatenate(list(uses["train"].values()))
    others = np.concatenate([*uses["test"].values(), *uses["validation"].values()])
    assert np.abs(learned[:, None] - others[None]).min() == MARGIN + 1


def test_years_of_another_record_are_no_years_of_this_one() -> None:
    """A set without the years that the others hold out gets blocks of its own."""
    index = MONTHS[:480]
    common = Calendar.of(["1963-1967"]).completed([Months(MONTHS[1200:])])
    uses = held(split(["A"], [index], Calendar.of(["1963-1967"]), common), [index])
    assert len(runs(uses["test"][0])) == 2


def test_periods_are_whole_years() -> None:
    assert years_of(["1963-1965", "1970"]) == (1963, 1964, 1965, 1970)
    assert years_of(["196301-196412"]) == (1963, 1964)
    for wrong in ("1963-", "196302-196412", "sixties"):
        with pytest.raises(ValueError, match="period"):
            years_of([wrong])


def test_twins_are_found_and_fields_joined(tmp_path: Path) -> None:
    store, rng = MemberStore(tmp_path), np.random.default_rng(0)
    index = np.arange(36) + 1961 * 12
    fields = {name: rng.normal(size=(36, 4, 8)).astype(np.float32) for name in "ab"}
    fields["c"] = fields["a"][6:] + 0.001
    fields["b"][3, 1, 1] = np.nan
    for name, values in fields.items():
        mean = np.nanmean(values, axis=(1, 2))
        missing = int(np.isnan(values).sum())
        about = {"name": name, "set": f"set {name}", "missing": missing, "global_mean": mean.tolist()}
        store.put(name, values, index[36 - len(values) :], about)
    members = [store.get(name) for name in "abc"]
    assert twins(members) == {2: 0}
    joined = fields_of(members, [(0, slice(None)), (1, slice(0, 12))], GRID, tmp_path)
    assert joined.names == ("a", "b")
    assert joined.sets == ("set a", "set b")
    assert joined.source([0, 35, 36]).tolist() == [0, 0, 1]
    assert len(joined) == 48
    assert joined.member.tolist() == [0] * 36 + [1] * 12
    assert joined.month[:13].tolist() == [*range(1, 13), 1]
    assert joined.index[36] == 1961 * 12
    assert joined.scored is not None
    assert (~joined.scored).sum() == 1
    assert fields_of(members, [(0, slice(None))], GRID, tmp_path).scored is None
    blocks = np.r_[0:12, 20:30]
    parts = fields_of(members, [(1, blocks)], GRID, tmp_path)
    assert parts.index.tolist() == (blocks + 1961 * 12).tolist()
    np.testing.assert_array_equal(parts.values, fields["b"][blocks])
    on_disk = assemble([(members[0], blocks), (members[1], blocks)], tmp_path, in_memory=0)
    np.testing.assert_array_equal(on_disk, np.concatenate([fields["a"][blocks], fields["b"][blocks]]))
    other = assemble([(members[0], blocks + 1), (members[1], blocks)], tmp_path, in_memory=0)
    np.testing.assert_array_equal(other[:22], fields["a"][blocks + 1])


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
    apart = Split(((0, np.arange(120)),), ((2, ALL),), ((1, np.arange(150, 240)),), "")
    assert shared_history(members, apart) == [], "what is held out by its date was learned from in no member"
    assert one_history(members[:2])
    assert not one_history(members)
