"""A run of evaluations: each stage twice, and once more with smaller batches."""

import contextlib
import pickle
from dataclasses import dataclass, field
from typing import Any

import torch

from lightning_conformance import loaders
from lightning_conformance.messages import describe_error
from lightning_conformance.module.evaluation import STEPS, evaluate, evaluates, use_first_batches
from lightning_conformance.module.fit import FitRun, FitScenario, prepared_project
from lightning_conformance.module.replay import Recorded, batch_recorder, replay
from lightning_conformance.module.rows import NotRowsError, row_count, split
from lightning_conformance.module.source import Project
from lightning_conformance.module.step_log import StepLog
from lightning_conformance.scenario import LOADERS

ONE_EPOCH = (("max_epochs", 1),)
"""Options of the Trainer that fits before the evaluations."""
DOUBLE = "64-true"
"""Lightning's name of float64, in which rounding is negligible."""


@dataclass
class StageRun:
    """The evaluations of one stage."""

    first: dict[str, float]
    """What the first evaluation logged."""
    second: dict[str, float]
    """What the second one logged, over the same batches."""
    log: StepLog
    """What the steps of a third one did."""
    whole: StepLog | None = None
    """An evaluation in float64."""
    split: StepLog | None = None
    """The same with smaller batches."""
    obstacle: str = ""
    """Why no batch size can be compared."""


@dataclass
class EvaluationRun:
    """What the evaluations after a fit of one epoch observed."""

    stages: dict[str, StageRun] = field(default_factory=dict)
    """By stage: its evaluations; without those that fail."""


def observe_evaluation(project: Project, scenario: FitScenario) -> EvaluationRun:
    """Fit, then evaluate each stage several times."""
    with prepared_project(project, scenario) as folder:
        run, observed = FitRun(project, scenario, folder), EvaluationRun()
        run.fit()
        recordings: dict[str, Recorded] = {}
        sizes: dict[str, int | None] = {}
        metrics: dict[str, dict[str, float]] = {}
        for stage in filter(lambda stage: evaluates(run, stage), STEPS):
            recorded: Recorded = []
            use_first_batches(run)
            run.trainer.callbacks.append(batch_recorder(run.package, recorded))
            with contextlib.suppress(Exception):
                metrics[stage] = evaluate(run, stage)
                recordings[stage] = recorded
                sizes[stage] = _batch_size(run, stage)
        for stage, recorded in recordings.items():
            replay(run.data, run.module, stage, recorded)
            run.trainer = run.make_trainer()
            second = evaluate(run, stage)
            log = _log_evaluation(run, stage, recorded)
            observed.stages[stage] = StageRun(metrics[stage], second, log)
        torch.set_default_dtype(torch.float64)
        for stage, recorded in recordings.items():  # at last: it converts the weights
            _compare_batch_sizes(run, stage, recorded, sizes.get(stage), observed.stages[stage])
        return observed


def _batch_size(run: FitRun, stage: str) -> int | None:
    """Return the batch size of the stage's loaders.

    None if they have none in common, or if a batch of one sample is not one row: the first
    dimension may be time.
    """
    used = loaders.flatten(getattr(run.trainer, f"{LOADERS[stage]}_dataloaders"))
    sizes = set()
    for loader in used:
        (index,) = loaders.sampler_order(loader, limit=1) or [None]
        get_batch = getattr(loader.dataset, "__getitems__", None)
        samples = get_batch([index]) if get_batch else [loader.dataset[index]]
        if row_count(loader.collate_fn(samples)) != 1:
            return None
        sizes.add(loader.batch_sampler.batch_size)
    return sizes.pop() if len(sizes) == 1 else None


def _log_evaluation(run: FitRun, stage: str, recorded: Recorded, **options: Any) -> StepLog:
    """Evaluate the recorded batches with a new Trainer, and return what the steps did."""
    replay(run.data, run.module, stage, recorded)
    # In inference mode a log would see softmax and dropout, not the operators that these call.
    run.trainer = run.make_trainer(inference_mode=False, **options)
    log = StepLog([row_count(pickle.loads(batch)) for batches in recorded for batch in batches])
    with log.watching(run.module, STEPS[stage]):
        log.metrics = evaluate(run, stage)
    return log


def _compare_batch_sizes(
    run: FitRun, stage: str, recorded: Recorded, batch_size: int | None, observed: StageRun
) -> None:
    """Evaluate the batches in float64, whole and split. Write down why if that is impossible."""
    try:
        smaller = _split(recorded, batch_size)
    except NotRowsError as error:
        observed.obstacle = f"the batches of {stage} can't be split: {error}"
        return
    try:
        observed.whole = _log_evaluation(run, stage, recorded, precision=DOUBLE)
        observed.split = _log_evaluation(run, stage, smaller, precision=DOUBLE)
    except Exception as error:
        count = "smaller batches" if observed.whole else "float64"
        observed.obstacle = f"{STEPS[stage]} fails with {count}: {describe_error(error)}"


def _split(recorded: Recorded, batch_size: int | None) -> Recorded:
    """Split each recorded batch.

    Raises:
        NotRowsError: a batch is not made of one row for each sample, or this is unknown.
    """
    smaller: Recorded = []
    for pickled in recorded:
        batches = [pickle.loads(batch) for batch in pickled]
        samples = [row_count(batch) for batch in batches]
        if batch_size is None or {batch_size, *samples[:-1]} != {batch_size}:
            raise NotRowsError("its number of samples is unknown")
        if not 0 < samples[-1] <= batch_size:
            raise NotRowsError("its number of samples is unknown")
        parts = [
            part
            for batch, count in zip(batches, samples, strict=True)
            for part in split(batch, count)
        ]
        smaller.append([pickle.dumps(part) for part in parts])
    return smaller
