"""What an exported set holds, and what it must not hold."""

from __future__ import annotations

import json
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from climrecon.benchmark_set import export_set, score_submissions
from climrecon.benchmark_set.card import CARD, STDDEV, VALUES, digest, read_card
from climrecon.benchmark_set.truth import ScoredSet
from climrecon.errors import InputDataError, NetworkError, OutputError, UsageError
from climrecon.files import sha256_of
from climrecon.preprocess import PrepareRequest, read_observations
from climrecon.settings import load_site
from climrecon.tasks.benchmark.runs import learned_months, run_methods
from helpers.benchmark_sets import SmallSet, fair

GISTEMP = "observations/gistemp/gistemp1200_v4_5x5_base6190_188001-200212.nc"
CRUTEM = "observations/crutem4/CRUTEM.4.3.0.0.anomalies.nc"


def test_inputs_are_the_truth_through_gaps_with_errors_of_the_stated_size(small: SmallSet) -> None:
    for case in small.card.cases:
        known, values = small.known[case.name], small.values[case.name]
        np.testing.assert_array_equal(np.isfinite(values), known.mask)
        errors = (values - known.truth)[known.mask]
        if case.name.endswith("clean"):
            assert np.abs(errors).max() < 1e-3
        else:
            assert errors.std() == pytest.approx(case.noise, rel=0.02)
            assert case.stated == case.noise == 0.5
        assert 0.2 < case.observed_share < 0.45
        assert case.sha256 == sha256_of(small.folder / case.file)


def test_nothing_in_the_folder_holds_a_value_that_the_gaps_hide(small: SmallSet) -> None:
    names = {str(path.relative_to(small.folder)) for path in small.folder.rglob("*") if path.is_file()}
    assert names == {"benchmark.json", "README.md", *(case.file for case in small.card.cases)}
    for case in small.card.cases:
        known = small.known[case.name]
        with netCDF4.Dataset(small.folder / case.file) as file:
            fields = {name: one for name, one in file.variables.items() if one.ndim == 3}
            assert set(fields) == {VALUES, STDDEV}
            for one in fields.values():
                assert np.ma.getmaskarray(one[:])[known.scored].all()


def test_no_case_holds_what_another_hides(small: SmallSet) -> None:
    clean, noisy = (small.known[name].truth for name in ("sparse-clean", "sparse-noisy"))
    apart = np.corrcoef(clean.ravel(), noisy.ravel())[0, 1]
    assert abs(apart) < 0.35  # the forced part alone is common


def test_the_same_seed_gives_the_same_set(small: SmallSet, tmp_path: Path) -> None:
    again = export_set(tmp_path / "again", years="1911-1913", gaps=["sparse=1861-1863"], seed=0)
    other = export_set(tmp_path / "other", years="1911-1913", gaps=["sparse=1861-1863"], seed=1)
    assert again.identity == small.card.identity
    assert [case.sha256 for case in again.cases] == [case.sha256 for case in small.card.cases]
    assert other.identity != small.card.identity


def test_climrecon_reads_an_input_as_observations(small: SmallSet) -> None:
    case = small.card.cases[1]
    seen = read_observations([small.folder / case.file], PrepareRequest())
    np.testing.assert_array_equal(seen.values, small.values[case.name])
    assert seen.reference_period == (1961, 1990)


def test_inputs_follow_the_conventions(small: SmallSet) -> None:
    from compliance_checker.runner import CheckSuite

    CheckSuite.load_all_available_checkers()
    suite = CheckSuite()
    dataset = suite.load_dataset(str(small.folder / small.card.cases[0].file))
    found = suite.run_all(dataset, ["cf:1.8"], [])["cf:1.8"][0]
    wrong = {text for result in found for text in result.msgs if result.value[0] < result.value[1]}
    assert wrong == set()


