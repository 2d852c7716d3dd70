"""The observations that the rules ask for, each made once."""

from collections.abc import Callable
from typing import Any

import pytest
from pytorch_lightning import LightningDataModule

from datamodule_conformance.call_log import has
from datamodule_conformance.probe import Step
from datamodule_conformance.processes import observe_in_processes
from datamodule_conformance.scenario import LOADERS, Observation, Scenario, observe
from datamodule_conformance.source import DataModuleSource

PREPARED = 2
FAILS = "a plain fit fails"
UNREPEATABLE = "prepare_data can not run again"
UNSTEADY = "the same seed does not give the same batches"


class Observations:
    """What a DataModule does in one scenario after another."""

    def __init__(self, source: DataModuleSource) -> None:
        self.source = source
        kind = type(self.make())
        self.stages = tuple(stage for stage, name in LOADERS.items() if has(kind, _hook(name)))
        self._done: dict[tuple[str, Scenario], Any] = {}
        # First of all, before other scenarios leave their files: what any other rule presumes.
        self.obstacle = self._obstacle()

    def make(self) -> LightningDataModule:
        """A new DataModule."""
        return self.source.make(Scenario().seed)

    def observe(self, **changes: Any) -> Observation:
        """Of Scenario(**changes) in this process; its errors are raised each time."""
        return self._once(observe, Scenario(**changes))

    def observe_in_processes(self, **changes: Any) -> list[Observation]:
        """Of Scenario(**changes) in processes of its own, by rank."""
        return self._once(observe_in_processes, Scenario(**changes))

    def alone(self, stage: str) -> Observation:
        """A new object's `stage`, nothing before it; whether that runs is a rule of its own."""
        try:
            return self.observe(stages=(stage,))
        except Exception:
            pytest.skip(f"not judged: {stage} does not run alone")

    @property
    def plain(self) -> Observation:
        """The plain fit."""
        return self.observe()

    def _once(self, way: Callable[[DataModuleSource, Scenario], Any], scenario: Scenario) -> Any:
        key = way.__name__, scenario
        if key not in self._done:
            try:
                self._done[key] = way(self.source, scenario)
            except Exception as error:
                self._done[key] = error
        if isinstance(self._done[key], Exception):
            raise self._done[key]
        return self._done[key]

    def _obstacle(self) -> str | None:
        """Why most rules can't be judged, if so."""
        try:
            plain = self.plain
        except Exception:
            return FAILS
        try:
            again = self.observe(prepared=PREPARED)
        except Exception:
            return UNREPEATABLE
        if counts(plain.train) != counts(again.train):
            return UNREPEATABLE
        return UNSTEADY if difference(plain.train, again.train) else None


def counts(epochs: list[list[Step]]) -> list[int]:
    """Samples of each epoch."""
    return [len(epoch) for epoch in samples(epochs)]


def samples(epochs: list[list[Step]]) -> list[list[str]]:
    """The digests of each epoch's samples, in order."""
    return [[sample for step in epoch for sample in step.samples] for epoch in epochs]


def difference(one: list[list[Step]], other: list[list[Step]]) -> str | None:
    """Where two lists of epochs part and how, or None."""
    if len(one) != len(other):
        return f"{len(one)} epochs and {len(other)}"
    for epoch, (left, right) in enumerate(zip(one, other, strict=True)):
        steps = [[step.samples for step in steps] for steps in (left, right)]
        if steps[0] != steps[1]:
            return f"{_how(steps[0], steps[1])}, from {_where(epoch, steps[0], steps[1])} on"
    return None


def _how(one: list[tuple[str, ...]], other: list[tuple[str, ...]]) -> str:
    left, right = (sorted(sample for step in steps for sample in step) for steps in (one, other))
    if left == right:
        return "the same samples in another order"
    missing = len(set(left) - set(right))
    return f"{missing} of {len(left)} samples are not the same bit for bit"


def _where(epoch: int, one: list[tuple[str, ...]], other: list[tuple[str, ...]]) -> str:
    pairs = zip(one, other, strict=False)
    step = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
    return f"epoch {epoch}, step {step}"


def _hook(name: str) -> str:
    return f"{name}_dataloader"
