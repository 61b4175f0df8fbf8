"""Networks and other methods by name, their auxiliary variables, and the grid each works on."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.errors import InputDataError, NetworkError
from climrecon.fields import Auxiliary, Observations
from climrecon.files import input_sha256
from climrecon.frequency import MONTH
from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.methods.by_chunks import choose_device
from climrecon.methods.card import check_auxiliary, check_frequency, check_variable
from climrecon.methods.contract import Method
from climrecon.methods.optimal_interpolation import PATTERNS, optimal_interpolation
from climrecon.methods.registry import registered, taking_any
from climrecon.methods.store import LoadedNetwork, list_networks, load_network, network_of, stored_network
from climrecon.methods.transformed import transformed
from climrecon.methods.unet.reconstructor import UNetReconstructor
from climrecon.netcdf.forms import readable
from climrecon.output.product import NetworkInfo
from climrecon.preprocess import to_network_grid
from climrecon.preprocess.auxiliary import read_auxiliary
from climrecon.settings import RunSettings, Site
from climrecon.settings.run import BASELINE
from climrecon.tasks.network_store import store_places
from climrecon.variables import VARIABLES

#: Cells of a global grid that a method without a grid of its own works on: realisations and means of finer ones take too
#: long. Regional ones: ``most_cells`` of its capabilities.
MOST_CELLS = 5000
#: The baseline that takes a network's covariance.
OI = "oi"
#: How far the typical size of anomalies may be from that of the training members: beyond it the units are wrong.
_TIMES = 5.0


@dataclass(frozen=True)
class LoadedMethod:
    """A method ready to use, its description, and the network's card and weights where there are some.

    ``covariance_sha256`` is the hash of the weights of another network, whose covariance the method takes; "" for none.
    """

    reconstructor: Method
    info: NetworkInfo
    network: LoadedNetwork | None = None
    covariance_sha256: str = ""

    @property
    def native_grid(self) -> Grid | None:
        """The method's grid, all of it; None: that of the observations, unless that one is too fine."""
        grid = self.network.card.grid.grid if self.network else self.reconstructor.capabilities.native_grid
        return grid and replace(grid, exists=None)

    @property
    def identity(self) -> str:
        """For fingerprints: hash of the weights, else name and foreign package."""
        return self.info.sha256 or " of ".join(
            filter(None, (self.info.name, self.info.package, self.covariance_sha256))
        )


def load_method(name: str, settings: RunSettings, site: Site) -> LoadedMethod:
    """The method called ``name``: a baseline, a network of the store, a method of another package.

    Raises
    ------
    NetworkError
        If there is none, its package is broken, it was made for another variable, or it does not take an auxiliary
        variable that is given.
    InputDataError
        If a file of an auxiliary variable cannot be used.
    """
    places = store_places(site)
    known = registered().get(name)
    if known is not None and not (known.package and stored_network(name, places)):
        source = _covariance_for(settings, places) if name == OI else None
        method = known.build() if source is None else optimal_interpolation(source)
        check_variable(name, method.capabilities.variable, settings.variable)
        check_frequency(name, method.capabilities.frequency, settings.frequency)
        normal = method.normal if isinstance(method, UNetReconstructor) else None
        method = transformed(method, VARIABLES[settings.variable], normal)
        info = NetworkInfo(name, known.title, None, package=known.package)
        return LoadedMethod(method, info, covariance_sha256=source.sha256 if source else "")
    network = load_network(name, device=choose_device(settings.device), store=places)
    card = network.card
    check_variable(f"The network {card.name}", card.variable, settings.variable)
    check_frequency(f"The network {card.name}", card.frequency, settings.frequency)
    check_auxiliary(card, tuple(settings.auxiliary_paths) if name == settings.network else ())
    wanted = {name: path for name, path in settings.auxiliary_paths.items() if name in card.auxiliary}
    auxiliary, inputs = load_auxiliary(wanted, network, settings)
    info = NetworkInfo(network.name, card.title, network.sha256, card.model_dump(mode="json"), inputs)
    return LoadedMethod(network.method.with_auxiliary(auxiliary), info, network)


