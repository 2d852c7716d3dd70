"""The pytest session that judges the rules: each result is the outcome of a test."""

import sys
from pathlib import Path
from typing import Any

import pytest

from lightning_conformance.acknowledged import Deviations
from lightning_conformance.module.observations import ProjectObservations
from lightning_conformance.module.source import ModuleSource, Project
from lightning_conformance.observations import Observations
from lightning_conformance.plugin import requested_stages
from lightning_conformance.report import (
    NOTHING_JUDGED,
    nothing_judged,
    summary,
    write,
)
from lightning_conformance.results import Outcome, RuleResult
from lightning_conformance.signals import raise_if_received, received
from lightning_conformance.source import DataModuleSource, SourceError, parse_arguments

SOURCE = pytest.StashKey[DataModuleSource]()
MODULE = pytest.StashKey[ModuleSource | None]()
"""The module of --module; None: judge the DataModule alone."""
DEVIATIONS = pytest.StashKey[Deviations]()
RESULTS = pytest.StashKey[list[RuleResult]]()
UNWRITTEN = pytest.StashKey[str]()
"""Why the report could not be written."""
LOG_WIDTH = sys.maxsize
"""Columns of the summary where the output is not a terminal: nothing is cut."""


def pytest_configure(config: pytest.Config) -> None:
    """List each skipped rule separately, and put the current directory on `sys.path`."""
    config.option.fold_skipped = False
    if "" not in sys.path:
        sys.path.insert(0, "")


def _module_source(config: pytest.Config) -> ModuleSource | None:
    """Return the source of the module that --module names, or None without the option."""
    path = config.getoption("--module")
    arguments = parse_arguments(config.getoption("--module-arg"), "--module-arg")
    return ModuleSource(path, arguments) if path else None


def pytest_sessionstart(session: pytest.Session) -> None:
    """Make the DataModule before any rule runs; keep its source and the deviations in the stash.

    Raises:
        pytest.UsageError: the DataModule can't be made.
    """
    config = session.config
    try:
        source = DataModuleSource(
            config.getoption("--datamodule"),
            parse_arguments(config.getoption("--datamodule-arg")),
            augmented=not config.getoption("--datamodule-unaugmented"),
        )
        module = _module_source(config)
        Project(module, source).make(0) if module else source.make(0)
    except SourceError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[SOURCE] = source
    config.stash[MODULE] = module
    config.stash[DEVIATIONS] = Deviations.load(source.path, Path.cwd())
    config.stash[RESULTS] = []


@pytest.fixture(scope="session")
def observations(request: pytest.FixtureRequest) -> Observations:
    """Return the observations that all rules of the session share."""
    config = request.config
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    return Observations(
        config.stash[SOURCE],
        requested_stages(config),
        config.getoption("--datamodule-kind"),
        selected_rules=frozenset(item.obj.rule.name for item in items),
    )


@pytest.fixture(scope="session")
def project(request: pytest.FixtureRequest, observations: Observations) -> ProjectObservations:
    """Return the observations of the project that all rules about the module share."""
    stash = request.config.stash
    module = stash[MODULE]
    assert module is not None
    project = Project(module, stash[SOURCE])
    return ProjectObservations(project, observations, observations.selected_rules)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not collect the rules about a module unless one is named."""
    in_module = collection_path.name == "module" or collection_path.parent.name == "module"
    return True if in_module and not config.getoption("--module") else None


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool:
    """Judge the rule of this test instead of calling it, and keep the result in the stash.

    A broken rule fails without a traceback, an acknowledged deviation is an expected failure, and
    a rule that can't be judged is skipped.
    """
    config = pyfuncitem.config
    rule = pyfuncitem.obj.rule
    observations = pyfuncitem.funcargs["project" if rule.about_module else "observations"]
    result = config.stash[DEVIATIONS].apply(rule.judge(observations))
    raise_if_received()
    config.stash[RESULTS].append(result)
    if result.outcome is Outcome.BROKEN:
        pytest.fail(str(result), pytrace=False)
    if result.outcome is Outcome.ACKNOWLEDGED:
        pytest.xfail(result.reason)
    if result.outcome is Outcome.NOT_JUDGED:
        pytest.skip(f"not judged: {result.reason}")
    return True


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the summary, then warnings: the report could not be written, or nothing was judged.

    If a signal ended the session, print nothing.
    """
    if received():
        return
    name, results = _name(config), config.stash[RESULTS]
    # pytest takes a log's width from the variable COLUMNS, which is about some terminal.
    width = terminalreporter._tw.fullwidth if terminalreporter.isatty else LOG_WIDTH
    terminalreporter.write_line(summary(name, results, width))
    if note := config.stash[DEVIATIONS].note:
        terminalreporter.write_line(note)
    if problem := config.stash.get(UNWRITTEN, ""):
        terminalreporter.write_line(problem, red=True)
    if nothing_judged(results):
        terminalreporter.write_line(NOTHING_JUDGED)


def _name(config: pytest.Config) -> str:
    """Return the name of what is judged: the DataModule, or the module with it."""
    source, module = config.stash[SOURCE], config.stash[MODULE]
    return str(Project(module, source) if module else source)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the file of --conformance-report, if it is set and no signal ended the session.

    If no fit could be judged, the session ends with the status of pytest without tests.
    """
    config = session.config
    if session.exitstatus == pytest.ExitCode.OK and nothing_judged(config.stash[RESULTS]):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
    if (path := config.getoption("--conformance-report")) and not received():
        try:
            about_module = config.stash[MODULE] is not None
            write(Path(path), _name(config), config.stash[RESULTS], about_module)
        except OSError as error:  # pytest would lose the summary
            config.stash[UNWRITTEN] = f"ERROR: --conformance-report {path}: {error.strerror}."
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
