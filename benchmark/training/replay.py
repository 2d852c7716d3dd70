"""The replay stages: a training's first steps once more, in a process that knows nothing of it.

Equal weights after them, bit for bit, are evidence that the figures can be had again.
"""

import csv
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from benchmark import accelerators, machine
from benchmark.accelerators import Accelerator
from benchmark.control import from_scratch, read_training
from benchmark.errors import UserError
from benchmark.files import write_json
from benchmark.parameters import Parameters
from benchmark.results import Results
from benchmark.train import Run, exact, gather_inputs


class Halt(pl.Callback):
    """Ends a fit after so many steps."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Ask the Trainer to stop, once it is time."""
        trainer.should_stop = trainer.should_stop or trainer.global_step >= self._steps


def run(
    accelerator: Accelerator, parameters: Parameters, seed: int | None = None, control: bool = False
) -> None:
    """The stage: repeat what was trained on an accelerator that is here: with the run's own seed,
    with the further `seed`, or as the control.

    Raises:
        UserError: as that training's stage; or that one was without the accelerator, or began
            from something else.
    """
    name = accelerator.name
    results, parameters = _which(Results(name), parameters, seed, control)
    training = read_training(results)
    stage = "control" if control else "train"
    if training["inputs"] != vars(gather_inputs(name, parameters, stage)):
        raise UserError(
            f"{results.training} is of other code, data or parameters.", "Repeat it: dvc repro."
        )
    steps = training["digests"]["first_steps"]["steps"]
    with machine.alone():
        repeated = _repeat(accelerator, parameters, steps)
    write_json(results.replay, compare(training, _losses(results.steps, steps), repeated))


def compare(training: dict[str, Any], losses: list[str], repeated: Run) -> dict[str, Any]:
    """The stage's result: where the two part, if they do.

    Args:
        training: the training stage's result.
        losses: of its first steps, as its table has them.
        repeated: the run that repeated these.
    """
    found = [exact(row)[-1] for row in repeated.recorder.steps]
    pairs = enumerate(zip(losses, found, strict=True), start=1)
    parted = next((step for step, (one, other) in pairs if one != other), None)
    if parted is None and repeated.first.weights != training["digests"]["first_steps"]["weights"]:
        parted = len(losses)
    return {
        "status": "ok",
        "accelerator": training["accelerator"],
        "steps": len(losses),
        "bitwise": parted is None,
        "parted_at": parted,
    }


def _which(
    own: Results, parameters: Parameters, seed: int | None, control: bool
) -> tuple[Results, Parameters]:
    """Where the training's results are, and what it was run with."""
    if control:
        return own.control, from_scratch(parameters, read_training(own)["epochs"])
    if seed is not None:
        return own.seed(seed), parameters.with_seed(seed)
    return own, parameters


def _repeat(accelerator: Accelerator, parameters: Parameters, steps: int) -> Run:
    accelerators.prepare(accelerator.name)
    with tempfile.TemporaryDirectory() as scratch:
        repeated = Run(accelerator, parameters, Path(scratch), Halt(steps))
        repeated.trainer.fit(repeated.model, datamodule=repeated.data)
    return repeated


def _losses(path: Path, steps: int) -> list[str]:
    with path.open(newline="") as file:
        return [row["train_loss"] for row in islice(csv.DictReader(file), steps)]