def _covariance_for(settings: RunSettings, places: Sequence[Path]) -> LoadedNetwork | None:
    """Where ``oi`` takes its covariance from: a network for the variable that the run names, else the shipped one.

    None: the default, which is of air temperature; there it is one and the same in all runs.
    """
    shipped = VARIABLES[settings.variable].network
    if shipped == PATTERNS and settings.frequency == MONTH:
        return None
    named = None if settings.network in registered() else load_network(settings.network, store=places)
    if named is None or named.card.variable != settings.variable:
        return load_network(shipped) if shipped else None
    return named


def assumed_error(method: LoadedMethod, variable: str) -> float | None:
    """The error of observed cells where none is stated: of the network's card, else of the variable; None: not known."""
    own = method.network.card.default_obs_sd if method.network else None
    return own or VARIABLES[variable].default_obs_sd


def notes_on_choice(settings: RunSettings, grid: Grid | None) -> tuple[str, ...]:
    """Why the default is a baseline; none where there is a network for the data, or another method is used.

    Whether it was named does not count: jobs and repeats of a run name what was chosen, and have the same result.

    Parameters
    ----------
    grid:
        Of the observations; None where it is not known.
    """
    variable, frequency = VARIABLES[settings.variable], settings.frequency
    if settings.network != BASELINE:
        return ()
    if not variable.network:
        why = f"no network that comes with climrecon is made for {variable.label}"
    elif frequency != MONTH:
        why = f"no network that comes with climrecon is made for {frequency.adjective} means"
    elif grid is not None and not fits(own := _grid_of(variable.network), grid):
        why = f"{variable.network} works on {own.describe()}, the observations are on {grid.describe()}"
    else:
        return ()
    return (f"{why}; network={BASELINE} is taken, which needs none",)


def with_fitting_network(settings: RunSettings, grid: Grid | None) -> RunSettings:
    """The settings, with the baseline in place of the variable's network if this was not named and has another grid.

    Parameters
    ----------
    grid:
        Of the observations; None where it is not known.
    """
    network = VARIABLES[settings.variable].network
    if "network" in settings.given or network != settings.network or grid is None or fits(_grid_of(network), grid):
        return settings
    return settings.model_copy(update={"network": BASELINE})


def _grid_of(network: str) -> Grid:
    """The grid of a network that comes with the package."""
    return next(card.grid.grid for card, _ in list_networks() if card.name == network)


def fits(native: Grid, own: Grid) -> bool:
    """Whether a method of the ``native`` grid takes observations on their ``own``: the same, or both of the globe."""
    return (native.is_global and own.is_global) or native.same_as(own)


def method_grid(own: Grid, method: LoadedMethod) -> Grid | None:
    """The grid that a method works on for observations on their ``own`` grid; None: the same.

    Raises
    ------
    NetworkError
        If the method has a grid that is not theirs.
    """
    native = method.native_grid
    if native is not None:
        if not fits(native, own):
            raise NetworkError(
                f"{method.info.name} works on {native.describe()}; the observations are on {own.describe()}.",
                f"Use network={' or '.join(taking_any())}, which work on the grid of the observations, or a network that "
                "was trained on it.",
            )
        return native
    if own.is_global:
        return FIVE_DEGREES if own.area.size > MOST_CELLS else None
    factor = ceil(sqrt(own.area.size / method.reconstructor.capabilities.most_cells))
    return own.coarsened(factor) if factor > 1 else None


def on_method_grid(observations: Observations, method: LoadedMethod, scratch: Path) -> Observations:
    """Observations on the method's grid, all of it: methods estimate complete fields, wherever the variable exists.

    Raises
    ------
    NetworkError
        As :func:`method_grid`.
    """
    if observations.grid.exists is not None:
        observations = replace(observations, grid=replace(observations.grid, exists=None))
    grid = method_grid(observations.grid, method)
    return observations if grid is None else to_network_grid(observations, grid, scratch)


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
                found[name] = read_auxiliary(path, name, grid, period, Path(scratch), settings.frequency)
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
