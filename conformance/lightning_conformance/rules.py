"""Rules: tests that explain, if they fail, what was seen, why it matters and how to fix it."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lightning_conformance.causes import RuleTest, root_cause
from lightning_conformance.messages import describe_error
from lightning_conformance.module.causes import root_cause as module_root_cause
from lightning_conformance.observations import (
    NotJudged,
    difference,
    repeatable_fit,
)
from lightning_conformance.probe import Epochs
from lightning_conformance.results import Outcome, RuleResult

MODULES = ("test_hooks", "test_shapes", "test_determinism")
"""Modules of the rules about a DataModule."""
PROJECT_MODULES = (
    "module.test_training", "module.test_checkpoints", "module.test_evaluation",
    "module.test_ranks", "module.test_devices",
)  # fmt: skip
"""Modules of the rules about a LightningModule and its fit."""
FOLLOWS = "follows from a broken rule: "
"""Start of the reason of a rule that is broken only because another rule is broken."""


class Broken(AssertionError):
    """The rule under test is broken. The text says what was seen."""


@dataclass(frozen=True)
class Rule:
    """One clause of the contract of a DataModule or of a LightningModule."""

    name: str
    why: str
    fix: str
    test: RuleTest
    requires: RuleTest | None
    """Raises NotJudged if the observations do not allow to judge the rule."""
    about_module: bool = False
    """Whether it is about the LightningModule and takes ProjectObservations."""

    @property
    def location(self) -> str:
        """Module and function of the test, as "test_hooks::test_a_plain_fit_runs"."""
        return f"{self.test.__module__.rpartition('.')[2]}::{self.test.__name__}"

    def evaluate(self, observations: Any) -> str | None:
        """Check the requirement, then run the test and return its remark. Errors are passed on.

        `observations` are Observations, or ProjectObservations, which contain those of the data.
        """
        if not self.about_module:
            observations = getattr(observations, "data", observations)
        if self.requires:
            self.requires(observations)
        return self.test(observations)

    def judge(self, observations: Any) -> RuleResult:
        """Evaluate the rule and return its result.

        A broken rule that another broken rule explains is returned as not judged.
        """
        try:
            remark = self.evaluate(observations)
        except NotJudged as unjudged:
            return RuleResult(self.name, Outcome.NOT_JUDGED, reason=str(unjudged))
        # A DataModule may raise anything. SystemExit would end the session.
        except (Exception, SystemExit) as error:
            seen = str(error) if isinstance(error, Broken) else describe_error(error)
        else:
            return RuleResult(self.name, Outcome.HOLDS, reason=remark or "")
        tests = {rule.name: rule.evaluate for rule in rules()}
        explain = module_root_cause if self.about_module else root_cause
        if cause := explain(self.name, observations, tests):
            return RuleResult(self.name, Outcome.NOT_JUDGED, reason=FOLLOWS + cause)
        return RuleResult(self.name, Outcome.BROKEN, seen, self.why, self.fix)


def expect(condition: bool, seen: str) -> None:
    """Raise Broken with the text `seen` unless `condition` is true."""
    if not condition:
        raise Broken(seen)


def expect_equal(scenarios: str, first: Epochs, second: Epochs) -> None:
    """Raise Broken, with the names of the two scenarios, if any batch differs."""
    if differs := difference(first, second):
        raise Broken(f"{scenarios}: {differs}")


def rule(
    why: str,
    fix: str,
    requires: RuleTest | None = repeatable_fit,
    about_module: bool = False,
) -> Callable[[RuleTest], RuleTest]:
    """Attach a Rule to the decorated test, as the test's attribute `rule`.

    The rule is named by the words of the test's name.
    `requires` is called before the test. By default, it raises NotJudged if no fit can be repeated.
    """

    def decorate(test: RuleTest) -> RuleTest:
        name = test.__name__.removeprefix("test_").replace("_", " ")
        test.rule = Rule(name, why, fix, test, requires, about_module)  # type: ignore[attr-defined]
        return test

    return decorate


def rules(about_module: bool = True) -> list[Rule]:
    """Return all rules in the order of their modules, or only those about a DataModule."""
    names = MODULES + PROJECT_MODULES if about_module else MODULES
    modules = [importlib.import_module(f"lightning_conformance.{name}") for name in names]
    return [
        value.rule
        for module in modules
        for value in vars(module).values()
        if isinstance(getattr(value, "rule", None), Rule) and value.__module__ == module.__name__
    ]
