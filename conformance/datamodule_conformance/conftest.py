"""What the rules are given."""

import pytest

from datamodule_conformance.observations import Observations
from datamodule_conformance.plugin import datamodule_source, stages


@pytest.fixture(scope="session")
def observations(request: pytest.FixtureRequest) -> Observations:
    """What the DataModule does in each scenario."""
    kind = request.config.getoption("--datamodule-kind")
    made = Observations(datamodule_source(request.config), stages(request.config), kind)
    found = [getattr(getattr(item, "obj", None), "rule", None) for item in request.session.items]
    made.asked = frozenset(rule.name for rule in found if rule)
    return made


@pytest.fixture
def judgeable(observations: Observations) -> Observations:
    """The same, if the DataModule can be judged at all; other rules say what is wrong."""
    if observations.obstacle:
        pytest.skip(f"not judged: {observations.obstacle}")
    return observations
