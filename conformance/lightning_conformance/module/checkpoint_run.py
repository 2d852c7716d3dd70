"""What a trained module's checkpoint contains, and what a module loaded from it gives."""

import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lightning_conformance import generators
from lightning_conformance.digests import digest
from lightning_conformance.messages import describe_error
from lightning_conformance.module.evaluation import STEPS, evaluate, evaluates, use_first_batches
from lightning_conformance.module.fit import (
    FitObservation,
    FitRun,
    FitScenario,
    digests_of,
    prepared_project,
)
from lightning_conformance.module.source import Project

ORDER = ("predict", "test", "validate")
"""Stages by which a loaded module is compared: the first that works."""
OF_DATA = ("datamodule_hyper_parameters", "datamodule_hparams_name", "datamodule_hparams_type")
"""Keys of a checkpoint that the DataModule is responsible for."""


@dataclass
class Evaluated:
    """A module's weights, and what it gives in an evaluation."""

    weights: dict[str, str] = field(default_factory=dict)
    """Digests of the state_dict's entries."""
    stage: str = ""
    """The stage of the evaluation; empty if none works."""
    batches: list[str | None] = field(default_factory=list)
    """Digests of its batches."""
    outputs: list[str | None] = field(default_factory=list)
    """Digests of what its steps returned."""
    metrics: dict[str, float] = field(default_factory=dict)
    """What it logged."""


@dataclass
class TrainedRun:
    """What a process observed that fits, saves a checkpoint and evaluates."""

    fit: FitObservation
    checkpoint: bytes
    not_plain: list[str]
    """By entry of the checkpoint that weights_only refuses: its name and why."""
    evaluated: Evaluated


def observe_trained(project: Project, scenario: FitScenario) -> TrainedRun:
    """Fit, save a checkpoint and evaluate."""
    with prepared_project(project, scenario) as folder:
        run = FitRun(project, scenario, folder)
        fit = run.run()
        checkpoint = run.save()
        fit.saved_epoch = fit.saved_step = None  # those of the first fit are used
        return TrainedRun(fit, checkpoint, _not_plain(run, checkpoint), _evaluated(run))


def observe_loaded(project: Project, scenario: FitScenario) -> Evaluated:
    """Load the scenario's checkpoint as a user would, and evaluate."""
    with prepared_project(project, scenario) as folder:
        run = FitRun(project, scenario, folder)
        run.module = _load(run, scenario.checkpoint, folder)
        return _evaluated(run)


def _load(run: FitRun, checkpoint: bytes, folder: Path) -> Any:
    path = folder / "trained.ckpt"
    path.write_bytes(checkpoint)
    # Whether it is plain is a rule of its own.
    return type(run.module).load_from_checkpoint(path, weights_only=False)


def _evaluated(run: FitRun) -> Evaluated:
    """Evaluate by the first stage that works."""
    observed = Evaluated(digests_of(run.module))
    for stage in (stage for stage in ORDER if evaluates(run, stage)):
        use_first_batches(run)
        run.trainer.callbacks.append(_output_recorder(run.package, observed))
        generators.seed_all("evaluation")
        try:
            observed.metrics = evaluate(run, stage)
        except Exception:  # without data for it, or predict_step needs another batch
            observed.batches, observed.outputs = [], []
            continue
        observed.stage = stage
        break
    return observed


def _output_recorder(package: Any, observed: Evaluated) -> Any:
    """Return a Callback of `package` that writes batches and outputs to `observed`."""

    def start(self: Any, trainer: Any, module: Any, batch: Any, *arguments: Any) -> None:
        observed.batches.append(digest(batch))

    def end(self: Any, trainer: Any, module: Any, outputs: Any, *arguments: Any) -> None:
        observed.outputs.append(digest(outputs))

    names = [step.removesuffix("_step") for step in STEPS.values()]
    hooks: dict[str, Any] = {f"on_{name}_batch_start": start for name in names}
    hooks |= {f"on_{name}_batch_end": end for name in names}
    return type("OutputRecorder", (package.Callback,), hooks)()


def _not_plain(run: FitRun, checkpoint: bytes) -> list[str]:
    """Return which entries of the checkpoint weights_only refuses, without those of the data."""
    content = torch.load(io.BytesIO(checkpoint), weights_only=False)
    refused = []
    for name in content.keys() - {*OF_DATA, type(run.data).__qualname__}:
        buffer = io.BytesIO()
        torch.save({name: content[name]}, buffer)
        buffer.seek(0)
        try:
            torch.load(buffer, weights_only=True)
        except Exception as error:
            kind = re.search(r"GLOBAL (\S+)", str(error))
            refused.append(f"{name} contains {kind[1]}" if kind else describe_error(error))
    return sorted(refused)
