"""Where trained networks are looked for, and where a new one is put."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from platformdirs import user_cache_path, user_data_path

from climrecon.errors import NetworkError, OutputError, UsageError
from climrecon.interruption import commit_point, signals_wait
from climrecon.methods.registry import registered
from climrecon.methods.store import CARD, WEIGHTS, list_networks, load_network, shipped
from climrecon.methods.training_range import RANGE
from climrecon.settings import Site
from climrecon.working_folders import working_folder

#: The variable by which ``climrecon/freva.py`` names the cache folder of the host.
CACHE_VARIABLE = "CLIMRECON_CACHE"
_INCOMING = ".incoming-"
_DAY = 86400.0


def store_places(site: Site) -> list[Path]:
    """Folders that hold trained networks: the site's, then the user's own."""
    places = [Path(place).expanduser() for place in site.file.network_store]
    return [*places, user_data_path("climrecon") / "networks"]


def writable_store(site: Site) -> Path:
    """The first of :func:`store_places` that this user may write to; made if need be.

    Raises
    ------
    OutputError
        If there is none.
    """
    for place in store_places(site):
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(place, os.W_OK | os.X_OK):
            return place
    raise OutputError(
        f"No network store can be written to: {', '.join(map(str, store_places(site)))}.",
        "Set network_store in the site file.",
    )


def cache_folder(cachedir: Path | None) -> Path:
    """``cachedir``, or the cache folder that Freva gives the user, or the user's own."""
    named = os.environ.get(CACHE_VARIABLE)
    return cachedir or (Path(named) if named else user_cache_path("climrecon"))


def check_free_name(name: str, site: Site, sha256: str | None = None) -> None:
    """Refuse a name that stands for something else already: nothing is overwritten.

    Parameters
    ----------
    sha256:
        Hash of the weights that are to have the name; equal weights may be stored twice.

    Raises
    ------
    UsageError
        If the name is taken.
    """
    if taken := registered().get(name):
        what = f"a method of the package {taken.package}" if taken.package else "a baseline"
        raise UsageError(f"{name} is the name of {what}.", "Choose another name.")
    for card, path in list_networks(store_places(site)):
        if path.name == name and (sha256 is None or card.weights_sha256 != sha256):
            raise UsageError(
                f"There is a network {name} already, in {path}.",
                f"Choose another name, or remove it with 'climrecon networks remove {name}'.",
            )


def add_network(source: Path, name: str, site: Site, *, replace: bool = False) -> Path:
    """Copy a network's folder (card and weights) into the store as ``name``; it appears whole or not at all.

    Parameters
    ----------
    replace:
        Whether a network of that name gives way: the same one, trained or scored again.

    Raises
    ------
    NetworkError
        If ``source`` is no network, or its weights are not those of its card.
    OutputError
        If the store cannot be written.
    UsageError
        If the name is taken by another network.
    """
    if source.is_file() and source.suffix != ".safetensors":
        raise NetworkError(f"{source.name} has no card, so it is not stored.", f"Use it as it is: network={source}")
    folder = source if source.is_dir() else source.parent
    loaded = load_network(str(folder))
    if not replace:
        check_free_name(name, site, loaded.sha256)
    store = writable_store(site)
    _sweep(store)
    target, gone = store / name, store / f"{_INCOMING}old-{name}-{os.getpid()}"
    try:
        with working_folder(store) as work:
            incoming = work / name
            incoming.mkdir()
            shutil.copyfile(folder / WEIGHTS, incoming / WEIGHTS)
            if loaded.card.range_sha256:
                shutil.copyfile(folder / RANGE, incoming / RANGE)
            card = loaded.card.model_copy(update={"name": name})
            (incoming / CARD).write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")
            with signals_wait():
                if target.exists():
                    target.replace(gone)
                    commit_point(f"without the network {name}")
                incoming.replace(target)
                commit_point(f"with the network {name}")
    except OSError as error:
        raise OutputError(f"The network cannot be written to {store}: {error}", "Is the disk full?") from error
    finally:
        if gone.exists() and not target.exists():
            gone.replace(target)
        shutil.rmtree(gone, ignore_errors=True)
    return target


def _sweep(store: Path) -> None:
    """Remove what killed runs left; processes of other machines may be writing, so only what is a day old."""
    for left in store.glob(f"{_INCOMING}*"):
        try:
            if time.time() - left.stat().st_mtime > _DAY:
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue


def remove_network(name: str, site: Site) -> Path:
    """Remove a trained network from its store; shipped ones stay.

    Raises
    ------
    NetworkError
        If there is none of that name, or it is a shipped one.
    OutputError
        If it may not be removed.
    """
    if (shipped() / name / CARD).is_file() and "/" not in name:
        raise NetworkError(f"{name} comes with climrecon and is not removed.", "Trained networks can be.")
    places = store_places(site)
    found = next((place / name for place in places if "/" not in name and (place / name / CARD).is_file()), None)
    if found is None or name in ("", ".", ".."):
        known = [path.name for _, path in list_networks(places) if path.parent in places]
        raise NetworkError(
            f"There is no trained network called {name!r}.", f"Trained networks: {', '.join(known) or 'none'}."
        )
    try:
        gone = found.with_name(f"{_INCOMING}removed-{name}-{os.getpid()}")
        found.replace(gone)
        shutil.rmtree(gone)
    except OSError as error:
        raise OutputError(f"{found} cannot be removed: {error}", "Ask its owner.") from error
    return found
