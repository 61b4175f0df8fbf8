"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; tests that need it are skipped, with the reason, where it is absent."""
    folder = Path(os.environ.get("CLIMRECON_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "observations").is_dir():
        pytest.skip(f"no shared data: {folder} is absent (set CLIMRECON_SHARED_DATA)")
    return folder