def test_a_hidden_seed_is_in_the_key_alone(small: SmallSet, tmp_path: Path) -> None:
    folder, key = tmp_path / "set", tmp_path / "key.json"
    card = export_set(folder, years="1911-1913", gaps=["sparse=1861-1863"], key=key)
    seed = json.loads(key.read_text())["seed"]
    assert seed.bit_length() > 100
    assert key.stat().st_mode & 0o077 == 0
    assert card.truth.seed is None
    assert any("128 random bits" in text for text in card.limits)
    for path in folder.rglob("*"):
        if path.is_file():
            assert str(seed).encode() not in path.read_bytes()
    with pytest.raises(UsageError, match="seed of this set is hidden"):
        ScoredSet.of(folder)
    scored = ScoredSet.of(folder, key=key)
    given = scored.input(card.cases[0])
    assert digest(scored.known(given).truth) == card.cases[0].truth_sha256
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**json.loads(key.read_text()), "seed": seed + 1}))
    with pytest.raises(InputDataError, match="key is not the one"):
        ScoredSet.of(folder, key=other).known(given)


def test_a_public_seed_is_called_so(small: SmallSet) -> None:
    assert small.card.truth.seed == 0
    assert any("whoever runs the generator has the truth" in text for text in small.card.limits)
    assert "whoever runs the generator has the truth" in (small.folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"truth": "x.nc"}, "needs masks"),
        ({"years": "1900-"}, "open period"),
        ({"years": "then"}, "no period"),
        ({"seed": 1, "key": "key"}, "--seed is public"),
        ({"key": "set/key"}, "would be published"),
        ({"gaps": ["sparse"]}, "no period"),
        ({"gaps": ["../x=1861-1862"]}, "no name"),
        ({"gaps": ["a=1861-1862", "a=1871-1872"]}, "name 'a' is given twice"),
        ({"gaps": ["a=1861-"]}, "open period"),
        ({"seed": -1}, "not negative"),
    ],
)
def test_arguments_that_cannot_be(tmp_path: Path, arguments: dict, words: str) -> None:
    named = {name: tmp_path / value if name in ("truth", "key") else value for name, value in arguments.items()}
    with pytest.raises(UsageError, match=words):
        export_set(tmp_path / "set", **named)
    assert not (tmp_path / "set").exists()


def test_files_of_others_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match=r"thesis\.tex"):
        export_set(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_exported_set_is_replaced_with_its_inputs(tmp_path: Path) -> None:
    export_set(tmp_path / "set", years="1911", gaps=["old=1861-1861"])
    export_set(tmp_path / "set", years="1911", gaps=["new=1861-1861"])
    assert sorted(path.name for path in (tmp_path / "set/inputs").iterdir()) == ["new-clean.nc", "new-noisy.nc"]
    assert [case.name for case in read_card(tmp_path / "set").cases] == ["new-clean", "new-noisy"]


def test_damaged_inputs_and_foreign_cards_are_refused(small: SmallSet, tmp_path: Path) -> None:
    card = export_set(tmp_path / "set", years="1911", gaps=["sparse=1861-1861"])
    path = tmp_path / "set" / card.cases[0].file
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputDataError, match="sha256 differs"):
        ScoredSet.of(tmp_path / "set").input(card.cases[0])
    text = (tmp_path / "set/benchmark.json").read_text()
    (tmp_path / "set/benchmark.json").write_text(text.replace('"benchmark_version": "1"', '"benchmark_version": "0"'))
    with pytest.raises(InputDataError, match="benchmark version 0"):
        read_card(tmp_path / "set")
    (tmp_path / "set/benchmark.json").write_text('{"name": "x"}')
    with pytest.raises(InputDataError, match="no card of a benchmark set"):
        read_card(tmp_path / "set")


def test_real_truth_stays_where_it_is(shared_data: Path, tmp_path: Path) -> None:
    truth, folder = shared_data / GISTEMP, tmp_path / "real"
    card = export_set(folder, truth=truth, years="1900-1903", masks=shared_data / CRUTEM, gaps=["land=1900-1903"])
    scored = ScoredSet.of(folder, truth=truth)
    with netCDF4.Dataset(truth) as file:
        there = file["tas"][240:288].filled(np.nan)
    with netCDF4.Dataset(shared_data / CRUTEM) as file:
        stations = ~np.ma.getmaskarray(file["temperature_anomaly"][600:648])
    for number, case in enumerate(card.cases):
        known = scored.known(scored.input(case))
        years = slice(24 * number, 24 * number + 24)
        np.testing.assert_array_equal(known.truth, there[years])
        np.testing.assert_array_equal(known.mask, stations[years] & np.isfinite(there[years]))
        with netCDF4.Dataset(folder / case.file) as file:
            assert np.ma.getmaskarray(file[VALUES][:])[known.scored].all()
    assert not any("GISTEMP" in path.name for path in folder.rglob("*"))
    with pytest.raises(UsageError, match="--truth"):
        ScoredSet.of(folder)
    with pytest.raises(InputDataError, match="truth is not the one"):
        ScoredSet.of(folder, truth=shared_data / CRUTEM).known(scored.input(card.cases[0]))


