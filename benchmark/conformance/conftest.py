"""What the rules are given."""

import pytest

from benchmark.conformance.plugin import subject
from benchmark.conformance.trials import Trials


@pytest.fixture(scope="session")
def trials(request: pytest.FixtureRequest) -> Trials:
    """The DataModule's runs."""
    return Trials(subject(request.config))


@pytest.fixture
def sound(trials: Trials) -> Trials:
    """The runs of a DataModule that can be judged at all; other rules say what is wrong."""
    if trials.unsound:
        pytest.skip(f"not judged: {trials.unsound}")
    return trials
