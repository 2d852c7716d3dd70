"""The observations that the rules ask for, each made once."""

import contextlib
import inspect
import traceback
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import Any

import pytest
from pytorch_lightning import LightningDataModule

from datamodule_conformance.call_log import has
from datamodule_conformance.probe import Layout, Step
from datamodule_conformance.processes import observe_in_processes
from datamodule_conformance.scenario import LOADERS, Observation, Scenario, observe
from datamodule_conformance.source import DataModuleSource

MOST_DIMENSIONS = 64
"""Of a tensor, in torch."""
REFUSALS = ("AssertionError", "MisconfigurationException", "NotImplementedError")
"""What a loader hook raises to say that the object has no such data."""
PREPARED = 2
NO_FIT = "it has no train_dataloader"
FAILS = "a plain fit fails"
UNREPEATABLE = "prepare_data can not run again"
UNSTEADY = "the same seed does not give the same batches"
OPAQUE = "no tensor, text or number was found in a training batch"


class Observations:
    """What a DataModule does in one scenario after another.

    Args:
        stages: those to judge; else all that work.
        kind: what its batches are; else what they look like.
        steady: with draws from the global generators that are the same wherever these are.
    """

    def __init__(
        self,
        source: DataModuleSource,
        stages: tuple[str, ...] = (),
        kind: str | None = None,
        steady: bool = False,
    ) -> None:
        self.source = source
        self.chosen = stages
        self._kind = kind
        self.asked: frozenset[str] | None = None
        """The rules that are to be judged, by name; None: all."""
        without = bool(stages) and "validate" not in stages
        self._options: dict[str, Any] = {"steady": steady}
        self._trainer = (("limit_val_batches", 0),) if without else ()
        self._done: dict[tuple[str, Scenario], Any] = {}
        # First of all, before other scenarios leave their files: what any other rule presumes.
        self.obstacle = self._obstacle()

    def make(self) -> LightningDataModule:
        """A new DataModule."""
        return self.source.make(Scenario().seed)

    @cached_property
    def steady(self) -> "Observations":
        """The same where draws from the global generators are steady."""
        return Observations(self.source, self.stages, self._kind, steady=True)

    @cached_property
    def kind(self) -> str:
        """What its batches are."""
        steps = [step for epoch in self.plain.train for step in epoch]
        if self._kind:
            return self._kind
        if any(step.graph for step in steps):
            return "graphs"
        if any(step.images for step in steps):
            return "images"
        fixed, padded = ({layout(step, kind) for step in steps} for kind in ("table", "sequences"))
        return "sequences" if len(padded) == 1 < len(fixed) else "table"

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """Those that work, alone or after a fit; fit first."""
        there = [stage for stage in self._expected if stage == "fit" or self._works(stage)]
        return tuple(there)

    @cached_property
    def failing(self) -> tuple[str, ...]:
        """Those that should work and never do: they were chosen, or the class has their loader.

        One that is inherited and does not work is another class's; a hook that refuses has none.
        """
        own = vars(type(self.make()))
        missing = [stage for stage in self._expected if stage not in self.stages]
        return tuple(
            stage for stage in missing
            if self.chosen or (_hook(stage) in own and not self._refuses(stage))
        )  # fmt: skip

    @property
    def validates(self) -> bool:
        """Whether a fit asks for the validation loader."""
        return "validate" in self._expected

    @cached_property
    def _expected(self) -> list[str]:
        data = self.make()
        return [name for name in self.chosen or LOADERS if has(data, _hook(name))]

    def observe(self, **changes: Any) -> Observation:
        """Of Scenario(**changes) in this process; its errors are raised each time."""
        return self._once(observe, changes)

    def observe_in_processes(self, **changes: Any) -> list[Observation]:
        """Of Scenario(**changes) in processes of its own, by rank."""
        return self._once(observe_in_processes, changes)

    def shown(self, stage: str) -> Observation:
        """A new object's `stage`, alone or, where that does not run, after a fit."""
        with contextlib.suppress(Exception):
            if (seen := self.observe(stages=(stage,))).passes.get(stage):
                return seen
        return self.observe(stages=("fit", stage))

    def alone(self, stage: str) -> Observation:
        """A new object's `stage`, nothing before it; whether that runs is a rule of its own."""
        try:
            seen = self.observe(stages=(stage,))
        except Exception:
            pytest.skip(f"not judged: {stage} does not run alone")
        if not seen.passes.get(stage):
            pytest.skip(f"not judged: {stage} alone is shown no batch")
        return seen

    @property
    def plain(self) -> Observation:
        """The plain fit."""
        return self.observe()

    @property
    def together(self) -> Observation:
        """All stages, one after the other, of one object."""
        return self.observe(stages=self.stages, reads=True)

    def _once(
        self, way: Callable[[DataModuleSource, Scenario], Any], changes: dict[str, Any]
    ) -> Any:
        options = self._trainer + changes.get("trainer", ())
        scenario = Scenario(**self._options | changes | {"trainer": options})
        key = way.__name__, scenario
        if key not in self._done:
            try:
                self._done[key] = way(self.source, scenario)
            except Exception as error:
                self._done[key] = error
        if isinstance(self._done[key], Exception):
            raise self._done[key]
        return self._done[key]

    def _works(self, stage: str) -> bool:
        """Whether it is shown a batch."""
        for stages in ((stage,), ("fit", stage)):
            with contextlib.suppress(Exception):
                return bool(self.observe(stages=stages).passes.get(stage))
        return False

    def _refuses(self, stage: str) -> bool:
        """Whether its loader hook says, even after a fit, that there is none."""
        try:
            self.observe(stages=("fit", stage))
        except Exception as error:
            raised_in = traceback.extract_tb(error.__traceback__)[-1].name
            return type(error).__name__ in REFUSALS and raised_in == _hook(stage)
        return False

    def _obstacle(self) -> str | None:
        """Why most rules can't be judged, if so."""
        if "fit" not in self._expected:
            return NO_FIT
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
        if any(step.digest is None for epoch in plain.train for step in epoch):
            return OPAQUE
        return UNSTEADY if difference(plain.train, again.train) else None


