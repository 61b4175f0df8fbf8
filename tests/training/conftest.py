"""What all tests of trainings need."""

from collections.abc import Iterator

import pytest

from climrecon.methods import threads
from climrecon.training import calibration


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small networks are quicker with one, and bits do not depend on the machine's cores."""
    with threads.one_thread():
        yield


@pytest.fixture(scope="module", autouse=True)
def few_calibrated(request: pytest.FixtureRequest) -> Iterator[None]:
    """Two years instead of 80 calibrate a network: most of a small training's time; not where that is what is tested."""
    with pytest.MonkeyPatch.context() as patched:
        if request.path.stem != "test_calibration":
            patched.setattr(calibration, "MOST_YEARS", 2)
        yield