def test_a_network_is_not_run_on_months_that_it_learned_from(shared_data: Path, tmp_path: Path) -> None:
    truth, masks = shared_data / GISTEMP, shared_data / CRUTEM
    export_set(tmp_path / "seen", truth=truth, years="1963-1966", masks=masks, gaps=["land=1963-1966"])
    with pytest.raises(NetworkError, match="punet6 learned from 48 of the 48 months"):
        run_methods(["punet6"], tmp_path / "seen", tmp_path / "out", load_site())
    # oi has the covariance of the same months.
    with pytest.raises(NetworkError, match="oi learned from 48 of the 48 months"):
        run_methods(["oi"], tmp_path / "seen", tmp_path / "out", load_site())
    assert not (tmp_path / "out").exists()


def test_months_that_cards_list() -> None:
    members = {"train": [{"periods": ["1960-1961"]}], "validation": [{"periods": ["196301-196302"]}],
               "test": [{"periods": ["1965-1965"]}]}  # fmt: skip
    year = np.arange(12)
    blind = [*(1960 * 12 + year), *(1961 * 12 + year), 1963 * 12, 1963 * 12 + 1]
    assert learned_months({"members": members}).tolist() == blind
    assert learned_months({"members": members, "covariances": "all 876 months"}).tolist() == [
        *blind,
        *(1965 * 12 + year),
    ]
    assert learned_months({"members": ["GISTEMP"], "months_of_training": ["1960-03", "1960-02"]}).tolist() == [
        23521,
        23522,
    ]
    assert learned_months({"months": ["1960-03"]}).tolist() == [23522]  # as in punet5's
    assert learned_months({"members": ["GISTEMP"], "months": 212}) is None


def test_a_submission_that_states_months_of_the_truth_is_marked(shared_data: Path, tmp_path: Path) -> None:
    truth = shared_data / GISTEMP
    card = export_set(
        tmp_path / "set", truth=truth, years="1900-1901", masks=shared_data / CRUTEM, gaps=["land=1900-1901"]
    )
    scored = ScoredSet.of(tmp_path / "set", truth=truth)
    known = {case.name: scored.known(scored.input(case)) for case in card.cases}
    small = SmallSet(tmp_path / "set", card, known, dict.fromkeys(known))

    def estimate(one, values):
        return {VALUES: np.nan_to_num(fair(one, values)[VALUES])}

    small.submit(tmp_path / "learned", estimate, training_months="1895-1900", method="learned")
    small.submit(tmp_path / "blind", estimate, training_months="1930-1960", method="blind")
    rows = score_submissions([tmp_path / "learned", tmp_path / "blind"], tmp_path / "set", truth=truth)
    assert rows[0]["doubts"] == ["learned from 12 of the months that are scored"]
    assert rows[1]["doubts"] == []


@pytest.mark.parametrize(
    ("key", "text"),
    [("name", "../../x"), ("name", "/tmp/x"), ("name", ""), ("file", "inputs/../../x.nc"), ("file", "/x.nc")],
)
def test_a_card_names_no_place_outside_its_set(small: SmallSet, tmp_path: Path, key: str, text: str) -> None:
    """Methods write, and submissions are read, by the names of cases: a set may come from anyone."""
    card = json.loads((small.folder / CARD).read_text())
    card["cases"][0][key] = text
    (tmp_path / CARD).write_text(json.dumps(card))
    with pytest.raises(InputDataError, match=f"cases.0.{key}: String should match pattern"):
        read_card(tmp_path)
