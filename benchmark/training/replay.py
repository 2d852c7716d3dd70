"""The replay stage: a training's first steps once more, in a process that knows nothing of it.

Equal weights after them, bit for bit, are evidence that the results are reproducible.
"""

import csv
from itertools import islice
from pathlib import Path

from benchmark.common.errors import UserError
from benchmark.common.parameters import Parameters
from benchmark.common.results import CONTROL, OWN, Results, write_result
from benchmark.machine import accelerators
from benchmark.machine.accelerators import Accelerator
from benchmark.machine.lock import measuring_lock
from benchmark.training.callbacks import StopAfterSteps
from benchmark.training.control import from_scratch, read_training
from benchmark.training.fit import Run
from benchmark.training.schema import Replay, Training
from benchmark.training.train import exact, gather_inputs


def run(accelerator: Accelerator, parameters: Parameters, training: str = OWN) -> None:
    """The stage: repeat the first steps of `training` on an accelerator that is here.

    Raises:
        UserError: as that training's stage; or that one was without the accelerator, or began
            from something else.
    """
    results = Results(accelerator.name).training(training)
    before, parameters = read_training(results), _parameters(accelerator.name, parameters, training)
    stage = "control" if training == CONTROL else "train"
    if before.inputs != gather_inputs(accelerator.name, parameters, stage):
        raise UserError(
            f"{results.result} is of other code, data or parameters.", "Repeat it: make repro."
        )
    steps = before.digests.first_steps.steps
    title = f"{accelerator.label}{results.kind} replay"
    with measuring_lock():
        repeated = _repeat(accelerator, parameters, steps, title)
    found = compare(before, _losses(results.steps, steps), repeated)
    write_result(results.replay, found)
    print(f"{title}: {found}", flush=True)


def compare(training: Training, losses: list[str], repeated: Run) -> Replay:
    """The stage's result: the first step that differs, if one does.

    Args:
        training: the training stage's result.
        losses: of its first steps, as its table has them.
        repeated: the run that repeated these.
    """
    found = [exact(row)[-1] for row in repeated.history.steps]
    pairs = enumerate(zip(losses, found, strict=True), start=1)
    different = next((step for step, (one, other) in pairs if one != other), None)
    if different is None and repeated.first_steps.weights != training.digests.first_steps.weights:
        different = len(losses)
    return Replay(
        accelerator=training.accelerator,
        steps=len(losses),
        bitwise=different is None,
        first_different_step=different,
    )


def _parameters(name: str, parameters: Parameters, training: str) -> Parameters:
    """What the training was run with."""
    if training == CONTROL:
        return from_scratch(parameters, read_training(Results(name).own).epochs)
    return parameters.of_training(training)


def _repeat(accelerator: Accelerator, parameters: Parameters, steps: int, title: str) -> Run:
    accelerators.prepare(accelerator.name)
    repeated = Run(accelerator, parameters, None, StopAfterSteps(steps), title=title)
    repeated.trainer.fit(repeated.model, datamodule=repeated.data)
    return repeated


def _losses(path: Path, steps: int) -> list[str]:
    with path.open(newline="") as file:
        return [row["train_loss"] for row in islice(csv.DictReader(file), steps)]
