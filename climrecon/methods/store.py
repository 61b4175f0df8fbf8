"""The store of networks: cards, shipped and trained networks, published checkpoints.

A network is a folder with ``network.safetensors`` and ``card.json``. What it can be applied to is
decided from the card alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from climrecon.errors import NetworkError
from climrecon.files import ABSENT, FOLDER, parse_json, read_text, sha256_of, stamp_of, why_unreadable, write_text
from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.methods.card import Card, Network, describe_published, error_of_observations
from climrecon.methods.checkpoint import read_published, read_weights, save_weights
from climrecon.methods.contract import Method
from climrecon.methods.kadow2020.network import VARIANTS, PublishedUNet, from_state, weights_of
from climrecon.methods.kadow2020.reconstructor import PublishedReconstructor
from climrecon.methods.priors.covariance import great_circle
from climrecon.methods.registry import registered
from climrecon.methods.training_range import TrainingRange, read_range, write_range
from climrecon.methods.transformed import Transformed, transformed
from climrecon.methods.unet.build import build_unet, matching
from climrecon.methods.unet.network import UNet
from climrecon.methods.unet.reconstructor import UNetReconstructor
from climrecon.variables import VARIABLES

WEIGHTS, CARD = "network.safetensors", "card.json"
#: Kind of the networks that the recipe native of version 0.1 trained.
FORMER_KIND = "partial_unet"


@dataclass(frozen=True)
class LoadedNetwork:
    """A network ready to be applied, with its card, the hash of its weights and the folder or file they are in."""

    method: Method
    card: Card
    sha256: str
    path: Path
    training_range: TrainingRange | None = None

    @property
    def name(self) -> str:
        """The name on its card."""
        return self.card.name


def as_network(module: object) -> Network:
    """``module``, if it is of a kind that can be stored.

    Raises
    ------
    NetworkError
        If it is not.
    """
    if isinstance(module, UNet | PublishedUNet):
        return module
    raise NetworkError(
        f"{type(module).__name__} is no kind of network that can be stored.",
        "Store a network of climrecon's own kinds.",
    )


def as_reconstructor(
    network: Network,
    grid: Grid,
    rows: int,
    *,
    name: str = "",
    variable: str = "tas",
    obs_sd: float,
    persistence: float = 0.0,
    device: str | None = None,
) -> Method:
    """``network`` as a method; it is put into evaluation mode.

    Parameters
    ----------
    rows:
        Inside a published network.
    variable:
        The network's: values are transformed for the network as its description has it.
    obs_sd:
        Error of observations where a data set states none, in the variable's units.
    persistence:
        Correlation of the errors of successive months, for realisations.
    device:
        Where it runs; None: where its weights are.
    """
    device = device or str(next(network.parameters()).device)
    if isinstance(network, UNet):
        given = VARIABLES[variable].in_methods(obs_sd)
        method = UNetReconstructor(name, network, given, persistence, great_circle(grid), device)
        return transformed(method, VARIABLES[variable], method.normal)
    return PublishedReconstructor(name, network, device, rows=rows)


def network_of(loaded: LoadedNetwork) -> Network:
    """The torch module of a loaded network, to go on training from."""
    method = loaded.method.method if isinstance(loaded.method, Transformed) else loaded.method
    if isinstance(method, UNetReconstructor | PublishedReconstructor):
        return as_network(method.network)
    raise NetworkError(
        f"{loaded.name} has no weights to go on training from.",
        "Start from a network; 'climrecon networks' lists them.",
    )


def save_network(network: Network, card: Card, folder: Path, reached: TrainingRange | None = None) -> Path:
    """Write weights, the range of the training months and card; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(network.state_dict(), folder / WEIGHTS)
    hashes = {"weights_sha256": sha256_of(folder / WEIGHTS)}
    if reached is not None:
        hashes["range_sha256"] = write_range(reached, folder)
    card = card.model_copy(update=hashes)
    write_text(folder / CARD, card.model_dump_json(indent=1) + "\n")
    return folder


def shipped() -> Path:
    """The folder of the networks that come with the package."""
    return Path(str(files("climrecon"))) / "weights"


def list_networks(store: Sequence[Path] = ()) -> list[tuple[Card, Path]]:
    """Cards and folders of all networks, shipped ones first, of those the defaults; unreadable ones are left out."""
    networks, defaults = [], {one.network for one in VARIABLES.values()}
    for place in (shipped(), *store):
        try:
            cards = sorted(place.glob(f"[!.]*/{CARD}"), key=lambda file: (file.parent.name not in defaults, file))
        except OSError:  # below a folder that may not be entered
            continue
        for card_file in cards:
            try:
                networks.append((_read_card(card_file), card_file.parent))
            except NetworkError:
                continue
    return networks


