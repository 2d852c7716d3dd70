"""The options of pytest that name a DataModule; installed as a plugin, so importing little."""

import sys
from typing import Any

import pytest

KIT = "datamodule_conformance."
KINDS = ("images", "sequences", "graphs", "table")
STAGES = ("fit", "validate", "test", "predict")
MADE = pytest.StashKey[str]()
"""The DataModule as the summary names it."""


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


def pytest_configure(config: pytest.Config) -> None:
    """Where a DataModule is named: the rules' marker, and the current directory as `python -m`
    has it. A project that asks for no rules gets neither."""
    if not config.getoption("--datamodule"):
        return
    config.addinivalue_line("markers", "slow: takes seconds; leave out with -m 'not slow'")
    if "" not in sys.path:
        sys.path.insert(0, "")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse the rules without a DataModule that can be made."""
    rules = [item for item in items if getattr(item, "module", None) and _is_rule(item)]
    if not rules:
        return
    if not config.getoption("--datamodule"):
        raise pytest.UsageError("which DataModule? Name it: --datamodule my.module:MyDataModule")
    from datamodule_conformance.source import SourceError

    try:
        stages(config)
        made = datamodule_source(config)
        made.make(0)
    except SourceError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[MADE] = str(made)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """One line that sums up."""
    made = config.stash.get(MADE, None)
    if made is None:
        return
    counts = {
        outcome: len(terminalreporter.stats.get(outcome, []))
        for outcome in ("passed", "failed", "skipped")
    }
    terminalreporter.write_line(
        f"{made}: {counts['passed']} rules hold, {counts['failed']} broken, "
        f"{counts['skipped']} not judged (-rs says why)"
    )
    from datamodule_conformance.rules import followers

    for cause, following in followers(terminalreporter.stats.get("skipped", [])).items():
        terminalreporter.write_line(f"{cause}\n  follows: {', '.join(following)}")


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


def _is_rule(item: pytest.Item) -> bool:
    return item.module.__name__.startswith(KIT)  # type: ignore[attr-defined]
