"""Repeat a run from its provenance and compare the results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from climrecon.errors import InputDataError, NetworkError
from climrecon.files import sha256_of, why_unreadable
from climrecon.methods.registry import registered
from climrecon.methods.store import load_network
from climrecon.parameters import OLD_NAMES
from climrecon.redaction import STARS, redacted
from climrecon.settings import Site, validate
from climrecon.tasks.network_store import store_places
from climrecon.tasks.run import run_task
from climrecon.workflow.progress import Reporter
from climrecon.workflow.provenance import read_provenance
from climrecon.workflow.run_info import run_info


@dataclass(frozen=True)
class Comparison:
    """``same`` and ``different`` hold the result files whose contents agree or do not."""

    same: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether every result agrees."""
        return bool(self.same) and not self.different

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"agrees": self.agrees, "same": self.same, "different": self.different}

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"  same       {name}" for name in self.same] + [f"  different  {name}" for name in self.different]
        verdict = "The repeat agrees with the first run." if self.agrees else "The repeat differs from the first run."
        return [verdict, *lines]


def rerun(provenance: Path, output: Path, site: Site, reporter: Reporter) -> Comparison:
    """Run again what ``provenance`` records, into ``output``, and compare the data of the results.

    Raises
    ------
    InputDataError
        If an input is gone or is not what it was.
    NetworkError
        If the network is not the one that made the result.
    """
    recorded = read_provenance(provenance)
    problems = []
    for name, digest in recorded.inputs.items():
        path = Path(name)
        if why := why_unreadable(path):
            problems.append(f"{name}: {why}")
        elif sha256_of(path) != digest:
            problems.append(f"{name} has changed since (sha256 {sha256_of(path)[:12]}… instead of {digest[:12]}…)")
    if problems:
        raise InputDataError(f"The run cannot be repeated: {'; '.join(problems)}.", "Restore the input files.")
    known = {OLD_NAMES.get(name, name): value for name, value in recorded.settings.items()}
    if STARS in str(known.get("catalogue")):
        known["catalogue"] = _with_secret(str(known["catalogue"]), site)
    settings = validate({**known, "outputdir": str(output)}, site)
    if recorded.network_sha256 is not None:
        _check_network(settings.network, {settings.network: recorded.network_sha256}, site)
    for name in settings.other_networks if recorded.other_networks else ():
        if name not in registered():
            _check_network(name, recorded.other_networks, site)
    outcome = run_task(settings, site, reporter, run_info())
    again = {
        entry["path"]: entry.get("content_sha256", entry["sha256"])
        for entry in outcome.manifest["outputs"]
        if entry["path"].endswith(".nc")
    }
    comparison = Comparison()
    for output_name, digest in recorded.outputs.items():
        if output_name.endswith(".nc"):
            same = again.get(output_name) == digest
            (comparison.same if same else comparison.different).append(output_name)
    return comparison


def _with_secret(recorded: str, site: Site) -> str:
    """The address of a catalogue with its secret, which no provenance file holds: from the site file, or refused."""
    known = str(site.default("catalogue") or "")
    if redacted(known) != recorded:
        raise InputDataError(
            f"The run searched {recorded}, whose secret no file records.",
            "Put the whole address into the site file, as catalogue in [defaults], and repeat the command.",
        )
    return known


def _check_network(name: str, recorded: Mapping[str, str], site: Site) -> None:
    """Refuse a network whose weights are not those ``recorded`` by ``name`` or by the name on its card."""
    network = load_network(name, store=store_places(site))
    digest = recorded.get(name) or recorded.get(network.name, network.sha256)
    if network.sha256 != digest:
        raise NetworkError(
            f"The network {name} here has sha256 {network.sha256[:12]}…; the run used {digest[:12]}….",
            "Install the climrecon version, or fetch the network, that the run used.",
        )
