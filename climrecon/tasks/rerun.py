"""Repeat a run from its provenance and compare the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from climrecon.errors import InputDataError, NetworkError
from climrecon.files import sha256_of
from climrecon.parameters import OLD_NAMES
from climrecon.settings import Site, validate
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
        if not path.is_file():
            problems.append(f"{name} is gone")
        elif sha256_of(path) != digest:
            problems.append(f"{name} has changed since (sha256 {sha256_of(path)[:12]}… instead of {digest[:12]}…)")
    if problems:
        raise InputDataError(f"The run cannot be repeated: {'; '.join(problems)}.", "Restore the input files.")
    known = {OLD_NAMES.get(name, name): value for name, value in recorded.settings.items()}
    settings = validate({**known, "outputdir": str(output)}, site)
    _check_network(settings.network, recorded.network_sha256, site)
    if recorded.other_networks:
        _check_others(settings.other_networks, recorded.other_networks, site)
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


def _check_others(names: Sequence[str], recorded: Mapping[str, str], site: Site) -> None:
    """As :func:`_check_network` for the other networks; they are recorded by the names on their cards."""
    from climrecon.methods.registry import registered

    known = registered()
    for name in names:
        if name not in known:
            _check_network(name, recorded, site)


def _check_network(name: str, digest: str | Mapping[str, str] | None, site: Site) -> None:
    if digest is None:
        return
    from climrecon.methods.store import load_network

    network = load_network(name, store=[Path(place).expanduser() for place in site.file.network_store])
    if not isinstance(digest, str):
        digest = digest.get(network.name, network.sha256)
    if network.sha256 != digest:
        raise NetworkError(
            f"The network {name} here has sha256 {network.sha256[:12]}…; the run used {digest[:12]}….",
            "Install the climrecon version, or fetch the network, that the run used.",
        )
