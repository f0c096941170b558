"""Every scenario is played twice."""

import pytest

from tests.scenarios.stage import Where


@pytest.fixture(params=["in this process", "over HTTPS"])
def where(request: pytest.FixtureRequest) -> Where:
    """Where the controllers are."""
    found: Where = request.param
    return found
