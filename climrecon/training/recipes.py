"""Recipes: which network is trained, on what samples, with which losses and steps.

``punet`` is our own network on the fields' own grid, as it ships; ``kadow2020`` is the published training (Kadow et al.
2020, Nature Geoscience 13:408, methods). A recipe is added by a line in ``RECIPES``, and by a subclass of :class:`Recipe`
in :mod:`climrecon.training.recipe_settings` if it is of a new kind.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from climrecon.errors import ProblemList, UsageError
from climrecon.files import read_text
from climrecon.training.recipe_settings import PublishedRecipe, Recipe, UNetRecipe

#: Name -> class and what differs from its defaults.
RECIPES: dict[str, tuple[type[Recipe], dict[str, Any]]] = {
    "kadow2020": (
        PublishedRecipe,
        {"iterations": 1_000_000, "batch": 18, "rate": 2e-4, "check_every": 5000, "patience": 0},
    ),
    "punet": (UNetRecipe, {}),
}


#: Old name -> name of settings, and old name -> name and settings of recipes, accepted with a note; to be removed in the
#: next version.
OLD_NAMES = {"months_beside": "neighbour_months"}
OLD_RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "native": ("punet", {"neighbour_months": 0}),
    "analysis": ("punet", {}),
}


def renamed(name: str, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any], list[str]]:
    """Recipe and settings by their present names, and a note for each old one; as they are where both names are given."""
    present = {key: OLD_NAMES.get(key, key) for key in settings}
    present = {key: key if name in settings else name for key, name in present.items()}
    notes = [
        f"The recipe's setting {old} is now called {name}; the next version of climrecon refuses the old name."
        for old, name in present.items()
        if old != name
    ]
    settings = {present[key]: value for key, value in settings.items()}
    if name not in OLD_RECIPES:
        return name, settings, notes
    new, changed = OLD_RECIPES[name]
    call = ",".join([new, *(f"{key}={value}" for key, value in changed.items())])
    note = (
        f"The recipe {name} is now recipe={call}, whose defaults are others; the next version of climrecon refuses the "
        "old name."
    )
    return new, {**changed, **settings}, [note, *notes]


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """Name and settings of ``punet``, of ``punet,width=24,depth=2``, or of a TOML file.

    A file holds the recipe's name as ``recipe`` and its settings.

    Raises
    ------
    UsageError
        If the file cannot be read, or a part is no setting.
    """
    if text.endswith(".toml"):
        try:
            content = tomllib.loads(read_text(Path(text).expanduser()))
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(
                f"The recipe {text} cannot be read: {error}", 'It holds recipe = "punet" and settings.'
            ) from error
        return str(content.pop("recipe", "punet")), content
    name, *parts = (part.strip() for part in text.split(","))
    settings: dict[str, Any] = {}
    for part in parts:
        key, sign, value = part.partition("=")
        if not sign or not key.strip():
            raise UsageError(
                f"{part!r} in recipe={text} is no setting.", f"Write recipe={name},setting=value,setting=value."
            )
        *groups, last = key.strip().split(".")
        place = settings
        for group in groups:
            place = place.setdefault(group, {})
        words = [_plain(word) for word in value.split()]
        place[last] = words[0] if len(words) == 1 else words
    return name, settings


def _plain(word: str) -> Any:
    """A number where the word is one, else the word."""
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def recipe(name: str, **overrides: Any) -> Recipe:
    """The recipe called ``name`` with ``overrides``.

    Raises
    ------
    UsageError
        If there is none of that name; or a setting is unknown or impossible, all of them at once.
    """
    name, overrides, _ = renamed(name, overrides)
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, 1)
        raise UsageError(
            f"There is no recipe {name!r}." + (f" Did you mean {near[0]}?" if near else ""),
            f"Recipes: {', '.join(RECIPES)}.",
        )
    kind, settings = RECIPES[name]
    try:
        return kind.model_validate({"name": name, **settings, **overrides})
    except ValidationError as error:
        problems = []
        for problem in error.errors():
            where = ".".join(map(str, problem["loc"]))
            if problem["type"] == "extra_forbidden":
                near = difflib.get_close_matches(where, kind.model_fields, 1)
                problems.append(f"there is no setting {where!r}" + (f"; {near[0]}?" if near else ""))
            else:
                what = f"{where}: {problem['msg']} (found {problem['input']!r})" if where else str(problem["msg"])
                problems.append(what.removeprefix("Value error, "))
        raise ProblemList(
            problems,
            f"The recipe {name} cannot be used so:",
            f"Settings: {', '.join(field for field in kind.model_fields if field != 'name')}.",
        ) from error
