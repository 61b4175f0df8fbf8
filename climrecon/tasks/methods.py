"""Networks and baselines by name, and the grid each works on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from climrecon.fields import Observations, Reconstructor
from climrecon.grid import FIVE_DEGREES
from climrecon.methods.by_chunks import choose_device
from climrecon.methods.card import check_auxiliary, check_variable
from climrecon.methods.registry import NAMES
from climrecon.methods.registry import build as build_baseline
from climrecon.methods.store import LoadedNetwork, load_network
from climrecon.output.product import NetworkInfo
from climrecon.preprocess import to_network_grid
from climrecon.settings import RunSettings, Site
from climrecon.tasks.auxiliary import read_channels
from climrecon.tasks.network_store import store_places

#: Error of an observed cell where neither data set nor network states one, K.
ASSUMED_OBS_SD = 0.3
#: Cells a baseline takes: kriging needs matrices of cells by cells, 2 GB each on a grid of two degrees.
MOST_CELLS = 5000


@dataclass(frozen=True)
class Method:
    """A network or baseline, and what is known of it."""

    reconstructor: Reconstructor
    info: NetworkInfo
    loaded: LoadedNetwork | None

    @property
    def obs_sd(self) -> float:
        """Error assumed where a data set states none, K."""
        stated = self.loaded.card.default_obs_sd if self.loaded else None
        return stated or ASSUMED_OBS_SD


def load_method(name: str, settings: RunSettings, site: Site) -> Method:
    """The network or baseline called ``name``.

    Raises
    ------
    NetworkError
        If there is none, or it was made for another variable, or takes none of a further variable that is given.
    InputDataError
        If a file of a further variable cannot be used.
    """
    baseline = build_baseline(name)
    if baseline is not None:
        return Method(baseline, NetworkInfo(name, NAMES[name], None), None)
    loaded = load_network(name, device=choose_device(settings.device), store=store_places(site))
    check_variable(loaded.card, settings.variable)
    check_auxiliary(loaded.card, tuple(settings.auxiliary_paths) if name == settings.network else ())
    wanted = {name: path for name, path in settings.auxiliary_paths.items() if name in loaded.card.auxiliary}
    auxiliary, inputs = read_channels(wanted, loaded, settings)
    card = loaded.card.model_dump(mode="json")
    info = NetworkInfo(loaded.name, loaded.card.title, loaded.sha256, card, inputs)
    loaded.with_auxiliary(auxiliary)
    return Method(loaded, info, loaded)


def on_method_grid(observations: Observations, method: Method, scratch: Path) -> Observations:
    """Observations on the grid the method works on; a baseline takes their own unless it is too fine."""
    if method.loaded is not None:
        return to_network_grid(observations, method.loaded.card.grid.grid, scratch)
    own = getattr(method.reconstructor, "grid", None)  # that of the patterns a baseline comes with
    if own is not None:
        return to_network_grid(observations, own, scratch)
    return (
        to_network_grid(observations, FIVE_DEGREES, scratch)
        if observations.grid.area.size > MOST_CELLS
        else observations
    )


def adapt(method: Method, observations: Observations) -> str:
    """Let a method that fits itself to a data set see all its months; what it found, in words, or ""."""
    fit = getattr(method.reconstructor, "calibrate", None)
    return "" if fit is None else str(fit(observations) or "")
