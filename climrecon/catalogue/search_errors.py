"""Errors of a search: what was tried, what there is, and what to type."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from climrecon.catalogue.dialects import FACETS
from climrecon.errors import NoDataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from climrecon.catalogue.opening import Catalogue, LeftOut

_SHOWN = 12


def _asked(wanted: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in wanted.items()) or "(everything)"


def _some(values: Sequence[str]) -> str:
    return ", ".join(values[:_SHOWN]) + (f" … ({len(values)} in all)" if len(values) > _SHOWN else "")


def listed(lines: Sequence[str]) -> str:
    """The first lines, indented, and the number of the others."""
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n".join(f"  {line}" for line in (*lines[:_SHOWN], *more))


def no_column(catalogue: Catalogue, facets: Sequence[str]) -> NoDataError:
    """The user asked for facets that the catalogue does not know."""
    return NoDataError(
        f"The catalogue {catalogue.origin} has no column for {', '.join(facets)}.",
        f"It can be searched by {', '.join(sorted(catalogue.facets.intersection(FACETS)))}.",
    )


def nothing(catalogue: Catalogue, wanted: Mapping[str, str], hits: Mapping[str, NDArray[np.bool_]]) -> NoDataError:
    """The search that was tried and, facet by facet, what there is given the other facets."""
    import numpy as np

    every = np.ones(len(catalogue), dtype=bool)
    lines = []
    for name, value in wanted.items():
        others = np.logical_and.reduce([every, *(hit for key, hit in hits.items() if key != name)])
        if there := sorted(catalogue.values(name, others)):
            lines.append(f"  {name}={value}: with the other facets there is {_some(there)}{_closest(value, there)}")
    if not lines:
        for name, value in wanted.items():
            there = sorted(catalogue.values(name, every))
            what = f"there is {_some(there) or 'none'}{_closest(value, there)}"
            lines.append(f"  {name}={value}: {'is there, but not with the others' if hits[name].any() else what}")
    detail = "\n".join(lines)
    return NoDataError(
        f"Nothing in {catalogue.origin} ({len(catalogue)} files) matches {_asked(wanted)}.\n{detail}",
        "Change or leave out a facet; 'climrecon catalogue search' tries without running.",
    )


def _closest(value: str, there: Sequence[str]) -> str:
    spelling = {text.casefold(): text for text in there}
    near = difflib.get_close_matches(value.casefold(), list(spelling), 1)
    return f"; the closest is {spelling[near[0]]}" if near else ""


def none_usable(
    catalogue: Catalogue, wanted: Mapping[str, str], n_matching: int, left_out: Sequence[LeftOut]
) -> NoDataError:
    """Files match, but each has a reason against it."""
    reasons = [f"{path}: {reason}" for path, reason in left_out]
    return NoDataError(
        f"The search {_asked(wanted)} in {catalogue.origin} matches {n_matching} files, but none can be used:\n"
        f"{listed(reasons)}",
        "Use the product with its real gaps, or say allow_infilled=true."
        if all("filled already" in reason for reason in reasons)
        else "Use another data set, or fetch the files.",
    )


def several(
    datasets: Sequence[Mapping[str, str]],
    names: Sequence[str],
    wanted: Mapping[str, str],
    preferred: Mapping[str, str],
    standing: str,
) -> NoDataError:
    """More than one data set matches; they are listed by the facets that distinguish them.

    ``standing`` of the site's ``preferred`` data set among them.
    """
    differing = [name for name in names if len({one[name].casefold() for one in datasets}) > 1]
    described = [" ".join(f"{name}={one[name] or '(empty)'}" for name in differing) for one in datasets]
    text = f"{len(datasets)} data sets match {_asked(wanted)}:\n{listed(described)}"
    if preferred:
        text += f"\nThe site's default, {_asked(preferred)}, {standing}."
    typed = [name for name in differing if name in FACETS and any(one[name] for one in datasets)]
    # One facet is enough where it is different in each.
    alone = [name for name in typed if len({one[name].casefold() for one in datasets}) == len(datasets)]
    typed = alone[:1] or typed
    example = next((one for one in datasets if all(one[name] for name in typed)), None)
    if typed and example:
        hint = f"Say which: {', '.join(f'{name}=…' for name in typed)}; for instance " + " ".join(
            f"{name}={example[name]}" for name in typed
        )
    else:
        hint = "No facet distinguishes them; name the file itself with obs_file=…."
    return NoDataError(text, hint)
