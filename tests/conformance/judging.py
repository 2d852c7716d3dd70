"""Judges test DataModules by the kit's rules, without a pytest session."""

import warnings
from collections.abc import Collection
from typing import Any

from lightning_conformance.module.observations import ProjectObservations
from lightning_conformance.module.source import ModuleSource, Project
from lightning_conformance.observations import Observations
from lightning_conformance.results import Outcome, RuleResult
from lightning_conformance.rules import rules
from lightning_conformance.source import DataModuleSource

PACKAGE = "lightning_conformance"
DATAMODULES = "tests.conformance.datamodules"
MODULES = "tests.conformance.modules"
DRAWS = "draws of the model change nothing"
EPOCH = "each epoch has its own order"
FRESH = "a fresh process sees the same"
HOOKS = "hooks leave the global generators alone"
PREPARED = "setup needs nothing that prepare data left on the object"
RELOAD = "loaders can be asked for again"
RESUME = "a resumed run goes on in its epoch"
SECOND = "a second fit sees what the first saw"
SHARE = "two ranks share an epoch"
TWO_RANKS = "two ranks prepare once and set up twice"
WORKERS = "workers change nothing"
ALL = frozenset(rule.name for rule in rules(about_module=False))
"""All rules about a DataModule."""
MODULE = frozenset(rule.name for rule in rules() if rule.about_module)
"""All rules about a LightningModule and its fit."""
IN_PROCESS = ALL - {FRESH, RESUME, SHARE, TWO_RANKS}
"""Rules that start no processes, except workers of loaders."""


# unraisableexception would collect garbage twice per session, and the outer pytest has it.
KIT = [
    "--pyargs", PACKAGE, "-p", "no:cacheprovider",
    "-p", "no:unraisableexception",
    "-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning",
]  # fmt: skip
"""Arguments of pytest that run the rules in a session."""


class Results(dict[str, RuleResult]):
    """Results by name of the rule."""

    def with_outcome(self, outcome: Outcome) -> set[str]:
        return {name for name, result in self.items() if result.outcome is outcome}

    @property
    def broken(self) -> set[str]:
        return self.with_outcome(Outcome.BROKEN)

    @property
    def not_judged(self) -> set[str]:
        return self.with_outcome(Outcome.NOT_JUDGED)

    @property
    def holding(self) -> set[str]:
        return self.with_outcome(Outcome.HOLDS)


def judge(
    path: str,
    selected: Collection[str] = IN_PROCESS,
    *,
    stages: tuple[str, ...] = (),
    kind: str | None = None,
    augmented: bool = True,
    **arguments: Any,
) -> Results:
    """Judge the DataModule `path`, "module:name", by the selected rules; return their results."""
    assert ALL.issuperset(selected)
    source = DataModuleSource(path, tuple(arguments.items()), augmented)
    observations = Observations(source, stages, kind, frozenset(selected))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Results(
            (rule.name, rule.judge(observations)) for rule in rules() if rule.name in selected
        )


def judge_project(
    module: str,
    selected: Collection[str] = MODULE,
    *,
    data: str = f"{DATAMODULES}.pictures:EvenPictures",
    module_arguments: dict[str, Any] | None = None,
    **arguments: Any,
) -> Results:
    """Judge the LightningModule `module` with `data` by the selected rules; return the results."""
    assert (ALL | MODULE).issuperset(selected)
    project = Project(
        ModuleSource(module, tuple((module_arguments or {}).items())),
        DataModuleSource(data, tuple(arguments.items())),
    )
    names = frozenset(selected)
    observations = ProjectObservations(
        project, Observations(project.data, selected_rules=names), names
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Results(
            (rule.name, rule.judge(observations)) for rule in rules() if rule.name in selected
        )