def _read_card(path: Path) -> Card:
    try:
        content = parse_json(read_text(path))
        if isinstance(content, dict) and content.get("kind") == FORMER_KIND:
            raise NetworkError(
                f"The network of {path} was trained by an earlier version, with the recipe native; this version of "
                "climrecon has no networks of this kind.",
                "Train again with recipe=punet,neighbour_months=0, or recipe=punet.",
            )
        return Card.model_validate(content)
    except (OSError, ValueError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise NetworkError(
            f"The card {path} cannot be read: {reason}",
            "A network needs a card.json written by climrecon beside its weights.",
        ) from error


def stored_network(name: str, store: Sequence[Path] = ()) -> Path | None:
    """Folder of a shipped or trained network of that name, or None."""
    # A name, never a path: "../x" must not climb out of the store.
    places = (place / name for place in (shipped(), *store) if "/" not in name)
    return next((place for place in places if why_unreadable(place / CARD) is None), None)


def find_network(name: str, store: Sequence[Path] = ()) -> Path:
    """Folder or file of a network given by name or path.

    Raises
    ------
    NetworkError
        If there is none; the nearest name is offered.
    """
    if stored := stored_network(name, store):
        return stored
    path = Path(name).expanduser()
    why = why_unreadable(path)
    if why in (None, FOLDER):
        return path
    if why != ABSENT:
        raise NetworkError(f"The network {path} cannot be used: {why}.", "Ask its owner, or name another network.")
    networks = [card.name for card, _ in list_networks(store)]
    names = [*networks, *registered()]
    near = difflib.get_close_matches(name, names, 1)
    raise NetworkError(
        f"There is no network or baseline called {name!r}, and no file of that name."
        + (f" Did you mean {near[0]}?" if near else ""),
        f"Networks: {', '.join(networks) or 'none'}; baselines and other methods: {', '.join(registered())}; see "
        "'climrecon networks'.",
    )


def load_network(name: str, *, device: str = "cpu", store: Sequence[Path] = ()) -> LoadedNetwork:
    """Load a network by name, folder, ``.safetensors`` or published ``.pth`` file.

    Raises
    ------
    NetworkError
        If it is unknown or corrupt, or its weights are not those of its card.
    """
    path = find_network(name, store)
    if path.is_file() and path.suffix != ".safetensors":
        return _load_published(path, device)
    folder = path if path.is_dir() else path.parent
    weights = path if path.is_file() else path / WEIGHTS
    card = _read_card(folder / CARD)
    if why := why_unreadable(weights):
        raise NetworkError(f"The network {card.name} has no {WEIGHTS} in {folder}: {why}.", "Fetch it again.")
    stamp = stamp_of(weights)
    digest = sha256_of(weights)
    if digest != card.weights_sha256:
        raise NetworkError(
            f"The weights of {card.name} ({weights}) are not those of its card: sha256 {digest[:12]}… was found, "
            f"{card.weights_sha256[:12]}… is expected.",
            "The file is damaged or was exchanged; fetch the network again.",
        )
    method = _method(card, weights, device)
    if stamp_of(weights) != stamp:
        raise NetworkError(f"The weights of {card.name} ({weights}) were changed while they were read.", "Try again.")
    return LoadedNetwork(method, card, digest, folder, read_range(card, folder))


def _method(card: Card, path: Path, device: str) -> Method:
    weights, arguments = read_weights(path), card.architecture
    network: Network
    if card.kind == "published":
        with matching(card.name):
            network = PublishedUNet(VARIANTS[int(arguments["input_channels"])], arguments["widths"])
            network.load_state_dict(weights)
    else:
        network = build_unet(card.name, weights, arguments)
    with matching(card.name):
        return as_reconstructor(
            network,
            card.grid.grid,
            int(arguments["rows"]),
            name=card.name,
            variable=card.variable,
            obs_sd=error_of_observations(card),
            persistence=float(arguments.get("persistence", 0.0)),
            device=device,
        )


def _load_published(path: Path, device: str) -> LoadedNetwork:
    network = from_state(weights_of(read_published(path)))
    sha256 = sha256_of(path)
    title = "Published partial-convolution U-Net (Kadow et al. 2020)"
    card = describe_published(path.stem, network, FIVE_DEGREES, 72, title)
    card = card.model_copy(update={"weights_sha256": sha256})
    return LoadedNetwork(PublishedReconstructor(path.stem, network, device), card, sha256, path)
