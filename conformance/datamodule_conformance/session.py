"""The session of pytest in which the rules run."""

import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from datamodule_conformance.acknowledged import AcknowledgedError, Deviations
from datamodule_conformance.observations import (
    Observations,
    require_judgeable,
    require_running,
)
from datamodule_conformance.plugin import datamodule_source, stages
from datamodule_conformance.report import SUFFIXES, summary, write
from datamodule_conformance.source import DataModuleSource, SourceError
from datamodule_conformance.verdicts import Outcome, Verdict, verdict_of

SOURCE = pytest.StashKey[DataModuleSource]()
DEVIATIONS = pytest.StashKey[Deviations]()
VERDICTS = pytest.StashKey[list[Verdict]]()


def pytest_configure(config: pytest.Config) -> None:
    """The current directory is on the path, as `python -m` has it; -rs names each rule."""
    config.option.fold_skipped = False
    if "" not in sys.path:
        sys.path.insert(0, "")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse what can't be made, read or written before anything runs."""
    _check_report(session.config)
    stages(session.config)
    try:
        source = datamodule_source(session.config)
        source.make(0)
        deviations = Deviations.load(source.path, Path.cwd())
    except (SourceError, AcknowledgedError) as error:
        raise pytest.UsageError(str(error)) from None
    session.config.stash[SOURCE] = source
    session.config.stash[DEVIATIONS] = deviations
    session.config.stash[VERDICTS] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep each rule's verdict, and have pytest show it."""
    report = yield
    if call.when != "call" and call.excinfo is None:
        return report
    raised = call.excinfo.value if call.excinfo else None
    verdict = verdict_of(item.obj.rule, raised)
    final = item.config.stash[DEVIATIONS].applied(verdict)
    item.config.stash[VERDICTS].append(final)
    if final is not verdict:
        _show(report, final)
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """What does not hold, in one screen."""
    name, verdicts = str(config.stash[SOURCE]), config.stash[VERDICTS]
    terminalreporter.write_line(summary(name, verdicts, terminalreporter._tw.fullwidth))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the report."""
    config = session.config
    if path := config.getoption("--conformance-report"):
        write(Path(path), str(config.stash[SOURCE]), config.stash[VERDICTS])


@pytest.fixture(scope="session")
def observations(request: pytest.FixtureRequest) -> Observations:
    """What the DataModule does in each scenario."""
    config = request.config
    kind = config.getoption("--datamodule-kind")
    made = Observations(config.stash[SOURCE], stages(config), kind)
    found = [getattr(getattr(item, "obj", None), "rule", None) for item in request.session.items]
    made.asked = frozenset(rule.name for rule in found if rule)
    return made


@pytest.fixture
def judgeable(observations: Observations) -> Observations:
    """The same, if the DataModule can be judged at all; other rules say what is wrong."""
    require_judgeable(observations)
    return observations


@pytest.fixture
def running(observations: Observations) -> Observations:
    """The same, if a fit runs, whether or not another is equal."""
    require_running(observations)
    return observations


def _check_report(config: pytest.Config) -> None:
    given = config.getoption("--conformance-report")
    if given is None:
        return
    path = Path(given)
    if path.suffix not in SUFFIXES:
        raise pytest.UsageError(f"--conformance-report {path}: name it .json or .md.")
    if not path.parent.is_dir():
        raise pytest.UsageError(f"--conformance-report {path}: there is no {path.parent}. Make it.")


def _show(report: pytest.TestReport, verdict: Verdict) -> None:
    """What the project acknowledges is an expected failure, and failed where it is gone."""
    if verdict.outcome is Outcome.ACKNOWLEDGED:
        report.outcome, report.wasxfail = "skipped", verdict.reason
    else:
        report.outcome, report.longrepr = "failed", str(verdict)
