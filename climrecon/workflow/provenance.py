"""Where a result came from, as W3C PROV, with all that is needed to make it again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from climrecon.errors import InputDataError
from climrecon.files import parse_json, read_text, write_text

NAMESPACE = "https://climrecon.readthedocs.io/ns#"


#: Roles of outputs that are derived from all inputs and networks: the fields themselves.
_DERIVED = ("reconstruction", "native grid")


@dataclass(frozen=True)
class OutputFile:
    """One output as provenance and manifest list it; ``path`` is relative to the run's folder."""

    path: str
    role: str
    caption: str
    sha256: str
    content_sha256: str | None = None


@dataclass(frozen=True)
class Activity:
    """The run: when, as what, with which settings, versions and network ("" where there is none).

    ``other_networks`` are name and hash of the networks that ``network`` is compared with; ``notes`` the decisions that
    were taken, with their evidence.
    """

    run_id: str
    started: datetime
    ended: datetime
    user: str
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    network: str
    network_sha256: str | None
    inputs: Sequence[tuple[str, str]]
    fingerprint: str
    other_networks: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Recorded:
    """The content of a provenance file that a repeat needs; see :class:`Activity`."""

    settings: dict[str, Any]
    inputs: dict[str, str]
    network: str
    network_sha256: str | None
    outputs: dict[str, str]
    other_networks: dict[str, str] = field(default_factory=dict)


def write_provenance(path: Path, activity: Activity, outputs: Sequence[OutputFile]) -> None:
    """Write PROV-JSON.

    Inputs, network and settings (the run's plan) are entities it used, the run is an activity of the software
    on behalf of the user, and each output is an entity it generated, the reconstruction derived from the
    inputs and the network.

    Source: Lebo et al. (2013), PROV-O: The PROV Ontology, W3C Recommendation, section 3.
    """
    # Imported here: prov brings much that a run without results never needs.
    from prov.model import PROV, ProvDocument

    document = ProvDocument()
    document.add_namespace("climrecon", NAMESPACE)
    document.set_default_namespace(f"{NAMESPACE}run/{activity.run_id}/")
    software = document.agent(
        "climrecon:software",
        {
            "prov:type": PROV["SoftwareAgent"],
            **{f"climrecon:version_{name}": version for name, version in activity.versions.items()},
        },
    )
    run = document.activity(
        "run",
        activity.started,
        activity.ended,
        [
            ("climrecon:run_id", activity.run_id),
            ("climrecon:fingerprint", activity.fingerprint),
            *(("climrecon:note", note) for note in activity.notes),
        ],
    )
    settings = document.entity(
        "settings", {"prov:type": PROV["Plan"], "prov:value": json.dumps(dict(activity.settings), sort_keys=True)}
    )
    document.used(run, settings)
    document.wasAssociatedWith(run, software, settings)
    if activity.user:
        user = document.agent("user", {"prov:type": PROV["Person"], "prov:label": activity.user})
        document.wasAssociatedWith(run, user)
        document.actedOnBehalfOf(software, user, run)
    networks = []
    if activity.network:
        networks.append(
            document.entity(
                "network", {"prov:label": activity.network, "climrecon:sha256": activity.network_sha256 or "none"}
            )
        )
        document.used(run, networks[0])
    others = []
    for number, (name, digest) in enumerate(activity.other_networks):
        named = {"prov:label": name, "climrecon:sha256": digest}
        entity = document.entity(f"further_network_{number}", named)
        document.used(run, entity)
        others.append(entity)
    used = []
    for number, (name, digest) in enumerate(activity.inputs):
        entity = document.entity(f"input_{number}", {"prov:location": name, "climrecon:sha256": digest})
        document.used(run, entity)
        used.append(entity)
    for number, output in enumerate(outputs):
        attributes = {
            "prov:location": output.path,
            "prov:label": output.caption,
            "climrecon:role": output.role,
            "climrecon:sha256": output.sha256,
        }
        if output.content_sha256:
            attributes["climrecon:content_sha256"] = output.content_sha256
        entity = document.entity(f"output_{number}", attributes)
        document.wasGeneratedBy(entity, run)
        for source in [*used, *networks, *others] if output.role in _DERIVED else []:
            document.wasDerivedFrom(entity, source)
    write_text(path, document.serialize(format="json", indent=1) + "\n")


def read_provenance(path: Path) -> Recorded:
    """Read what :func:`write_provenance` wrote.

    Raises
    ------
    InputDataError
        If the file is none of ours.
    """
    try:
        document = parse_json(read_text(path))
        entities = {key.split(":")[-1]: value for key, value in document["entity"].items()}
        inputs = {v["prov:location"]: v["climrecon:sha256"] for k, v in entities.items() if k.startswith("input_")}
        outputs = {
            v["prov:location"]: v.get("climrecon:content_sha256", v["climrecon:sha256"])
            for k, v in entities.items()
            if k.startswith("output_")
        }
        network = entities.get("network", {"prov:label": "", "climrecon:sha256": "none"})  # a comparison has none
        digest = network["climrecon:sha256"]
        recorded = {
            "settings": parse_json(entities["settings"]["prov:value"]),
            "inputs": inputs,
            "network": network["prov:label"],
            "network_sha256": None if digest == "none" else digest,
            "outputs": outputs,
            "other_networks": {
                v["prov:label"]: v["climrecon:sha256"] for k, v in entities.items() if k.startswith("further_network_")
            },
        }
        return TypeAdapter(Recorded).validate_python(recorded)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputDataError(
            f"{path} is no provenance file of climrecon: {type(error).__name__} {error}",
            "Give the provenance.json of a run's folder.",
        ) from error
