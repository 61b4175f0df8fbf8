"""What makes two runs the same: the stage, its inputs' content, its settings and the network.

Never paths, row numbers, the device or how the run was dispatched: none of them changes a result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any


def fingerprint(
    stage: str, version: int, inputs: Sequence[str], settings: Mapping[str, Any], network: str | None
) -> str:
    """sha256 over the stage's name and version, input hashes, settings and the network's hash."""
    content = {
        "stage": stage,
        "version": version,
        "inputs": sorted(inputs),
        "settings": dict(sorted(settings.items())),
        "network": network,
    }
    return digest_of(content)


def digest_of(content: Any) -> str:
    """sha256 of values as JSON, the keys of objects in order."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
