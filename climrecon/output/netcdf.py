"""The result as CF netCDF.

Written with netCDF4, not xarray: realisations come one by one and are appended, all of them at once are gigabytes, and
``Dataset.to_netcdf`` appends no part of a variable. It is no faster either, and a run needs xarray for nothing else.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from climrecon.errors import OutputError
from climrecon.files import NETCDF_HEADER, atomic_path
from climrecon.memory import CHUNK
from climrecon.output.axes import FILL, add_variable, write_axes
from climrecon.output.product import STATUS_MEANINGS, Product
from climrecon.output.rounding import (
    FEW_FIELDS_BITS,
    SPREAD_BITS,
    bits_attributes,
    step_attributes,
    step_of,
    to_bits,
    to_step,
)
from climrecon.output.structural import stddev as structural_stddev
from climrecon.output.structural import write_differences
from climrecon.preprocess.regrid import file_order
from climrecon.variables import VARIABLES

#: (T, H, W) values of a block of steps.
Values = Callable[[slice], NDArray[Any]]
#: Inputs that an attribute lists: the library takes 64 kB.
MOST_INPUTS = 300
# Every reader of netCDF-4 knows deflate; zstd needs a plugin and makes larger files of rounded fields. Level 5 makes
# files 5 % smaller than level 3, which are read no slower; levels above take two to three times as long for 2 % more.
COMPRESSION = {"zlib": True, "complevel": 5, "shuffle": True}


def write_netcdf(
    product: Product, path: Path, attributes: Mapping[str, str], variables: tuple[str, ...] | None = None
) -> dict[str, Callable[[], Iterator[NDArray[Any]]]]:
    """Write a product; returns, by variable, functions that give the values of its fields, block by block, as the file
    holds them.

    Latitude, longitude and their order are those of the input file, and the unpacked dtype of the reconstruction, which
    holds observed cells; all else is in single precision. A time axis that is not CF is rewritten.

    Parameters
    ----------
    attributes:
        See :func:`global_attributes`.
    variables:
        Data variables to write, all by default; each names as ancillary only variables of the same file.

    Raises
    ------
    OutputError
        If the folder cannot be written, the disk is full or a quota is reached; nothing is left then.
    """
    data = fields_of(product)
    members = f"{product.observations.variable}_realisation"
    wanted = variables or (*data, *([members] if product.realisations else []))
    written: dict[str, Callable[[], Iterator[NDArray[Any]]]] = {}
    with new_file(path, attributes) as file:
        write_axes(file, product)
        for name in wanted:
            if name == members:
                _realisations(file, product, name)
                continue
            values, described = data[name]
            written[name] = _write_field(file, product, name, values, with_ancillary(described, wanted))
        if product.structural is not None and variables is None:
            write_differences(file, product, _naming(product)[0])
    return written


@contextmanager
def new_file(path: Path, attributes: Mapping[str, str]) -> Iterator[netCDF4.Dataset]:
    """A result's file with its global attributes, in place when it is whole.

    Raises
    ------
    OutputError
        If the folder cannot be written, the disk is full or a quota is reached; nothing is left then.
    """
    try:
        with (
            atomic_path(path, NETCDF_HEADER) as temporary,
            netCDF4.Dataset(temporary, "w", format="NETCDF4_CLASSIC") as file,
        ):
            file.setncatts({key: value for key, value in attributes.items() if value})
            yield file
    except OSError as error:
        raise OutputError(
            f"{path} could not be written: {error.strerror or error}.",
            "Choose another outputdir, one you may write to and that has space.",
        ) from error
    except RuntimeError as error:
        if not str(error).startswith("NetCDF"):
            raise
        # The library's error is "HDF error" whatever happened; mostly the disk or a quota is full.
        free = shutil.disk_usage(path.parent).free / 1e6
        raise OutputError(
            f"{path.name} could not be written ({error}); {free:.0f} MB are free in {path.parent}.",
            "Free some space, or choose another outputdir.",
        ) from error


def with_ancillary(described: Mapping[str, Any], wanted: Collection[str]) -> dict[str, Any]:
    """Attributes of a field of :func:`fields_of`, with those of its ancillary variables that are ``wanted``."""
    ancillary = [other for other in described.get("ancillary_variables", ()) if other in wanted]
    rest = {key: text for key, text in described.items() if key != "ancillary_variables"}
    return {**rest, "ancillary_variables": " ".join(ancillary)} if ancillary else rest


def fields_of(product: Product) -> dict[str, tuple[Values, dict[str, Any]]]:
    """Data variables by name: functions of a block of steps that give the rounded values in the package's order, and
    attributes.
    """
    variable = product.observations.variable
    known = VARIABLES[variable]
    step, kept_cells = step_of(known), product.observations.mask if product.keep_observed else None
    naming, what = _naming(product)
    common = {**naming, "cell_methods": product.cell_methods}
    if known.kind != "absolute":
        common["reference_period"] = f"{product.reference_period[0]}-{product.reference_period[1]}"
    parts = {"stddev": product.stddev, "stddev_observational": product.observational, "status": product.status}
    ancillary = [f"{variable}_{part}" for part, values in parts.items() if values is not None]
    if product.structural is not None:
        ancillary.append(f"{variable}_structural_stddev")
    kept = "observed cells kept, the rest reconstructed" if product.keep_observed else "reconstructed everywhere"
    data: dict[str, tuple[Values, dict[str, Any]]] = {
        variable: (
            lambda part: to_step(product.infilled[part], step, None if kept_cells is None else kept_cells[part]),
            {
                **common,
                "long_name": f"{what}; {kept}",
                "ancillary_variables": ancillary,
                **step_attributes(known, exact=product.keep_observed),
            },
        ),
        f"{variable}_analysis": (
            lambda part: to_step(product.analysis[part], step),
            {**common, "long_name": f"{what}; the network's estimate everywhere", **step_attributes(known)},
        ),
    }

    def add_spread(name: str, values: Values, what: str, comment: str, bits: int) -> None:
        spread = {key: f"{text} standard_error" if key == "standard_name" else text for key, text in naming.items()}
        described = {**spread, "long_name": f"standard deviation of {variable}{what}", "comment": comment}
        data[f"{variable}_{name}"] = (lambda part: to_bits(values(part), bits), {**described, **bits_attributes(bits)})

    if product.stddev is not None:
        comment = "One sigma of the true cell mean about the reconstruction"
        if product.observational is None:
            comment += "."
        else:
            comment += (
                f": the root of the sum of the variances of {variable}_stddev_observational and of what gaps and the "
                "uncorrelated errors of the observations leave."
            )
        if product.keep_observed:
            comment += (
                " At kept cells the observation's own error: as the data set states it, else as assumed"
                + (".", ", with that of systematic errors.")[product.observational is not None]
            )
        comment += f" {product.errors.describe()}"
        what = ": observations and reconstruction" if product.observational is not None else ""
        add_spread("stddev", product.stddev.__getitem__, what, comment, SPREAD_BITS)
    if product.observational is not None:
        what = " over members of the observations, each reconstructed"
        comment = _observational(product)
        add_spread("stddev_observational", product.observational.__getitem__, what, comment, FEW_FIELDS_BITS)
    if product.structural is not None:
        names = ", ".join((product.network.name, *product.structural.infilled))
        comment = f"Structural uncertainty: one sigma over {names}. It is not part of {variable}_stddev."
        what = " over reconstructions with different networks"
        add_spread("structural_stddev", partial(structural_stddev, product), what, comment, FEW_FIELDS_BITS)
    meanings = STATUS_MEANINGS[: -1 if product.where == "everywhere" else None]
    without = f" outside_domain: {product.outside_in_words}."
    data[f"{variable}_status"] = (
        lambda part: product.status[part],
        {
            "standard_name": "status_flag",
            "long_name": f"status of {variable}",
            "flag_values": np.arange(1, len(meanings) + 1, dtype=np.int8),
            "flag_meanings": " ".join(meanings),
            "comment": "no_skill: the observations left more than 75 % of the variance about the "
            f"{product.observations.time.word}'s mean. "
            "outside_training_range: more than two standard deviations beyond what the network's training months of "
            "this calendar month reached in the cell; only where the network states that range."
            + (without if product.where != "everywhere" else ""),
        },
    )
    return data


def _observational(product: Product) -> str:
    """Comment on the spread over members."""
    errors = product.errors
    what = [*(["systematic"] if errors.members else []), *(["partly correlated"] if errors.covariances else [])]
    members = errors.members or errors.drawn
    within = "It is part of" if product.stddev is not None else "The method states no spread of its own; there is no"
    return (
        f"One sigma over {members} members, of the {' and '.join(what)} errors of the "
        f"observations; so few tell it to within about {100 / np.sqrt(2 * (members - 1)):.0f} %."
        + (" At kept cells that of the members' own values." if product.keep_observed else "")
        + f" {within} {product.observations.variable}_stddev."
    )


def _naming(product: Product) -> tuple[dict[str, str], str]:
    """Standard name and units of the anomalies, and what they are in words."""
    variable = VARIABLES[product.observations.variable]
    naming = {
        "units": variable.units,
        "units_metadata": variable.units_metadata,
        "standard_name": variable.held_standard_name,
    }
    what = variable.held_in_words
    if product.observations.source.blended:
        what = f"{variable.quantity} anomaly, {' blended with '.join(variable.blend)}"
    return {key: text for key, text in naming.items() if text}, what


def _write_field(
    file: netCDF4.Dataset, product: Product, name: str, values: Values, described: Mapping[str, Any]
) -> Callable[[], Iterator[NDArray[Any]]]:
    source = product.observations.source
    whole = "flag_values" in described
    kind = "i1" if whole else np.dtype(source.dtype).str[1:] if name == product.observations.variable else "f4"

    def final(part: slice) -> NDArray[Any]:
        ordered = file_order(values(part), source)
        return np.ascontiguousarray(ordered if whole else _filled(ordered, FILL), dtype=kind)

    chunks = (min(len(product.observations.time), CHUNK), len(source.lat), len(source.lon))
    fill = np.int8(-127) if whole else np.dtype(kind).type(FILL)
    variable = file.createVariable(
        name, kind, ("time", "lat", "lon"), fill_value=fill, chunksizes=chunks, **COMPRESSION
    )
    variable.setncatts(dict(described))
    variable.set_auto_maskandscale(False)
    for part in product.blocks():
        variable[part] = final(part)
    return lambda: map(final, product.blocks())


def _filled(values: NDArray[Any], fill: np.float32) -> NDArray[Any]:
    finite = np.isfinite(values)
    return values if finite.all() else np.where(finite, values, fill)


def _realisations(file: netCDF4.Dataset, product: Product, name: str) -> None:
    """Written member by member: all of them at once would not fit into memory."""
    assert product.realisations is not None
    source, count = product.observations.source, product.n_realisations
    file.createDimension("realization", count)
    described = {"standard_name": "realization", "long_name": "number of the realisation", "units": "1"}
    add_variable(file, "realization", "i4", ("realization",), described, np.arange(1, count + 1))
    shape = (1, min(len(product.observations.time), 120), len(source.lat), len(source.lon))
    variable = file.createVariable(
        name, "f4", ("realization", "time", "lat", "lon"), fill_value=FILL, chunksizes=shape, **COMPRESSION
    )
    known = VARIABLES[product.observations.variable]
    rounding = step_attributes(known)
    comment = f"{_what_draws_hold(product)} {_months_of_draws(product)} {rounding.pop('comment', '')}".rstrip()
    variable.setncatts(
        {
            **_naming(product)[0],
            "long_name": "equally likely complete fields given the observations",
            "cell_methods": product.cell_methods,
            "comment": comment,
            **rounding,
        }
    )
    for member, field in enumerate(product.realisations()):
        variable[member] = _filled(file_order(to_step(field, step_of(known)), source), FILL)


def _what_draws_hold(product: Product) -> str:
    """Which errors a realisation has, and what stands at kept cells."""
    errors = product.errors
    count = errors.members or errors.drawn
    text = "Each is a draw of the reconstruction"
    if count:
        text += f" of a member of the observations; realisation k and k + {count} are of the same, in the inputs' order"
    if not product.keep_observed:
        return f"{text}. Observed cells vary too, within their errors."
    of = "that member" if count else "the observations"
    return f"{text}. Kept cells have the value of {of} and a draw of its uncorrelated error."


#: In the comment of realisations whose errors have no stated persistence.
NO_MEANS_OVER_TIME = "do not take their means over time"


def _months_of_draws(product: Product) -> str:
    """How a realisation's errors go on from step to step, which matters for means over time."""
    words = product.observations.time.plural
    persistence = product.network.card.get("architecture", {}).get("persistence")
    if persistence:
        return (
            f"Errors of successive months of a realisation are correlated ({persistence:g} from month to month), but for "
            "what is smaller than some thousand kilometres."
        )
    return f"Whether errors of successive {words} are correlated is not stated: {NO_MEANS_OVER_TIME}."


