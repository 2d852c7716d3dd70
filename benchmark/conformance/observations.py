"""The runs that the rules ask for, each done once."""

from collections.abc import Callable
from typing import Any

import pytest
from pytorch_lightning import LightningDataModule

from benchmark.conformance.journal import has
from benchmark.conformance.probe import Step
from benchmark.conformance.processes import conduct_apart
from benchmark.conformance.runs import LOADERS, Run, Seen, conduct
from benchmark.conformance.subject import Subject

PREPARED = 2
FAILS = "a plain fit fails"
UNREPEATABLE = "prepare_data can not run again"
UNSTEADY = "the same seed does not give the same batches"


class Trials:
    """What a DataModule does in one Run after another."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        kind = type(self.make())
        self.stages = tuple(stage for stage, name in LOADERS.items() if has(kind, _hook(name)))
        self._done: dict[tuple[str, Run], Any] = {}
        # First of all, before other runs leave their files: what any other rule presumes.
        self.unsound = self._unsound()

    def make(self) -> LightningDataModule:
        """A new DataModule."""
        return self.subject.make(Run().seed)

    def see(self, **changes: Any) -> Seen:
        """A Run with `changes` in this process. What the DataModule raises is raised each time."""
        return self._once(conduct, Run(**changes))

    def see_apart(self, **changes: Any) -> list[Seen]:
        """A Run with `changes` in processes of its own, by rank."""
        return self._once(conduct_apart, Run(**changes))

    def alone(self, stage: str) -> Seen:
        """A new object's `stage`, nothing before it; whether that runs is a rule of its own."""
        try:
            return self.see(stages=(stage,))
        except Exception:
            pytest.skip(f"not judged: {stage} does not run alone")

    @property
    def plain(self) -> Seen:
        """The plain fit."""
        return self.see()

    def _once(self, way: Callable[[Subject, Run], Any], run: Run) -> Any:
        key = way.__name__, run
        if key not in self._done:
            try:
                self._done[key] = way(self.subject, run)
            except Exception as error:
                self._done[key] = error
        if isinstance(self._done[key], Exception):
            raise self._done[key]
        return self._done[key]

    def _unsound(self) -> str | None:
        """Why most rules can't be judged, if so."""
        try:
            plain = self.plain
        except Exception:
            return FAILS
        try:
            again = self.see(prepared=PREPARED)
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
