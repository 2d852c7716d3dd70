"""Observations: run the scenarios that the rules request, each only once."""

import contextlib
import gc
import itertools
import traceback
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import Any

from pytorch_lightning import LightningDataModule

from lightning_conformance.call_log import overrides
from lightning_conformance.messages import describe_error
from lightning_conformance.probe import BatchRecord, Epochs, Layout
from lightning_conformance.processes import observe_in_processes
from lightning_conformance.scenario import LOADERS, Observation, Scenario, observe
from lightning_conformance.signals import raise_if_received
from lightning_conformance.source import DataModuleSource

MAX_DIMENSIONS = 64
"""Dimensions that a tensor can have in torch."""
REFUSALS = ("AssertionError", "MisconfigurationException", "NotImplementedError")
"""Names of exceptions that a loader hook raises if the DataModule has no data for its stage."""
DATA_WORDS = (
    "csv", "data", "df", "dir", "ds", "file", "folder", "frame", "image", "input", "json", "list",
    "manifest", "parquet", "path", "root", "set", "source", "text", "url",
)  # fmt: skip
"""Words that begin so say, in the name of an argument, that it names data."""
PRIOR_PREPARES = 2
"""How many other objects run prepare_data before a fit that tests whether it can run again."""
NO_FIT = "it has no train_dataloader"
NO_TRAINING_DATA = "it was given no training data, see its arguments"
FIT_FAILS = "a plain fit fails"
PREPARE_FAILS = "prepare_data can not run again"
NOT_REPRODUCIBLE = "the same seed does not give the same batches"
NO_CONTENT = "a training batch contains no tensor, string or number"


class NotJudged(Exception):
    """A rule can't be judged on this DataModule. The text is the reason."""


