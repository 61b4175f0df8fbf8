"""Networks and other methods by name, and the grid each works on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from climrecon.fields import Observations
from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.methods.by_chunks import choose_device
from climrecon.methods.card import check_auxiliary, check_variable
from climrecon.methods.contract import Method as Reconstructor
from climrecon.methods.registry import registered
from climrecon.methods.store import DEFAULT_OBS_SD, LoadedNetwork, load_network, stored_network
from climrecon.output.product import NetworkInfo
from climrecon.preprocess import to_network_grid
from climrecon.settings import RunSettings, Site
from climrecon.tasks.auxiliary import load_auxiliary
from climrecon.tasks.network_store import store_places

#: Cells of a method without a grid of its own: kriging needs matrices of cells by cells, 2 GB each for two degrees.
MOST_CELLS = 5000


@dataclass(frozen=True)
class Method:
    """A network or other method, its description, and the network's card and weights where there are some."""

    reconstructor: Reconstructor
    info: NetworkInfo
    loaded: LoadedNetwork | None = None

    @property
    def obs_sd(self) -> float:
        """Error assumed where a data set states none, K."""
        stated = self.loaded.card.default_obs_sd if self.loaded else None
        return stated or DEFAULT_OBS_SD

    @property
    def native_grid(self) -> Grid | None:
        """The grid it works on; None: that of the observations, unless it is too fine."""
        return self.loaded.card.grid.grid if self.loaded else self.reconstructor.capabilities.native_grid

    @property
    def identity(self) -> str:
        """What makes two methods the same in fingerprints: the weights' hash, else name and foreign package."""
        return self.info.sha256 or " of ".join(filter(None, (self.info.name, self.info.package)))


def load_method(name: str, settings: RunSettings, site: Site) -> Method:
    """The network or other method called ``name``: a baseline, a network of the store, a method of another package.

    Raises
    ------
    NetworkError
        If there is none, its package is broken, it was made for another variable, or it does not take an auxiliary
        variable that is given.
    InputDataError
        If a file of an auxiliary variable cannot be used.
    """
    places = store_places(site)
    method = registered().get(name)
    if method is not None and not (method.package and stored_network(name, places)):
        info = NetworkInfo(name, method.title, None, package=method.package)
        return Method(method.build(), info)
    loaded = load_network(name, device=choose_device(settings.device), store=places)
    check_variable(loaded.card, settings.variable)
    check_auxiliary(loaded.card, tuple(settings.auxiliary_paths) if name == settings.network else ())
    wanted = {name: path for name, path in settings.auxiliary_paths.items() if name in loaded.card.auxiliary}
    auxiliary, inputs = load_auxiliary(wanted, loaded, settings)
    card = loaded.card.model_dump(mode="json")
    info = NetworkInfo(loaded.name, loaded.card.title, loaded.sha256, card, inputs)
    return Method(loaded.method.with_auxiliary(auxiliary), info, loaded)


def on_method_grid(observations: Observations, method: Method, scratch: Path) -> Observations:
    """Observations on the grid the method works on."""
    grid = method.native_grid
    if grid is None and observations.grid.area.size > MOST_CELLS:
        grid = FIVE_DEGREES
    return observations if grid is None else to_network_grid(observations, grid, scratch)
