"""The session of pytest in which the rules run."""

import sys
from typing import Any

import pytest

from datamodule_conformance.observations import Observations
from datamodule_conformance.plugin import datamodule_source
from datamodule_conformance.source import DataModuleSource, SourceError

SOURCE = pytest.StashKey[DataModuleSource]()


def pytest_configure(config: pytest.Config) -> None:
    """The current directory is on the path, as `python -m` has it."""
    if "" not in sys.path:
        sys.path.insert(0, "")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse a DataModule that can't be made."""
    try:
        source = datamodule_source(session.config)
        source.make(0)
    except SourceError as error:
        raise pytest.UsageError(str(error)) from None
    session.config.stash[SOURCE] = source


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """One line that sums up."""
    counts = {
        outcome: len(terminalreporter.stats.get(outcome, []))
        for outcome in ("passed", "failed", "skipped")
    }
    terminalreporter.write_line(
        f"{config.stash[SOURCE]}: {counts['passed']} rules hold, {counts['failed']} broken, "
        f"{counts['skipped']} not judged (-rs says why)"
    )


@pytest.fixture(scope="session")
def observations(request: pytest.FixtureRequest) -> Observations:
    """What the DataModule does in each scenario."""
    return Observations(request.config.stash[SOURCE])


@pytest.fixture
def judgeable(observations: Observations) -> Observations:
    """The same, if the DataModule can be judged at all; other rules say what is wrong."""
    if observations.obstacle:
        pytest.skip(f"not judged: {observations.obstacle}")
    return observations
