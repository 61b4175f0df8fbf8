"""Maps of an explanation: contributions, changes without blocks, and what observations are worth."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import BoundaryNorm

from climrecon.array_types import FloatArray
from climrecon.output.explanation import Explained, sign_of
from climrecon.plots.maps import PLATE, draw_box, draw_map
from climrecon.plots.picture import ACCENT, Picture, Scale, new_figure
from climrecon.variables import VARIABLES

#: Colours of reductions of variance.
_WORTH = "YlGnBu"
#: Best places for one more observation that are marked.
_MARKED = 5


def draw_explanation(explained: Explained, data_set: str, value: str) -> Picture:
    """Contributions and changes; where the method has a Gaussian model, also what observations are and would be worth.

    Parameters
    ----------
    data_set, value:
        In words, for the title.
    """
    one, worth = explained, explained.worth
    units, colours = VARIABLES[one.variable].units, _colours(one.variable)
    figure = new_figure(12.4, 6.6 if worth is not None else 3.6)
    places = figure.add_gridspec(2 if worth is not None else 1, 2)
    bar = {"format": "%g"}
    title = "Contribution of each observation"
    drawn = [
        _map(figure, places[0, 0], one, one.contributions, _both_ways(one.contributions, colours, units), title, bar)
    ]
    title = "Change of the value by the observations of each block"
    drawn.append(_map(figure, places[0, 1], one, one.changes, _both_ways(one.changes, colours, units), title, bar))
    if worth is not None:
        shares = [100.0 * np.where(np.isfinite(field), field, np.nan) / worth.variance for field in (
            worth.reductions, worth.gains)]  # fmt: skip
        titles = ("Variance without each observation, % more", "Variance with one more observation, % less")
        for number, (field, title) in enumerate(zip(shares, titles, strict=True)):
            drawn.append(_map(figure, places[1, number], one, field, _from_zero(field), title, bar))
        _mark_best(drawn[-1], one)
    for axes in drawn:
        for box in one.target.boxes:
            draw_box(axes, box)
        if one.target.place is not None:
            lat, lon = one.target.place
            axes.plot([lon], [lat], marker="s", markersize=6, mfc="none", mec="black", transform=PLATE)
    figure.suptitle(f"{data_set}, {one.month}: contributions to {value}, with {one.info.name}", fontsize=14)
    return Picture(figure, _caption(one, data_set, value))


def _colours(variable: str) -> str:
    maps = VARIABLES[variable].maps
    return maps.colours if maps is not None else "RdBu_r"


def _map(
    figure: Any, place: Any, one: Explained, field: FloatArray, scale: Scale, title: str, bar: dict[str, Any]
) -> Any:
    return draw_map(figure, place, one.grid, field, scale, title, bar=bar)[0]


def _both_ways(field: FloatArray, colours: str, label: str) -> Scale:
    up = _levels(field)
    levels = np.concatenate([-up[::-1], up])
    return Scale(BoundaryNorm(levels, 256), colours, label, levels)


def _from_zero(field: FloatArray) -> Scale:
    levels = np.concatenate([[0.0], _levels(field)])
    return Scale(BoundaryNorm(levels, 256), _WORTH, "%", levels)


def _levels(field: FloatArray) -> FloatArray:
    """Six levels 1, 2, 5, 10 ... up to the largest size: a few cells near the value have most of it, many have little."""
    sizes = np.abs(field[np.isfinite(field)])
    largest = float(sizes.max()) if sizes.any() else 1.0
    power = 10.0 ** np.floor(np.log10(largest))
    steps = np.outer([0.01, 0.1, 1.0], [1.0, 2.0, 5.0]).reshape(-1)
    steps = np.append(steps, 10.0) * power
    top = int(np.searchsorted(steps, largest * (1.0 - 1e-9)))
    return np.asarray(steps[top - 5 : top + 1])


def _mark_best(axes: Any, one: Explained) -> None:
    assert one.worth is not None
    gains = np.nan_to_num(one.worth.gains).reshape(-1)
    best = [cell for cell in np.argsort(-gains, kind="stable")[:_MARKED] if gains[cell] > 0.0]
    rows, columns = np.unravel_index(np.array(best, dtype=int), one.grid.shape)
    axes.scatter(one.grid.lon[columns], one.grid.lat[rows], s=26, marker="*", color=ACCENT, transform=PLATE, zorder=5)


def _caption(one: Explained, data_set: str, value: str) -> str:
    variable, found, worth = VARIABLES[one.variable], one.influence, one.worth
    units, digits, sign = variable.units, variable.decimals, sign_of(one.variable)
    months = [f"{row['month']} {100 * row['share']:.0f} %" for row in one.months if len(one.months) > 1]
    of_months = f" Share of the contributions by size: {', '.join(months)}." if months else ""
    less = (
        f" less {found.at_climatology:{sign}.{digits}f} {units}, its part without anomalies"
        if found.at_climatology
        else ""
    )
    through = ", carried through the variable's transform," if found.weights is None else ""
    sums = {
        "exact": f"Contributions are exact weights times anomalies{through} and sum to the value{less}.",
        "gradients": f"Contributions are integrated gradients from the climatology{through} and sum to the value{less}.",
        "occlusion": "Contributions are changes without each observation: the method offers no gradients.",
    }[found.how]
    text = f"{value[0].upper()}{value[1:]} in {one.month}, {data_set} with {one.info.name}: "
    text += f"{one.estimate:{sign}.{digits}f} {units}. {sums}{of_months} "
    text += "A block's change is the value less that without its observations."
    if worth is not None:
        sd = np.sqrt(worth.variance)
        text += (
            f" Below: under the method's Gaussian model the value has a standard deviation of {sd:.{digits}f} {units}; "
            f"stars: cells where one more observation, with an error of {worth.error_sd:.{digits}f} {units}, "
            "reduces it most."
        )
    return text + f" Grey: no observation{'; below right: observed cells' if worth is not None else ''}."
