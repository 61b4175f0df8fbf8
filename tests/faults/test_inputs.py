"""Made-up JSON and damaged headers: whatever a file holds, it is read or refused with a next step."""

from __future__ import annotations

import copy
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from climrecon.catalogue import open_catalogue
from climrecon.cli.networks import _card_lines
from climrecon.cli.run_command import read_config
from climrecon.errors import ClimReconError
from climrecon.jobs.record import CHAIN, read_chain
from climrecon.methods.store import CARD, load_network, shipped
from climrecon.settings import Site, validate
from climrecon.settings.site import SiteFile
from climrecon.watch.run import FACTS, facts_of
from climrecon.workflow.manifest import read_manifest
from climrecon.workflow.provenance import read_provenance
from helpers.faults import SECONDS, Counts, call, check_ending
from helpers.made_archive import MadeArchive

#: Of the time of each kind, what a made-up file may take.
EXAMPLES = max(40, int(25 * SECONDS))
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
DEEP = "[" * 100_000 + "]" * 100_000
READ_AS = (
    "reconstruction", "provenance.json", "manifest.json", "tas", "train", "kriging", "/dev/null", "..", "\0", "nan",
)  # fmt: skip


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Path of every value of a JSON document."""
    yield path
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inside:
        yield from places(value, (*path, key))


def exchanged(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    made = copy.deepcopy(content)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return made


class Reader:
    """A file of JSON, as it should be, and what reads it."""

    def __init__(self, path: Path, content: Any, read: Callable[[], Any]) -> None:
        self.path, self.content, self.read = path, content, read

    def try_text(self, text: str) -> None:
        self.path.write_text(text, encoding="utf-8", errors="surrogatepass")
        refusal = None
        try:
            self.read()
        except ClimReconError as error:
            refusal = error
        assert refusal is None or (refusal.hint and refusal.exit_code in (2, 3, 4, 5))


def reader(kind: str, folder: Path) -> Reader:
    site = Site(SiteFile())
    if kind == "card":
        for path in (shipped() / "kadow2020").iterdir():
            shutil.copy(path, folder / path.name)
        path = folder / CARD
        read: Callable[[], Any] = lambda: list(_card_lines(load_network(str(folder)).card.model_dump(mode="json")))  # noqa: E731
    elif kind == "catalogue":
        archive = MadeArchive(folder)
        archive.mean("5.0.2.0", 2)
        archive.build()
        path = archive.catalogue
        read = lambda: open_catalogue(path).rows  # noqa: E731
    elif kind == "chain":
        path = folder / CHAIN
        job = {"stage": "train", "job": 1, "parts": [0], "array": False, "limit": ""}
        path.write_text(json.dumps({
            "schema_version": 1, "id": "a", "folder": "f", "task": "train", "output": "o", "config_sha256": "0",
            "submitted": "2026-01-01T00:00:00Z", "detached": False, "jobs": [job], "skipped": ["prepare"],
            "ended": {"1": ["COMPLETED", ""]},
        }))  # fmt: skip
        read = lambda: sum(read_chain(folder).numbers)  # noqa: E731
    elif kind == "configuration":
        path = folder / "config.json"
        path.write_text(json.dumps({"parameters": {"variable": "tas", "period": "1990-1995"}, "run": {"id": "7"}}))
        read = lambda: validate(read_config(path.read_bytes(), str(path))[0], site)  # noqa: E731
    else:
        archive, output = MadeArchive(folder), folder / "out"
        run = ["--obs-file", str(archive.mean("5.0.2.0", 2)), "--network", "climatology", "--compare-with", "none"]
        check_ending(call(["reconstruct", *run, "--plots", "false", "--output", str(output)], folder), None)
        facts = {"inputs": {"a": "b"}, "changes": {}, "checks": [{"name": "n", "outcome": "passed", "found": ""}]}
        path = output / {"manifest": "manifest.json", "provenance": "provenance.json", "release": FACTS}[kind]
        if kind == "release":
            path.write_text(json.dumps(facts))
        read = {
            "manifest": lambda: [e["path"] + e["role"] + e["sha256"] for e in read_manifest(output)["outputs"]],
            "provenance": lambda: sorted(read_provenance(path).inputs.values()),
            "release": lambda: facts_of(output, facts),
        }[kind]
    return Reader(path, json.loads(path.read_text()), read)


@pytest.mark.parametrize("kind", ["card", "catalogue", "chain", "configuration", "manifest", "provenance", "release"])
def test_json(kind: str, tmp_path: Path, counts: Counts) -> None:
    made = reader(kind, tmp_path)
    made.read()
    paths = list(places(made.content))
    for text in ("", "{", DEEP, '{"a": ' + DEEP + "}", "\ud800", "1e999", "9" * 5000):
        made.try_text(text)
        counts.of["inputs"] += 1

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=SECONDS < 60, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.sampled_from(paths), ANYTHING | st.sampled_from(READ_AS))
    def exchange(path: tuple[Any, ...], value: Any) -> None:
        counts.of["inputs"] += 1
        made.try_text(json.dumps(exchanged(made.content, path, value)))

    exchange()


@pytest.mark.parametrize("kind", ["netcdf4", "classic"])
def test_netcdf_headers(kind: str, tmp_path: Path, counts: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes of the header are exchanged; the command is called, since a library may end the process."""
    import xarray as xr

    monkeypatch.setenv("CLIMRECON_CONFIG", "")
    path = MadeArchive(tmp_path).mean("5.0.2.0", 2, uncorrelated=False)
    if kind == "classic":
        with xr.open_dataset(path, decode_times=False) as data:
            data.load().to_netcdf(tmp_path / path.name, format="NETCDF3_CLASSIC")
        path = tmp_path / path.name
    sound = path.read_bytes()
    random, until = np.random.default_rng(5), time.monotonic() + SECONDS
    output = tmp_path / "out"
    run = ["reconstruct", "--obs-file", str(path), "--network", "climatology", "--compare-with", "none", "--plots", "false",
           "--report", "false", "--output", str(output)]  # fmt: skip
    while time.monotonic() < until:
        content = bytearray(sound)
        for place in random.integers(0, min(len(sound), 4000), random.integers(1, 4)):
            content[place] = random.integers(256)
        path.write_bytes(content)
        counts.of["inputs"] += 1
        ending = call(run, tmp_path)
        assert ending.code in (0, 2, 3, 4), (ending.code, ending.output)
        assert "Traceback" not in ending.output
        shutil.rmtree(output, ignore_errors=True)
