from __future__ import annotations

import pytest

from climrecon.model import interpolation


@pytest.fixture
def solved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Conjugate gradients go on: what is solved is tested, not where iteration stops."""
    monkeypatch.setattr(interpolation, "TOLERANCE", 0.1)
