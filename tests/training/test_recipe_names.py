"""Settings of recipes by the names of an earlier version."""

from __future__ import annotations

import pytest

from climrecon.errors import ProblemList
from climrecon.training.recipes import OLD_NAMES, RECIPES, NativeRecipe, parse, recipe, renamed


def test_an_old_name_gives_the_same_recipe_and_a_note() -> None:
    name, settings = parse("native,months_beside=1,width=8")
    assert recipe(name, **settings) == recipe("native", neighbour_months=1, width=8)
    present, notes = renamed(settings)
    assert present == {"neighbour_months": 1, "width": 8}
    assert len(notes) == 1
    assert "months_beside" in notes[0]
    assert "neighbour_months" in notes[0]
    assert renamed({"width": 8}) == ({"width": 8}, [])


def test_old_names_stand_for_settings_there_are() -> None:
    fields = {field for kind, _ in RECIPES.values() for field in kind.model_fields}
    assert set(OLD_NAMES.values()) <= fields
    assert not set(OLD_NAMES) & fields


def test_an_old_name_beside_the_present_one_is_refused() -> None:
    with pytest.raises(ProblemList, match="months_beside"):
        recipe("native", months_beside=0, neighbour_months=1)


def test_a_score_is_one_of_two() -> None:
    made = recipe("analysis", loss="crps")
    assert isinstance(made, NativeRecipe)
    assert made.loss == "crps"
    with pytest.raises(ProblemList, match="likelihood"):
        recipe("native", loss="squares")