def _sentence(note: str) -> str:
    return note[:1].upper() + note[1:] + ("" if note.endswith(".") else ".")


def _listed(inputs: list[dict[str, str]]) -> str:
    """The inputs as JSON; of many, which no attribute takes, the first, their number and one hash of all hashes."""
    if len(inputs) <= MOST_INPUTS:
        return json.dumps(inputs)
    every = hashlib.sha256("".join(one["sha256"] for one in inputs).encode()).hexdigest()
    rest = {"file": f"and {len(inputs) - 10} more, see provenance.json", "sha256_of_all_hashes": every}
    return json.dumps([*inputs[:10], rest])


def global_attributes(
    product: Product, settings: Mapping[str, Any], versions: Mapping[str, str], when: str, run_id: str, command: str
) -> dict[str, str]:
    """Global attributes: source, inputs with hashes, settings, versions."""
    source, network = product.observations.source, product.network
    digest = f" (sha256 {network.sha256})" if network.sha256 else ""
    inputs = [{"file": Path(f).name, "sha256": h} for f, h in zip(source.files, source.sha256, strict=True)]
    blend = " is blended with ".join(VARIABLES[product.observations.variable].blend) if source.blended else ""
    return {
        "Conventions": "CF-1.8",
        "title": f"{source.label} reconstructed by climrecon with {network.name}",
        "institution": source.institution or "unknown",
        "source": f"{source.label}: {source.title or Path(source.files[0]).name}; gaps filled by climrecon "
        f"{versions.get('climrecon', '')} with {network.name}: {network.title}{digest}",
        "references": source.references,
        "comment": " ".join(map(_sentence, [*([f"{blend}, as in the source"] if blend else []), *product.notes])),
        "history": "\n".join(filter(None, [f"{when} {command}", source.history])),
        "date_created": when,
        "tracking_id": str(uuid.uuid4()),
        "product": "reconstruction",
        "frequency": product.observations.time.frequency.name,
        "variable_id": product.observations.variable,
        "climrecon_network": network.name,
        "climrecon_network_sha256": network.sha256 or "",
        "climrecon_dataset": source.label,
        **({"climrecon_infilled_input": source.infilled} if source.infilled else {}),
        "climrecon_observation_errors": product.errors.describe(),
        "climrecon_inputs": _listed(inputs),
        "climrecon_settings": json.dumps(dict(settings), sort_keys=True),
        "climrecon_versions": json.dumps(dict(versions), sort_keys=True),
        "climrecon_run": run_id,
    }
