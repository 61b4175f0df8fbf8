"""What all tests of trainings need."""

from collections.abc import Iterator

import pytest

from climrecon.methods import threads


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small networks are quicker with one, and bits do not depend on the machine's cores."""
    with threads.one_thread():
        yield
