"""A run on two ranks: their weights, what both log, and what one process logs on their batches."""

import itertools
import pickle
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
from pytorch_lightning.utilities.data import extract_batch_size

from lightning_conformance.digests import digest
from lightning_conformance.module.evaluation import evaluate, evaluates, use_first_batches
from lightning_conformance.module.fit import FitRun, FitScenario, prepared_project
from lightning_conformance.module.replay import Recorded, batch_recorder, replay
from lightning_conformance.module.source import Project

RANKS: dict[str, Any] = {
    "ranks": 2,
    # The rule about gradients reports unused parameters; the other rules are judged nevertheless.
    "trainer": (("max_epochs", 1), ("strategy", "ddp_find_unused_parameters_true")),
}
"""Changes of a FitScenario that make it run on two ranks."""


@dataclass
class RankRun:
    """What one of two ranks observed."""

    start: dict[str, str] = field(default_factory=dict)
    """Digests of the parameters when the first step begins."""
    end: dict[str, str] = field(default_factory=dict)
    """Digests of the parameters at the end of the fit."""
    logged: dict[str, float] = field(default_factory=dict)
    """What an evaluation on both ranks logged."""
    alone: list[dict[str, float]] = field(default_factory=list)
    """What two evaluations by rank 0 alone logged, over the batches of both; empty on rank 1."""
    samples: int = 0
    """The number of samples of the evaluation on both ranks, as Lightning counts them."""


def observe_rank(project: Project, scenario: FitScenario) -> RankRun:
    """Fit and evaluate on all ranks, then evaluate on rank 0 alone."""
    with prepared_project(project, scenario) as folder:
        run, observed = FitRun(project, scenario, folder), RankRun()
        run.trainer.callbacks.append(_weights_recorder(run.package, observed))
        run.fit()
        stage = next((stage for stage in ("validate", "test") if evaluates(run, stage)), None)
        if stage:
            recorded: Recorded = []
            use_first_batches(run)
            run.trainer.callbacks.append(batch_recorder(run.package, recorded))
            observed.logged = evaluate(run, stage)
            _evaluate_alone(run, stage, recorded, observed)
        return observed


def _evaluate_alone(run: FitRun, stage: str, recorded: Recorded, observed: RankRun) -> None:
    """Let rank 0 leave the group, and evaluate the batches of all ranks."""
    by_rank: list[Any] = [None] * run.scenario.ranks
    torch.distributed.all_gather_object(by_rank, recorded)
    if torch.distributed.get_rank():
        return
    torch.distributed.destroy_process_group()
    everything = [
        list(itertools.chain(*batches)) for batches in itertools.zip_longest(*by_rank, fillvalue=[])
    ]
    replay(run.data, run.module, stage, everything)
    observed.samples = sum(
        extract_batch_size(pickle.loads(batch)) for batch in itertools.chain(*everything)
    )
    for _ in range(2):
        run.trainer = run.make_trainer(devices=1, strategy="auto")
        observed.alone.append(evaluate(run, stage))


def _weights_recorder(package: ModuleType, observed: RankRun) -> Any:
    """Return a Callback of `package` that writes the parameters' digests to `observed`."""

    class WeightsRecorder(package.Callback):  # type: ignore[name-defined, misc]
        def on_train_batch_start(self, trainer: Any, module: Any, *arguments: Any) -> None:
            observed.start = observed.start or _parameters(trainer, module)

        def on_train_end(self, trainer: Any, module: Any) -> None:
            observed.end = _parameters(trainer, module)

    return WeightsRecorder()


def _parameters(trainer: Any, module: Any) -> dict[str, str]:
    """Return the digests of the module's parameters, and of those that only an optimizer has.

    Buffers are left out: each rank may have other ones, and DDP takes those of rank 0.
    """
    parameters = dict(module.named_parameters())
    registered = set(map(id, parameters.values()))
    for number, optimizer in enumerate(trainer.optimizers):
        groups = itertools.chain(*(group["params"] for group in optimizer.param_groups))
        parameters |= {
            f"parameter {position} of optimizer {number}": parameter
            for position, parameter in enumerate(groups) if id(parameter) not in registered
        }  # fmt: skip
    return {name: digest(value) or "" for name, value in parameters.items()}
