"""Structural uncertainty: differences between reconstructions of the same observations with different networks.

The spread of a network is conditional on its training data; networks from a reanalysis and from climate models have other
teleconnections and trends. The spread of complete reconstructions, one a network, estimates this structural uncertainty
(Thorne et al. 2005, Bull. Amer. Meteor. Soc. 86:1437).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass

import netCDF4
import numpy as np

from climrecon.array_types import FloatArray
from climrecon.grid import weighted_mean
from climrecon.output.axes import add_variable
from climrecon.output.product import Product, Structural
from climrecon.scores.series import annual_means


def stddev(product: Product, part: slice = slice(None)) -> FloatArray:
    """(T, H, W) standard deviation, in some steps, of all networks' infilled fields about their mean (by N - 1).

    Of two networks it is their difference over the root of two.
    """
    fields = [field[part] for field in (product.infilled, *_of(product).infilled.values())]
    mean = sum(np.asarray(field, np.float64) for field in fields) / len(fields)
    squares = sum((field - mean) ** 2 for field in fields)
    return np.asarray(np.sqrt(squares / (len(fields) - 1)), np.float32)


def global_means(product: Product, others: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Method -> (T,) global mean of its infilled field, the product's own network first; of ``others`` (T, H, W)."""
    area = product.observations.grid.area
    return {name: weighted_mean(one, area) for name, one in {product.network.name: product.infilled, **others}.items()}


@dataclass(frozen=True)
class Row:
    """Another method compared with the product's, in the variable's units; trends per decade.

    ``mean`` and ``rms`` are of the differences (this method less ours) of the global mean: of whole years, or of
    months where there are fewer than three years; ``largest`` is the largest, at ``when``. ``cells`` is the
    area-weighted root mean square difference of the cells that were not observed. ``trend`` is the difference of the
    least-squares trends of the annual global mean, None with fewer than ten whole years.
    """

    name: str
    learned_from: str
    mean: float
    rms: float
    largest: float
    when: str
    cells: float
    trend: float | None


def rows(product: Product, others: Mapping[str, FloatArray], learned_from: Mapping[str, str]) -> list[Row]:
    """One row for each of ``others``, method -> (T, H, W) infilled field; ``learned_from`` of those that did."""
    if not others:
        return []
    time, mask = product.observations.time, product.observations.mask
    means = global_means(product, others)
    ours = means.pop(product.network.name)
    weights = product.observations.grid.area * ~mask
    table_rows = []
    for name, theirs in means.items():
        difference: FloatArray = theirs - ours
        labels = time.labels()
        years, annual = annual_means(difference, time)
        if len(years) >= 3:
            difference, labels = annual, [str(year) for year in years]
        at = int(np.argmax(np.abs(difference)))
        squares = (np.asarray(others[name], np.float64) - product.infilled) ** 2
        table_rows.append(
            Row(
                name,
                learned_from.get(name, ""),
                float(difference.mean()),
                float(np.sqrt((difference**2).mean())),
                float(difference[at]),
                labels[at],
                float(np.sqrt(np.nansum(squares * weights) / max(weights.sum(), 1e-12))),
                float(10.0 * np.polyfit(years, difference, 1)[0]) if len(years) >= 10 else None,
            )
        )
    return table_rows


def structural_rows(product: Product) -> list[Row]:
    """One row for each other network."""
    structural = product.structural
    return rows(product, structural.infilled, structural.learned_from) if structural else []


def table(product: Product, others: Mapping[str, FloatArray], with_spread: bool) -> str:
    """The global means of the product and of ``others`` as CSV, with their standard deviation where asked for."""
    means = global_means(product, others)
    series = means | ({"structural_stddev": np.std(list(means.values()), axis=0, ddof=1)} if with_spread else {})
    columns = [[f"{value:.5f}" for value in one] for one in series.values()]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((product.observations.time.word, *series))
    writer.writerows(zip(product.observations.time.labels(), *columns, strict=True))
    return text.getvalue()


def write_differences(file: netCDF4.Dataset, product: Product, naming: Mapping[str, str]) -> None:
    """Add ``network_name`` and VARIABLE_global_mean_difference(network, time), or VARIABLE_regional_…, to an open file.

    Parameters
    ----------
    naming:
        Units of the variable's anomalies.
    """
    structural = _of(product)
    means = global_means(product, structural.infilled)
    ours = means.pop(product.network.name)
    names = [name.encode() for name in means]
    length = max(map(len, names))
    file.createDimension("network", len(names))
    file.createDimension("name_length", length)
    letters = np.array([list(name.decode("latin-1").ljust(length)) for name in names], "S1")
    described = {"long_name": "name of the network that is compared"}
    add_variable(file, "network_name", "S1", ("network", "name_length"), described, letters)
    whole = "global" if product.observations.grid.is_global else "regional"
    name = f"{product.observations.variable}_{whole}_mean_difference"
    attributes = {
        **{key: value for key, value in naming.items() if key != "standard_name"},
        "long_name": f"{whole} mean reconstructed with another network less that of {product.network.name}",
        "cell_methods": product.cell_methods,
        "coordinates": "network_name",
        "comment": "Structural uncertainty: what learning from other data would have changed. Networks: "
        + "; ".join(f"{one} ({structural.learned_from[one]}; sha256 {structural.sha256[one]})" for one in means),
    }
    add_variable(file, name, "f8", ("network", "time"), attributes, [series - ours for series in means.values()])


def _of(product: Product) -> Structural:
    if product.structural is None:
        raise AssertionError("the product was made with one network alone")
    return product.structural
