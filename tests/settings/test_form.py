"""The forms of the Freva plugins: their fields, help, and what their field ``options`` holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from climrecon import form
from climrecon import parameters as p
from climrecon.methods.registry import registered
from climrecon.methods.store import list_networks
from climrecon.training.recipe_settings import Recipe


def test_the_form_of_a_reconstruction_shows_these_fields_in_this_order() -> None:
    names = [one.name for one in form.fields(p.RECONSTRUCT)]
    assert names == [
        "variable", "model", "obs_file", "period", "network", "compare_with", "obs_members", "realisations",
        "reference_period", "plot_month", "animation", "interactive_map", "add_to_databrowser", "outputdir",
    ]  # fmt: skip


@pytest.mark.parametrize("task", p.TASKS)
def test_a_form_holds_parameters_of_its_task_alone_and_no_defaults(task: str) -> None:
    for one in form.fields(task):
        assert task in one.tasks
        assert one.host_default is None or one.name == "outputdir", "a default would be taken for a wish"


@pytest.mark.parametrize("task", p.TASKS)
def test_help_is_a_sentence_without_words_of_other_tasks(task: str) -> None:
    others = {
        p.RECONSTRUCT: "train|evaluat|scor",
        p.TRAIN: "evaluat|reconstruct",
        p.EVALUATE: "reconstruct",
        p.COMPARE: "train|evaluat|observations",
        p.EXPLAIN: "train|evaluat|scor|realisation",
        p.BENCHMARK: "evaluat|reconstruct",
    }[task]
    for one in form.fields(task):
        first, _, empty = one.help.partition(" Empty: ")
        assert first.endswith("."), one
        assert not re.search(r"[^g]\. [A-Z]", first), one
        assert not re.search(others, first.lower()), one
        if one.site and one.default is not None and (task, one.name) != (p.TRAIN, "network"):
            assert empty == f"the site's, else {p.shown(one.default)}.", one
    network = next(one for one in form.fields(p.RECONSTRUCT) if one.name == "network")
    assert network.help.endswith("Empty: the site's, else auto.")


def test_what_has_no_field_stands_in_options_and_comes_back() -> None:
    given = {
        "variable": "tas", "task": "train", "recipe": "kadow2020,masks=10,noise=true", "iterations": "5", "seed": "3",
        "auxiliary_files": "psl=/a.nc,tos=/b.nc", "dryrun": "true", form.SCHEDULER: "--mem=1G,--time=5",
    }  # fmt: skip
    shown = form.to_form(p.RECONSTRUCT, given)
    assert set(shown) == {"variable", form.OPTIONS, form.SCHEDULER}
    assert form.from_form(shown) == given
    assert form.to_form(p.RECONSTRUCT, form.to_form(p.RECONSTRUCT, given)) == shown


@pytest.mark.parametrize(
    "text", ["seed=3,keep_observed=false", " seed = 3 ,  keep_observed=false, ", "seed=3 keep_observed=false"]
)
def test_options_as_people_write_them(text: str) -> None:
    assert form.from_form({form.OPTIONS: text}) == {"seed": "3", "keep_observed": "false"}


def test_a_parameter_given_twice_is_refused() -> None:
    assert form.from_form({"network": "oi", form.OPTIONS: "network=oi"}) == {"network": "oi"}
    with pytest.raises(ValueError, match="network: is given twice, as pca and as oi"):
        form.from_form({"network": "pca", form.OPTIONS: "network=oi"})
    assert form.from_form({form.OPTIONS: "keep_observd=false"}) == {"keep_observd": "false"}, (
        "to be refused by its name"
    )


def test_settings_of_recipes_that_are_called_like_parameters_are_known() -> None:
    waiting, names = [Recipe], set()
    while waiting:
        one = waiting.pop()
        names |= set(one.model_fields)
        waiting += one.__subclasses__()
    assert names & set(p.BY_NAME) == set(form.OF_RECIPES)


def test_the_form_offers_what_is_shipped_and_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIMRECON_CONFIG", str(tmp_path / "none.toml"))
    assert form.baselines() == tuple(name for name, one in registered().items() if not one.package)
    assert form.offered() == ["auto", *sorted(card.name for card, _ in list_networks()), *form.baselines()]
    (tmp_path / "store" / "mine").mkdir(parents=True)
    (tmp_path / "store" / "mine" / "card.json").touch()
    (tmp_path / "climrecon.toml").write_text(f'network_store = ["{tmp_path / "store"}"]\n')
    monkeypatch.setenv("CLIMRECON_CONFIG", str(tmp_path / "climrecon.toml"))
    assert "mine" in form.offered()
    (tmp_path / "climrecon.toml").write_text("no TOML")
    assert "mine" not in form.offered()
