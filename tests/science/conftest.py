from __future__ import annotations

import pytest

from climrecon.methods.priors import full_rank


@pytest.fixture
def solved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Conjugate gradients go on: what is solved is tested, not where iteration stops."""
    monkeypatch.setattr(full_rank, "TOLERANCE", 0.1)
