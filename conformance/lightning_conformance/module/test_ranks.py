"""Rules: two ranks train one model, and log what one process logs."""

import math

from lightning_conformance.module.observations import ProjectObservations, running_module
from lightning_conformance.module.rank_run import RANKS, RankRun, observe_rank
from lightning_conformance.module.rules import module_rule
from lightning_conformance.observations import NotJudged
from lightning_conformance.rules import Broken, expect

TOLERANCE = 1e-4
"""Relative difference of metrics that rounding may cause: ranks add in another order."""
SAME = 1e-6
"""The same of two ranks. What they reduce together, they have bit for bit."""
RANKS_FAIL = "a fit on two ranks fails"


def running_ranks(project: ProjectObservations) -> None:
    """Raise NotJudged if no fit on two ranks runs: requirement of rules that compare ranks."""
    running_module(project)
    try:
        project.observe_by(observe_rank, **RANKS)
    except Exception as error:
        raise NotJudged(RANKS_FAIL) from error


@module_rule(
    why="DDP waits for the gradient of each trainable parameter, and stops in the second step.",
    fix="Remove the parameter, use it in the loss, or call requires_grad_(False). If only some "
    'steps use it: Trainer(strategy="ddp_find_unused_parameters_true").',
    requires=running_module,
)
def test_every_trainable_parameter_gets_a_gradient(project: ProjectObservations) -> None:
    """Looks at the gradients after the first backward of a fit."""
    names = project.observe().without_gradient
    if names is None:
        raise NotJudged("with manual optimization a step may train a part of the parameters")
    expect(not names, f"no gradient after the first step: {', '.join(names)}")


@module_rule(
    why="What trains on one device must train on several.",
    fix="Run it yourself: Trainer(accelerator='cpu', devices=2, strategy='ddp').",
    requires=running_module,
)
def test_the_module_fits_on_two_ranks(project: ProjectObservations) -> None:
    project.observe_by(observe_rank, **RANKS)


@module_rule(
    why="Ranks with different weights train different models; the checkpoint is that of rank 0.",
    fix="Change weights by an optimizer, from gradients of training_step's loss. Register all "
    "layers (nn.ModuleList instead of a list). Compute other changes from the values of all ranks: "
    "self.all_gather(...).",
    requires=running_ranks,
)
def test_two_ranks_have_equal_weights(project: ProjectObservations) -> None:
    first, second = _ranks(project)
    for time, one, other in (
        ("when the first step begins", first.start, second.start),
        ("after a fit", first.end, second.end),
    ):
        names = [name for name, value in one.items() if other.get(name) != value]
        expect(not names, f"{len(names)} of {len(one)} parameters differ {time}: {names[:1]}")


@module_rule(
    why="Each rank sees a part of the samples. A metric of one part depends on the number of "
    "ranks, and may let one rank stop or save when others do not.",
    fix="self.log(..., sync_dist=True) for a mean over samples. A metric that is no mean (F1, AUC, "
    "perplexity): log a torchmetrics object, or compute it from self.all_gather(...).",
    requires=running_ranks,
)
def test_two_ranks_log_what_one_process_logs(project: ProjectObservations) -> None:
    """Compares an evaluation on two ranks with one on rank 0 alone, over the batches of both."""
    ranks = _ranks(project)
    for name, alone in _repeated_metrics(ranks[0]).items():
        logged = [rank.logged[name] for rank in ranks if name in rank.logged]
        differ = any(not _close(value, logged[0], SAME) for value in logged)
        if differ or not all(_close(value, alone) for value in logged):
            if _has_wrong_count(logged, alone, ranks[0].samples):
                continue  # a rule of its own
            values = " and ".join(f"{value:.7g}" for value in logged)
            raise Broken(f"{name}: {values} on two ranks, {alone:.7g} in one process")


@module_rule(
    why="Lightning averages the number of samples over the ranks and drops the fraction: its mean "
    "is too large.",
    fix="Log a torchmetrics object, which adds up sums and counts: torchmetrics.MeanMetric() for a "
    "loss. Or give each rank as many samples, as DistributedSampler does.",
    requires=running_ranks,
)
def test_the_mean_of_uneven_ranks_counts_every_sample(project: ProjectObservations) -> None:
    ranks = _ranks(project)
    metrics, samples = _repeated_metrics(ranks[0]), ranks[0].samples
    if samples % len(ranks) == 0:
        raise NotJudged(f"{samples} samples are an even number, which two ranks count right")
    for name, alone in metrics.items():
        logged = [rank.logged[name] for rank in ranks if name in rank.logged]
        if logged and _has_wrong_count(logged, alone, samples):
            raise Broken(
                f"{name}: {logged[0]:.6g} on two ranks, {alone:.6g} in one process; the sum of "
                f"{samples} samples is divided by {samples - 1}"
            )


def _ranks(project: ProjectObservations) -> list[RankRun]:
    return project.observe_by(observe_rank, **RANKS)


def _repeated_metrics(run: RankRun) -> dict[str, float]:
    """Return the metrics that rank 0 alone logs twice with one value, or raise NotJudged."""
    if not run.alone:
        raise NotJudged("no validation or test")
    first, second = run.alone
    repeated = {name: value for name, value in first.items() if _close(value, second.get(name))}
    if not repeated:
        raise NotJudged("no logged metric that repeats")
    return repeated


def _has_wrong_count(logged: list[float], alone: float, samples: int) -> bool:
    """Return whether all ranks log the mean over one sample less than there are."""
    wrong = alone * samples / (samples - 1) if samples % 2 and samples > 1 else alone
    return wrong != alone and all(_close(value, wrong) for value in logged)


def _close(value: float, other: float | None, tolerance: float = TOLERANCE) -> bool:
    """Return whether two values of a metric differ by no more than rounding."""
    if other is None or math.isnan(value):
        return other is not None and math.isnan(other)
    return math.isclose(value, other, rel_tol=tolerance, abs_tol=tolerance**2)