class Observations:
    """Runs a DataModule in any scenario, and caches what was observed.

    Args:
        source: makes new DataModules.
        stages: the stages to judge; empty: all that work.
        kind: the kind of its batches, see `Observations.kind`; None: detect it.
        selected_rules: names of the rules to judge; None: all.
        reseeded: reseed all draws, see `Scenario.reseeded`.
    """

    def __init__(
        self,
        source: DataModuleSource,
        stages: tuple[str, ...] = (),
        kind: str | None = None,
        selected_rules: frozenset[str] | None = None,
        reseeded: bool = False,
    ) -> None:
        self.source = source
        self.requested_stages = stages
        self._kind = kind
        self.selected_rules = selected_rules
        self._options: dict[str, Any] = {"reseeded": reseeded}
        without_validation = bool(stages) and "validate" not in stages
        self._trainer = (("limit_val_batches", 0),) if without_validation else ()
        self._results: dict[tuple[str, Scenario], Any] = {}
        if not gc.get_freeze_count():
            # Each scenario collects its DataModule. Looking at all of torch's objects takes 0.2 s.
            gc.collect()
            gc.freeze()

    def make(self) -> LightningDataModule:
        """Return a new DataModule."""
        return self.source.make(Scenario().seed)

    @cached_property
    def obstacle(self) -> str | None:
        """The reason why most rules can't be judged, or None. Runs two fits.

        Requirements of rules read this first: files of other scenarios may hide an obstacle.
        """
        if "fit" not in self.candidate_stages:
            return NO_FIT
        try:
            default_fit = self.default_fit
        except Exception as error:
            absent = not self.requested_stages and self._missing_argument("fit", error)
            return NO_TRAINING_DATA if absent else FIT_FAILS
        try:
            prepared = self.observe(prior_prepares=PRIOR_PREPARES)
        except Exception:
            return PREPARE_FAILS
        if sample_counts(default_fit.train) != sample_counts(prepared.train):
            return PREPARE_FAILS
        if any(step.digest is None for epoch in default_fit.train for step in epoch):
            return NO_CONTENT
        return NOT_REPRODUCIBLE if difference(default_fit.train, prepared.train) else None

    @cached_property
    def reseeded(self) -> "Observations":
        """Observations of the same DataModule with all draws reseeded."""
        return Observations(self.source, self.stages, self._kind, reseeded=True)

    @cached_property
    def kind(self) -> str:
        """The kind of the batches: "images", "sequences", "graphs" or "table"."""
        if self._kind:
            return self._kind
        steps = [step for epoch in self.default_fit.train for step in epoch]
        if any(step.graph for step in steps):
            return "graphs"
        if any(step.images for step in steps):
            return "images"
        fixed, padded = (
            {batch_layout(step, kind) for step in steps} for kind in ("table", "sequences")
        )
        return "sequences" if len(padded) == 1 < len(fixed) else "table"

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """Fit, and then the evaluation stages that get a batch, alone or after a fit."""
        return tuple(
            stage for stage in self.candidate_stages if stage == "fit" or self._works(stage)
        )

    @cached_property
    def absent_stages(self) -> dict[str, str]:
        """By stage that does not work and need not: the reason.

        A requested stage should work. Otherwise, a stage should work if the class itself defines
        its loader hook, the hook does not raise one of REFUSALS, and its data were given.
        """
        if self.requested_stages:
            return {}
        reasons = {
            stage: self._excuse(stage)
            for stage in self.candidate_stages if stage not in self.stages
        }  # fmt: skip
        return {stage: reason for stage, reason in reasons.items() if reason}

    @cached_property
    def candidate_stages(self) -> list[str]:
        """The requested stages (by default all) whose loader hook is overridden."""
        data = self.make()
        return [name for name in self.requested_stages or LOADERS if overrides(data, _hook(name))]

    def observe(self, **changes: Any) -> Observation:
        """Run Scenario(**changes) in this process once; return its observation, or raise."""
        return self._run_once(observe, changes)

    def observe_in_processes(self, **changes: Any) -> list[Observation]:
        """Run Scenario(**changes) in new processes once; return one observation per rank."""
        return self._run_once(observe_in_processes, changes)

    def stage_or_after_fit(self, stage: str) -> Observation:
        """Observe a new DataModule in `stage` alone, or after a fit if that gets no batch."""
        with contextlib.suppress(Exception):
            if (observation := self.observe(stages=(stage,))).passes.get(stage):
                return observation
        return self.observe(stages=("fit", stage))

    def single_stage(self, stage: str) -> Observation:
        """Observe a new DataModule in `stage` alone.

        Raises:
            NotJudged: it fails or gets no batch; the rule "each stage runs alone" reports that.
        """
        try:
            observation = self.observe(stages=(stage,))
        except Exception as error:
            raise NotJudged(f"{stage} does not run alone") from error
        if not observation.passes.get(stage):
            raise NotJudged(f"{stage} alone gets no batch")
        return observation

    def labels(self, passes: Epochs) -> list[int]:
        """Return the labels of the passes, in order; none if they are positions in the batch."""
        train = [step.labels for steps in self.default_fit.train for step in steps]
        if are_positions([labels.tolist() for labels in train if labels is not None]):
            return []
        labels = [step.labels for steps in passes for step in steps if step.labels is not None]
        return [label for batch in labels for label in batch.tolist()]

    @property
    def default_fit(self) -> Observation:
        """The observation of a fit with default options."""
        return self.observe()

    @property
    def all_stages(self) -> Observation:
        """The observation of one DataModule that runs all stages, one after the other."""
        return self.observe(stages=self.stages, read_samples=True)

    def _run_once(
        self, function: Callable[[DataModuleSource, Scenario], Any], changes: dict[str, Any]
    ) -> Any:
        """Call `function` with the changed scenario, or return (raise) what its first call did."""
        trainer = self._trainer + changes.get("trainer", ())
        scenario = Scenario(**self._options | changes | {"trainer": trainer})
        key = function.__name__, scenario
        if key not in self._results:
            try:
                self._results[key] = function(self.source, scenario)
            except Exception as error:
                _forget_locals(error)
                self._results[key] = error
            except SystemExit as error:  # of a hook, or Lightning's after a signal
                seen = RuntimeError(f"SystemExit: {error}").with_traceback(error.__traceback__)
                self._results[key] = seen
            raise_if_received()
        if isinstance(self._results[key], Exception):
            raise self._results[key]
        return self._results[key]

    def _works(self, stage: str) -> bool:
        """Return whether the stage gets a batch, alone or, if that raises, after a fit."""
        for stages in ((stage,), ("fit", stage)):
            with contextlib.suppress(Exception):
                return bool(self.observe(stages=stages).passes.get(stage))
        return False

    def _excuse(self, stage: str) -> str | None:
        """Return why `stage`, which does not work, need not work; None if it should."""
        errors = [self._error(stage), self._error("fit", stage)]
        if None in errors:
            return None if any(errors) else "it gets no batch"
        error = errors[1]
        assert error is not None
        seen = describe_error(error)
        raised_in = traceback.extract_tb(error.__traceback__)[-1].name
        if type(error).__name__ in REFUSALS and raised_in == _hook(stage):
            return f"its loader hook refuses: {seen}"
        if argument := self._missing_argument(stage, error):
            return f"its argument {argument} gives no data: {seen}"
        if _hook(stage) not in vars(type(self.make())):
            return f"its loader hook is inherited and never works: {seen}"
        return None

    def _error(self, *stages: str) -> Exception | None:
        """Return the error of a run of the stages, or None."""
        try:
            self.observe(stages=stages)
        except Exception as error:
            return error
        return None

    def _missing_argument(self, stage: str, error: Exception) -> str | None:
        """Return the argument for the data of `stage` that is None or a path that does not exist.

        Its name consists of the stage's name and of DATA_WORDS, as test_path or val_files.
        """
        for name, value in self.source.all_arguments().items():
            words = name.lower().split("_")
            rest = [word for word in words if not word.startswith(LOADERS[stage][:4])]
            if len(rest) < len(words) and all(word.startswith(DATA_WORDS) for word in rest):
                missing = isinstance(error, FileNotFoundError) and str(value) in str(error.filename)
                if value is None or missing:
                    return f"{name}={value!r}"
        return None


