"""Files of auxiliary variables for a network that takes some."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.errors import InputDataError
from climrecon.fields import Auxiliary
from climrecon.files import input_sha256
from climrecon.methods.store import LoadedNetwork, network_of
from climrecon.netcdf.forms import readable
from climrecon.preprocess.auxiliary import read_auxiliary
from climrecon.settings import RunSettings

#: How far the typical size of anomalies may be from that of the training members: beyond it the units are wrong.
_TIMES = 5.0


def load_auxiliary(
    files: Mapping[str, Path], network: LoadedNetwork, settings: RunSettings
) -> tuple[Auxiliary | None, tuple[tuple[str, str], ...]]:
    """The network's auxiliary variables in ``files``, on its grid; and the files with their hashes.

    Raises
    ------
    InputDataError
        If a file is absent or cannot be used, or its anomalies have another size than in the training.
    """
    if not files:
        return None, ()
    files = {name: readable(path, f"auxiliary_files, which names it for {name}")[0] for name, path in files.items()}
    grid = network.card.grid.grid
    period = network.card.reference_period or settings.reference_period.years
    found = {}
    for name, path in files.items():
        try:
            with tempfile.TemporaryDirectory(prefix="climrecon-") as scratch:
                found[name] = read_auxiliary(path, name, grid, period, Path(scratch))
        except InputDataError as error:
            place = "" if path.name in error.message else f"{path.name}: "
            raise InputDataError(f"auxiliary_files, {name}: {place}{error.message}", error.hint) from error
        _check_size(name, path, found[name][0], network)
    index = np.unique(np.concatenate([months for _, months in found.values()]))
    values = np.full((len(index), len(found), *grid.shape), np.nan, np.float32)
    for number, (fields, months) in enumerate(found.values()):
        values[np.searchsorted(index, months), number] = fields
    inputs = tuple((str(path), input_sha256(path)) for path in files.values())
    return Auxiliary(tuple(found), index, values), inputs


def _check_size(name: str, path: Path, values: NDArray[Any], network: LoadedNetwork) -> None:
    module: Any = network_of(network)
    usual = module.auxiliary_sd[module.auxiliary.index(name)].cpu().numpy().reshape(values.shape[1:])
    ratio = float(np.sqrt(np.nanmean((values / usual) ** 2)))
    if not 1.0 / _TIMES < ratio < _TIMES:
        raise InputDataError(
            f"auxiliary_files, {name}: the anomalies of {path.name} are {ratio:.2g} times those of the members that "
            f"{network.name} learned from.",
            "Are the units attribute and the values right?",
        )