def require_judgeable(observations: Observations) -> None:
    """Skip a rule that presumes a fit which can be repeated; other rules say what is wrong."""
    if observations.obstacle:
        pytest.skip(f"not judged: {observations.obstacle}")


def require_running(observations: Observations) -> None:
    """Skip a rule that presumes a fit which runs, and is about none but that one."""
    if observations.obstacle != UNSTEADY:
        require_judgeable(observations)


REQUIREMENTS = {"judgeable": require_judgeable, "running": require_running}
"""By a test's argument: what it requires of the observations."""


def require(test: Callable[..., None], observations: Observations) -> None:
    """Skip a rule whose test presumes more than there is."""
    for name in inspect.signature(test).parameters.keys() & REQUIREMENTS:
        REQUIREMENTS[name](observations)


def counts(epochs: list[list[Step]]) -> list[int]:
    """Samples of each epoch."""
    return [sum(step.size for step in epoch) for epoch in epochs]


def samples(epochs: list[list[Step]]) -> list[list[str]]:
    """The digests of each epoch's samples, in order.

    Rows of batches where all are alike; where a row depends on its batch, by padding or as the
    nodes of graphs do, the samples as the dataset gave them.
    """
    steps = [step for epoch in epochs for step in epoch]
    uneven = any(len(set(step.lengths)) != 1 or step.graph for step in steps)
    uneven = uneven or len({step.layout for step in steps}) > 1
    given = uneven and all(step.given is not None for step in steps)
    return [
        [sample for step in epoch for sample in ((given and step.given) or step.rows)]
        for epoch in epochs
    ]


def layout(step: Step, kind: str) -> tuple[Layout, ...]:
    """What batches of a `kind` have in common: sequences are of any length, graphs of any size."""
    free = {"sequences": 1, "graphs": MOST_DIMENSIONS}.get(kind, 0)
    shapes = [((None,) * free + part.shape[free:])[: len(part.shape)] for part in step.layout]
    parts = zip(step.layout, shapes, strict=True)
    return tuple(part._replace(shape=shape) for part, shape in parts)


def difference(one: list[list[Step]], other: list[list[Step]]) -> str | None:
    """Where two lists of epochs part and how, or None."""
    if len(one) != len(other):
        return f"{len(one)} epochs and {len(other)}"
    for epoch, (left, right) in enumerate(zip(one, other, strict=True)):
        batches = [[step.digest for step in steps] for steps in (left, right)]
        if batches[0] != batches[1]:
            place = next(
                (i for i, pair in enumerate(zip(*batches, strict=False)) if pair[0] != pair[1]),
                min(map(len, batches)),
            )
            return f"{_how(left, right)}, from epoch {epoch}, step {place} on"
    return None


def _how(one: list[Step], other: list[Step]) -> str:
    left, right = map(Counter, samples([one, other]))
    if left == right:
        return "the same samples in another order"
    missing = (left - right).total()  # one that is shown twice may be shown once
    return f"{missing} of {left.total()} samples are not the same bit for bit"


def _hook(stage: str) -> str:
    return f"{LOADERS[stage]}_dataloader"
