"""What the tests of this folder share: a clock that stands still."""

import pytest
from verger.watch.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
