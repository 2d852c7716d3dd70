"""The options of pytest that name a DataModule; installed as a plugin, so importing little."""

from pathlib import Path
from typing import Any

import pytest

KIT = "datamodule_conformance"
SESSION = f"{KIT}.session"
SETTINGS = Path(__file__).with_name("pytest.ini")
REMEDY = f"pytest --pyargs {KIT} --datamodule my.module:MyDataModule"
KINDS = ("images", "sequences", "graphs", "table")
STAGES = ("fit", "validate", "test", "predict")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options for `pytest --pyargs datamodule_conformance`."""
    group = parser.getgroup("conformance of a LightningDataModule")
    group.addoption(
        "--datamodule", metavar="MODULE:NAME", help="a LightningDataModule or what makes one"
    )
    group.addoption(
        "--datamodule-arg", metavar="KEY=VALUE", action="append", default=[],
        help="an argument for it, the value as YAML; may be given several times",
    )  # fmt: skip
    group.addoption(
        "--datamodule-unaugmented", action="store_true",
        help="training is meant to show a sample the same in each epoch",
    )  # fmt: skip
    group.addoption(
        "--datamodule-stages", metavar="STAGE,...",
        help=f"those that it is meant to have, of {', '.join(STAGES)}; else those that work",
    )  # fmt: skip
    group.addoption(
        "--datamodule-kind", choices=KINDS, help="what its batches are; else what they look like"
    )
    group.addoption(
        "--conformance-report", metavar="FILE", help="write every rule's verdict: .json or .md"
    )


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Where a DataModule is named, run the rules in a session of their own, and nothing else.

    The project's settings and conftest.py say how its own tests are found, marked and shared out
    among processes; each of these would switch rules off.
    """
    if config.pluginmanager.has_plugin(SESSION) or not _asks_for_rules(config):
        return None
    session = [f"--config-file={SETTINGS}", "--noconftest", "-p", SESSION]
    if config.pluginmanager.has_plugin("xdist"):
        session.append("-n0")  # the rules share what they observe
    given = [str(argument) for argument in config.invocation_params.args]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTEST_ADDOPTS", raising=False)
        # The summary names the rules, and Lightning's own log is none of their words.
        defaults = ["-rN", "--show-capture=no", f"--rootdir={config.rootpath}"]
        return pytest.main([*defaults, *given, *session], config.invocation_params.plugins)


def datamodule_source(config: pytest.Config) -> Any:
    """The DataModule that the options name."""
    from datamodule_conformance.source import DataModuleSource, parse_arguments

    arguments = parse_arguments(config.getoption("--datamodule-arg"))
    augmented = not config.getoption("--datamodule-unaugmented")
    return DataModuleSource(config.getoption("--datamodule"), arguments, augmented)


def stages(config: pytest.Config) -> tuple[str, ...]:
    """The stages that --datamodule-stages names, in Lightning's order; none: those that work."""
    named = [name for name in (config.getoption("--datamodule-stages") or "").split(",") if name]
    if unknown := set(named) - set(STAGES):
        raise pytest.UsageError(
            f"--datamodule-stages {', '.join(sorted(unknown))}? There are {', '.join(STAGES)}."
        )
    return tuple(stage for stage in STAGES if stage in named)


def _asks_for_rules(config: pytest.Config) -> bool:
    named = config.getoption("file_or_dir")
    rules = [name for name in named if name.startswith(KIT) and config.getoption("pyargs")]
    if not config.getoption("--datamodule"):
        if rules:
            raise pytest.UsageError(f"which DataModule? Name it: {REMEDY}")
        return False
    others = [name for name in named if name not in rules]
    if others or not rules:
        beside = f"without {' '.join(others)}" if others else "and are named"
        raise pytest.UsageError(f"The rules run alone, {beside}: {REMEDY}")
    return True
