"""Recipes and their settings by the names of an earlier version."""

from __future__ import annotations

import pytest

from climrecon.errors import ProblemList
from climrecon.training.recipe_settings import UNetRecipe
from climrecon.training.recipes import OLD_NAMES, OLD_RECIPES, RECIPES, parse, recipe, renamed


def test_an_old_name_gives_the_same_recipe_and_a_note() -> None:
    name, settings = parse("punet,months_beside=0,width=8")
    assert recipe(name, **settings) == recipe("punet", neighbour_months=0, width=8)
    name, present, notes = renamed(name, settings)
    assert (name, present) == ("punet", {"neighbour_months": 0, "width": 8})
    assert len(notes) == 1
    assert "months_beside" in notes[0]
    assert "neighbour_months" in notes[0]
    assert renamed("punet", {"width": 8}) == ("punet", {"width": 8}, [])


def test_recipes_by_their_old_names_are_ours_with_a_note() -> None:
    assert recipe("native", width=8) == recipe("punet", neighbour_months=0, width=8)
    assert recipe("native", months_beside=1) == recipe("punet")
    assert recipe("analysis") == recipe("punet")
    name, settings, notes = renamed(*parse("native,months_beside=1"))
    assert (name, settings) == ("punet", {"neighbour_months": 1})
    assert len(notes) == 2
    assert "recipe=punet,neighbour_months=0" in notes[0]


def test_old_names_stand_for_what_there_is() -> None:
    fields = {field for kind, _ in RECIPES.values() for field in kind.model_fields}
    assert set(OLD_NAMES.values()) <= fields
    assert not set(OLD_NAMES) & fields
    assert not set(OLD_RECIPES) & set(RECIPES)
    for name, changed in OLD_RECIPES.values():
        assert set(changed) <= set(RECIPES[name][0].model_fields)


def test_an_old_name_beside_the_present_one_is_refused() -> None:
    with pytest.raises(ProblemList, match="months_beside"):
        recipe("punet", months_beside=0, neighbour_months=1)


def test_a_score_is_one_of_two() -> None:
    made = recipe("punet", loss="likelihood")
    assert isinstance(made, UNetRecipe)
    assert made.loss == "likelihood"
    with pytest.raises(ProblemList, match="likelihood"):
        recipe("punet", loss="squares")
