"""The pytest options of the rules. Every pytest session imports this module: keep it light."""

import contextlib
import importlib
import signal
import sys
from pathlib import Path

import pytest

from lightning_conformance import signals

KIT = "lightning_conformance"
OLD_KIT = "datamodule_conformance"
"""The kit's name until version 0.1."""
SESSION = f"{KIT}.session"
SETTINGS = Path(__file__).with_name("pytest.ini")
COMMAND = f"pytest --pyargs {KIT} --datamodule my.module:MyDataModule"
KINDS = ("images", "sequences", "graphs", "table")
SUFFIXES = (".json", ".md")
STAGES = ("fit", "validate", "test", "predict")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of `pytest --pyargs lightning_conformance`."""
    group = parser.getgroup("conformance of a Lightning project")
    group.addoption(
        "--datamodule", metavar="MODULE:NAME",
        help="a LightningDataModule, or a function that returns one",
    )  # fmt: skip
    group.addoption(
        "--datamodule-arg", metavar="KEY=VALUE", action="append", default=[],
        help="one of its arguments, the value as YAML; may be repeated",
    )  # fmt: skip
    group.addoption(
        "--module", metavar="MODULE:NAME",
        help="a LightningModule, or a function that returns one, to judge with the DataModule",
    )  # fmt: skip
    group.addoption(
        "--module-arg", metavar="KEY=VALUE", action="append", default=[],
        help="one of the module's arguments, the value as YAML; may be repeated",
    )  # fmt: skip
    group.addoption(
        "--datamodule-unaugmented", action="store_true",
        help="training must show a sample the same way in each epoch",
    )  # fmt: skip
    group.addoption(
        "--datamodule-stages", metavar="STAGE,...",
        help=f"the stages that it must have, of {', '.join(STAGES)}; default: all that work",
    )  # fmt: skip
    group.addoption(
        "--datamodule-kind", choices=KINDS, help="the kind of its batches; default: detected"
    )
    group.addoption(
        "--conformance-report", metavar="FILE", help="write every rule's result: .json or .md"
    )


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """If the options name a DataModule, judge the rules in a new session and return its exit code.

    Otherwise return None, and pytest runs as usual. The new session ignores the project's settings
    and conftest.py, which may deselect, mark or distribute tests. SIGINT and SIGTERM end it; the
    exit code is then 128 + the signal's number.
    """
    if config.pluginmanager.has_plugin(SESSION) or not _asks_for_rules(config):
        return None
    requested_stages(config)
    _check_report(config)
    # Only in sessions of the kit.
    from lightning_conformance import fork_server, imports
    from lightning_conformance.acknowledged import AcknowledgedError, Deviations

    try:
        Deviations.load(config.getoption("--datamodule"), Path.cwd())
    except AcknowledgedError as error:
        raise pytest.UsageError(str(error)) from None
    session = [f"--config-file={SETTINGS}", "--noconftest", "-p", SESSION]
    if config.pluginmanager.has_plugin("xdist"):
        session.append("-n0")  # the rules share their observations
    arguments = [str(argument) for argument in config.invocation_params.args]
    # The summary names the rules; Lightning's log would hide it.
    defaults = ["-rN", "--show-capture=no", f"--rootdir={config.rootpath}"]
    options, paths = config.option, config.getoption("file_or_dir")
    selects = options.keyword or options.markexpr or any("::" in path for path in paths)
    status: int = pytest.ExitCode.INTERRUPTED
    with (
        contextlib.suppress(KeyboardInterrupt),
        signals.catch_signals(),
        pytest.MonkeyPatch.context() as patch,
        fork_server.running(at_once=not selects),
    ):
        patch.delenv("PYTEST_ADDOPTS", raising=False)
        imports.load_torchmetrics_lazily()
        with imports.without_collection():
            importlib.import_module(SESSION)
        status = pytest.main([*defaults, *arguments, *session], config.invocation_params.plugins)
    if number := signals.received():
        print(f"Ended by {signal.Signals(number).name}.", file=sys.stderr, flush=True)
        return 128 + number
    return status


def _asks_for_rules(config: pytest.Config) -> bool:
    """Return whether the command line names a DataModule and the rules.

    Raises:
        pytest.UsageError: it names the rules by their old name, it names the rules without a
            DataModule or a DataModule without the rules, or it names other tests too.
    """
    paths = config.getoption("file_or_dir")
    if config.getoption("pyargs") and any(path.startswith(OLD_KIT) for path in paths):
        raise pytest.UsageError(f"{OLD_KIT} is now {KIT}: {COMMAND}")
    rules = [path for path in paths if path.startswith(KIT) and config.getoption("pyargs")]
    if not config.getoption("--datamodule"):
        if rules or config.getoption("--module"):
            raise pytest.UsageError(f"which DataModule? Name it: {COMMAND}")
        return False
    if not rules or len(rules) < len(paths):
        raise pytest.UsageError(f"Pass `--pyargs {KIT}` and no other path: {COMMAND}")
    return True


def requested_stages(config: pytest.Config) -> tuple[str, ...]:
    """Return the stages of --datamodule-stages in Lightning's order; empty without the option.

    Raises:
        pytest.UsageError: a name is not a stage.
    """
    names = [name for name in (config.getoption("--datamodule-stages") or "").split(",") if name]
    if unknown := set(names) - set(STAGES):
        raise pytest.UsageError(
            f"--datamodule-stages {', '.join(sorted(unknown))}: use {', '.join(STAGES)}."
        )
    return tuple(stage for stage in STAGES if stage in names)


def _check_report(config: pytest.Config) -> None:
    """Raise pytest.UsageError if the file of --conformance-report can't be written."""
    report = Path(config.getoption("--conformance-report") or "report.md")
    if report.suffix not in SUFFIXES:
        raise pytest.UsageError(f"--conformance-report {report}: name a file .json or .md.")
    if not report.parent.is_dir():
        raise pytest.UsageError(
            f"--conformance-report {report}: the folder {report.parent} does not exist. Create it."
        )
    if report.is_dir():
        raise pytest.UsageError(f"--conformance-report {report}: it is a folder. Name a file.")
