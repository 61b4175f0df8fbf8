"""Networks and other methods by name, and the grid each works on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from climrecon.fields import Observations
from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.methods.by_chunks import choose_device
from climrecon.methods.card import check_auxiliary, check_variable
from climrecon.methods.contract import Method
from climrecon.methods.registry import registered
from climrecon.methods.store import LoadedNetwork, load_network, stored_network
from climrecon.output.product import NetworkInfo
from climrecon.preprocess import to_network_grid
from climrecon.settings import RunSettings, Site
from climrecon.tasks.auxiliary import load_auxiliary
from climrecon.tasks.network_store import store_places

#: Cells of a method without a grid of its own: kriging needs matrices of cells by cells, 2 GB each for two degrees.
MOST_CELLS = 5000


@dataclass(frozen=True)
class LoadedMethod:
    """A method ready to use, its description, and the network's card and weights where there are some."""

    reconstructor: Method
    info: NetworkInfo
    network: LoadedNetwork | None = None

    @property
    def native_grid(self) -> Grid | None:
        """The method's grid; None: that of the observations, unless that one is too fine."""
        return self.network.card.grid.grid if self.network else self.reconstructor.capabilities.native_grid

    @property
    def identity(self) -> str:
        """For fingerprints: hash of the weights, else name and foreign package."""
        return self.info.sha256 or " of ".join(filter(None, (self.info.name, self.info.package)))


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
        return LoadedMethod(known.build(), NetworkInfo(name, known.title, None, package=known.package))
    network = load_network(name, device=choose_device(settings.device), store=places)
    card = network.card
    check_variable(card, settings.variable)
    check_auxiliary(card, tuple(settings.auxiliary_paths) if name == settings.network else ())
    wanted = {name: path for name, path in settings.auxiliary_paths.items() if name in card.auxiliary}
    auxiliary, inputs = load_auxiliary(wanted, network, settings)
    info = NetworkInfo(network.name, card.title, network.sha256, card.model_dump(mode="json"), inputs)
    return LoadedMethod(network.method.with_auxiliary(auxiliary), info, network)


def on_method_grid(observations: Observations, method: LoadedMethod, scratch: Path) -> Observations:
    """Observations on the method's grid, all of it: methods estimate complete fields, wherever the variable exists."""
    if observations.grid.exists is not None:
        observations = replace(observations, grid=replace(observations.grid, exists=None))
    grid = method.native_grid
    if grid is None and observations.grid.area.size > MOST_CELLS:
        grid = FIVE_DEGREES
    return observations if grid is None else to_network_grid(observations, grid, scratch)
