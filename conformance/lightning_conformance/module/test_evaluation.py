"""Rules: an evaluation depends on the weights and the samples alone."""

import math
import re

import torch

from lightning_conformance.module.evaluation import STEPS
from lightning_conformance.module.evaluation_run import (
    ONE_EPOCH,
    StageRun,
    observe_evaluation,
)
from lightning_conformance.module.observations import ProjectObservations, running_module
from lightning_conformance.module.rules import module_rule
from lightning_conformance.module.step_log import StepLog, common
from lightning_conformance.observations import NotJudged
from lightning_conformance.rules import Broken, expect

ROUNDING = 1e-5
"""Relative difference that rounding may cause: metrics may be added up in float32."""
SPEED = re.compile(
    r"time|sec|fps|speed|throughput|memory|latency|elapsed|duration|[_/]ms$", re.IGNORECASE
)
"""Names of what differs each time: time and memory."""


def evaluated_module(project: ProjectObservations) -> None:
    """Raise NotJudged if no evaluation runs: requirement of the rules about evaluation."""
    running_module(project)
    try:
        stages = _stages(project)
    except Exception as error:
        raise NotJudged("evaluating after a fit fails") from error
    if not stages:
        raise NotJudged("no validation, test or predict runs")


@module_rule(
    why="Predictions would depend on chance, or on the other samples of the batch.",
    fix="Leave modes to Lightning: call no train() in evaluation. Register all layers "
    "(nn.ModuleList instead of a list). Pass training=self.training to functional.dropout, and "
    "dropout_p=0.0 to attention unless self.training.",
    requires=evaluated_module,
)
def test_evaluation_is_without_dropout_and_batch_statistics(project: ProjectObservations) -> None:
    for stage, run in _stages(project).items():
        layers, lines = run.log.training, run.log.dropout
        expect(not layers, f"{STEPS[stage]} runs {', '.join(layers[:5])} in training mode")
        expect(not lines, f"{STEPS[stage]} draws a mask of dropout: {'; '.join(lines[:5])}")


@module_rule(
    why="Two checkpoints can't be compared by a metric that differs for one of them.",
    fix="Reset in on_validation_epoch_start (on_test_epoch_start) what steps add up, or log a "
    "torchmetrics object. Change no weights and buffers in evaluation.",
    requires=evaluated_module,
)
def test_the_same_evaluation_twice_gives_the_same_metrics(project: ProjectObservations) -> None:
    """Evaluates the same batches. A step that draws random numbers on purpose is not judged."""
    for stage, run in _stages(project).items():
        for name in _differing(run.first, run.second):
            values = f"{run.first[name]:.6g} and {run.second[name]:.6g}"
            if run.log.draws and not run.log.dropout:
                line = run.log.draws[0]
                raise NotJudged(f"{name}: {values}; {STEPS[stage]} draws random numbers: {line}")
            raise Broken(f"{name}: {values} over the same batches")
    if not any(run.first for run in _stages(project).values()):
        raise NotJudged("no metric is logged")


@module_rule(
    why="The batch size depends on the machine and must not change predictions and metrics.",
    fix="Log in the step: self.log(name, mean, batch_size=len(batch)). Lightning then weights each "
    "batch; do not average values of batches yourself. A metric that is no mean over samples (F1, "
    "AUC, perplexity): log a torchmetrics object. Let no layer mix the samples of a batch: no "
    "softmax over dim=0, and batch_first=True for attention and RNNs.",
    requires=evaluated_module,
)
def test_evaluation_does_not_depend_on_the_batch_size(project: ProjectObservations) -> None:
    """Evaluates the same samples in float64, in the loader's batches and in smaller ones."""
    stages, reasons, judged = _stages(project), [], False
    for stage, run in stages.items():
        if run.whole is None or run.split is None:
            reasons.append(run.obstacle)
            continue
        if reason := _judge(stage, run, run.whole, run.split):
            raise NotJudged(reason)
        judged = True
    if not judged:
        raise NotJudged(reasons[0])


def _stages(project: ProjectObservations) -> dict[str, StageRun]:
    (run,) = project.observe_by(observe_evaluation, trainer=ONE_EPOCH)
    stages: dict[str, StageRun] = run.stages
    return stages


def _judge(stage: str, run: StageRun, whole: StepLog, split: StepLog) -> str:
    """Raise Broken if an evaluation depends on the batch size by mistake.

    Return why that can't be judged, or "".
    """
    layer = _mixing_layer(whole, split)
    names = _differing(whole.metrics, split.metrics)
    if not layer and not names:
        return ""
    step = STEPS[stage]
    if run.log.draws:
        return f"{step} draws random numbers: {run.log.draws[0]}"
    if whole.low_precision:
        return f"{step} computes with 16 bits: {whole.low_precision[0]}"
    for line in (common(whole.softmaxes, split.softmaxes) or {}).values():
        raise Broken(f"{step} calls softmax over the samples of a batch: {line}")
    for line in (common(whole.comparisons, split.comparisons) or {}).values():
        if stage != "predict":
            return f"{step} compares the samples of a batch with each other: {line}"
    if layer:
        raise Broken(
            f"{step}: the output of {layer} for a sample depends on the other samples of its batch"
        )
    for name in names:
        values = (
            f"{name}: {whole.metrics[name]:.6g} with batches of {max(whole.sizes)}, "
            f"{split.metrics[name]:.6g} with batches of {max(split.sizes)}"
        )
        if any(name.startswith(logged) for logged in split.by_hand):
            raise Broken(f"{values}; it is not logged in a step with the weight of the batch")
        if "loss" not in name.lower():
            raise Broken(f"{values}; it is no mean over samples")
    return f"{values}: the loss of a batch is not the mean of the losses of its samples"


def _differing(first: dict[str, float], second: dict[str, float]) -> list[str]:
    """Return the metrics, except times, that differ by more than rounding."""
    return [
        name for name in sorted(first.keys() & second.keys())
        if not SPEED.search(name)
        and not (math.isnan(first[name]) and math.isnan(second[name]))
        and not math.isclose(first[name], second[name], rel_tol=ROUNDING, abs_tol=ROUNDING**2)
    ]  # fmt: skip


def _mixing_layer(whole: StepLog, split: StepLog) -> str | None:
    """Return the first layer whose output for a sample differs with the batch size, or None."""
    for name, outputs in whole.outputs.items():
        rows_split = split.outputs.get(name)
        if not outputs or not rows_split:
            continue
        shapes = {shape for shape, _ in (*outputs, *rows_split)}
        first, second = (torch.cat([rows for _, rows in steps]) for steps in (outputs, rows_split))
        if len(shapes) > 1 or first.shape != second.shape:
            continue
        limit = ROUNDING * float(first.abs().max())
        if not torch.allclose(first, second, rtol=0.0, atol=limit, equal_nan=True):
            return name
    return None