def _forget_locals(error: BaseException | None) -> None:
    """Clear the frames of the error and of its causes: their variables hold the DataModule."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def repeatable_fit(observations: Observations) -> None:
    """Raise NotJudged if a fit can't be repeated: requirement of rules that compare fits."""
    if observations.obstacle:
        raise NotJudged(observations.obstacle)


def running_fit(observations: Observations) -> None:
    """Raise NotJudged if no fit runs: requirement of rules about a single fit."""
    if observations.obstacle != NOT_REPRODUCIBLE:
        repeatable_fit(observations)


def sample_counts(epochs: Epochs) -> list[int]:
    """Return the number of samples in each epoch."""
    return [sum(step.size for step in epoch) for epoch in epochs]


def sample_digests(epochs: Epochs) -> list[list[str]]:
    """Return the digests of each epoch's samples, in order.

    Usually a sample is a row of a batch. If rows depend on their batch (padding, nodes of graphs),
    a sample is what the dataset returned, if this was recorded.
    """
    steps = [step for epoch in epochs for step in epoch]
    uneven = any(len(set(step.lengths)) != 1 or step.graph for step in steps)
    uneven = uneven or len({step.layout for step in steps}) > 1
    use_samples = uneven and all(step.samples is not None for step in steps)
    return [
        [sample for step in epoch for sample in ((use_samples and step.samples) or step.rows)]
        for epoch in epochs
    ]


def are_positions(batches: list[list[int]]) -> bool:
    """Return whether the labels of some batches number the members of each batch.

    Contrastive losses label the members 0, 1, 2, ... or each with the position of its partner. Such
    labels are the same in all batches of one size, and each occurs equally often in a batch.
    """
    largest = max(batches, key=len, default=[])
    by_size: dict[int, list[int]] = {}
    return len(batches) > 1 and len(set(largest)) > 1 and all(
        labels == by_size.setdefault(len(labels), labels)
        and set(labels) <= set(largest)
        and len(set(Counter(labels).values())) == 1
        for labels in batches
    )  # fmt: skip


def batch_layout(step: BatchRecord, kind: str) -> tuple[Layout, ...]:
    """Return the layout of a batch, with None for dimensions that may vary between batches.

    These are the lengths of "sequences", and all dimensions of "graphs".
    """
    free = {"sequences": 1, "graphs": MAX_DIMENSIONS}.get(kind, 0)
    return tuple(
        part._replace(shape=((None,) * free + part.shape[free:])[: len(part.shape)])
        for part in step.layout
    )


def difference(first: Epochs, second: Epochs) -> str | None:
    """Describe the first difference between two lists of epochs; None if all batches are equal."""
    if len(first) != len(second):
        return f"{len(first)} epochs and {len(second)}"
    for epoch, (left, right) in enumerate(zip(first, second, strict=True)):
        digests = ([step.digest for step in steps] for steps in (left, right))
        pairs = itertools.zip_longest(*digests, fillvalue="no such step")
        step = next((number for number, (one, two) in enumerate(pairs) if one != two), None)
        if step is None:
            continue
        counts, other_counts = map(Counter, sample_digests([left, right]))
        text = "the same samples in another order"
        if counts.total() != other_counts.total():
            text = f"{counts.total()} samples and {other_counts.total()}"
        elif counts != other_counts:
            missing = (counts - other_counts).total()  # with multiplicity
            text = f"{missing} of {counts.total()} samples are not the same bit for bit"
        return f"{text}, from epoch {epoch}, step {step} on"
    return None


def _hook(stage: str) -> str:
    return f"{LOADERS[stage]}_dataloader"
