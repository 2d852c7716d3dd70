"""Observations of a project: run the scenarios that the rules request, each only once."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from lightning_conformance.module.checkpoint_run import observe_trained
from lightning_conformance.module.fit import FitObservation, FitScenario, observe_fit
from lightning_conformance.module.source import Project
from lightning_conformance.observations import NOT_REPRODUCIBLE, NotJudged, Observations
from lightning_conformance.processes import observe_in_processes
from lightning_conformance.signals import raise_if_received

MODULE_FAILS = "a fit of the module fails"
NOT_REPEATABLE = "the same seed does not give the same weights"


class ProjectObservations:
    """Runs a project in any scenario, each in new processes, and caches what was observed.

    Args:
        project: makes new modules and DataModules.
        data: observations of the DataModule alone. Most rules of a module require that its batches
            can be repeated.
        selected_rules: names of the rules to judge; None: all.
    """

    def __init__(
        self, project: Project, data: Observations, selected_rules: frozenset[str] | None = None
    ) -> None:
        self.project = project
        self.data = data
        self.selected_rules = selected_rules
        self._results: dict[tuple[str, FitScenario], list[Any] | Exception] = {}

    @cached_property
    def obstacle(self) -> str | None:
        """The reason why rules about a fit can't be judged, or None. Runs a fit."""
        if self.data.obstacle not in (None, NOT_REPRODUCIBLE):
            return self.data.obstacle
        try:
            self.observe()
        except Exception:
            return MODULE_FAILS
        return None

    def observe(self, **changes: Any) -> FitObservation:
        """Run FitScenario(**changes) in a new process once; return its observation, or raise."""
        observation: FitObservation = self.observe_by(observe_fit, **changes)[0]
        return observation

    def observe_by(
        self, function: Callable[[Project, FitScenario], Any], **changes: Any
    ) -> list[Any]:
        """Call `function` with FitScenario(**changes) in new processes once.

        Return what it returned on each rank, or raise.
        """
        result = self._result(function, FitScenario(**{"logger": self.needs_logger} | changes))
        if isinstance(result, Exception):
            raise result
        return result

    @cached_property
    def needs_logger(self) -> bool:
        """Whether the module fits with a logger alone: Lightning's Trainer has one by default."""
        if not isinstance(self._result(observe_fit, FitScenario()), Exception):
            return False
        return not isinstance(self._result(observe_fit, FitScenario(logger=True)), Exception)

    def _result(
        self, function: Callable[[Project, FitScenario], Any], scenario: FitScenario
    ) -> list[Any] | Exception:
        key = function.__name__, scenario
        if key not in self._results:
            self._results[key] = self._run(function, scenario)
        return self._results[key]

    @property
    def repetition(self) -> FitObservation:
        """The observation of the default fit in another new process."""
        observation: FitObservation = self.observe_by(observe_trained)[0].fit
        return observation

    def _run(
        self, function: Callable[[Project, FitScenario], Any], scenario: FitScenario
    ) -> list[Any] | Exception:
        try:
            return observe_in_processes(self.project, scenario, function)
        except Exception as error:
            return error
        finally:
            raise_if_received()


def difference(first: FitObservation, second: FitObservation) -> str | None:
    """Describe the first difference between two fits; None if equal.

    Batches are compared first, then losses, weights, and the states of optimizers and schedulers.
    """
    if first.batches != second.batches:
        return "the training batches differ"
    steps = max(len(first.losses), len(second.losses))
    for step, losses in enumerate(zip(first.losses, second.losses, strict=False), start=1):
        if losses[0] != losses[1]:
            return f"the losses differ from step {step} of {steps} on"
    if len(first.losses) != len(second.losses):
        return f"{len(first.losses)} steps and {len(second.losses)}"
    names = [name for name, value in first.weights.items() if second.weights.get(name) != value]
    if names:
        return f"{len(names)} of {len(first.weights)} tensors of the weights differ: {names[0]}"
    for part in ("optimizers", "schedulers"):
        if getattr(first, part) != getattr(second, part):
            return f"the state of the {part} differs"
    return None


def running_module(project: ProjectObservations) -> None:
    """Raise NotJudged if no fit of the module runs: requirement of rules about a single fit."""
    if project.obstacle:
        raise NotJudged(project.obstacle)


def repeatable_module(project: ProjectObservations) -> None:
    """Raise NotJudged if fits of the module differ anyway: requirement of rules that compare."""
    running_module(project)
    if project.data.obstacle:
        raise NotJudged(project.data.obstacle)
    if difference(project.observe(), project.repetition):
        raise NotJudged(NOT_REPEATABLE)
