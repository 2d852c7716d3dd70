"""The replay stage: a training's first steps once more, in a process that knows nothing of it.

Equal weights after them, bit for bit, are evidence that the results are reproducible.
"""

import csv
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from benchmark.common.parameters import Parameters
from benchmark.common.results import CONTROL, OWN, ResultPaths, write_result
from benchmark.distributed import process_group
from benchmark.errors.user_error import UserError
from benchmark.machine.accelerators import Accelerator
from benchmark.machine.lock import measuring_lock
from benchmark.pipeline.train import exact, from_scratch, read_training
from benchmark.training import checkpoint_dir
from benchmark.training.callbacks import StopAfterSteps
from benchmark.training.fit import Fit
from benchmark.training.inputs import take_fingerprints
from benchmark.training.schema import Replay, Training


def run(accelerator: Accelerator, parameters: Parameters, training: str = OWN) -> None:
    """The stage: repeat the first steps of `training` on an accelerator that is here.

    Raises:
        UserError: as that training's stage; or that one was without the accelerator, or began
            from something else.
    """
    results = ResultPaths(accelerator.name).training(training)
    before, parameters = read_training(results), _parameters(accelerator.name, parameters, training)
    stage = "control" if training == CONTROL else "train"
    if before.inputs != take_fingerprints(accelerator.name, parameters, stage):
        raise UserError(
            f"{results.result} is of other code, data or parameters.", "Repeat it: make repro."
        )
    steps = before.digests.first_steps.steps
    title = f"{accelerator.label}{results.kind} replay"
    alone = process_group.one_per_node(measuring_lock())
    with process_group.process_group(accelerator.name, parameters.trainer.processes), alone:
        if process_group.get_rank() == 0:  # it alone keeps checkpoints
            checkpoint_dir.forget(results.checkpoint_dir)
        repeated = Fit(accelerator, parameters, None, StopAfterSteps(steps), title=title)
        repeated.fit()
    if repeated.trainer.is_global_zero:
        found = compare(before, _losses(results.steps, steps), _tensors(results.tensors), repeated)
        write_result(results.replay, found)
        print(f"{title}: {found}", flush=True)


def compare(
    training: Training, losses: list[str], tensors: Mapping[str, list[str]], repeated: Fit
) -> Replay:
    """The stage's result: the first step that differs, if one does, and what differs there.

    Args:
        training: the training stage's result.
        losses: of its first steps, as its table has them.
        tensors: by name, digests after each of these steps, as its table has them.
        repeated: the run that repeated these.
    """
    found = [exact(row)[-1] for row in repeated.history.steps]
    different = _first_difference(losses, found, tensors, repeated.first_steps.tensors)
    if not different and repeated.first_steps.weights != training.digests.first_steps.weights:
        different = len(losses), "weights"
    step, what = different or (None, None)
    return Replay(
        accelerator=training.accelerator,
        steps=len(losses),
        bitwise=different is None,
        first_different_step=step,
        first_different=what,
    )


def _first_difference(
    losses: list[str],
    found: list[str],
    tensors: Mapping[str, list[str]],
    repeated: Mapping[str, list[str]],
) -> tuple[int, str] | None:
    """A step's loss is there before its weights."""
    for step, (one, other) in enumerate(zip(losses, found, strict=True)):
        if one != other:
            return step + 1, "loss"
        for name, digests in repeated.items():
            if digests[step : step + 1] != tensors.get(name, [])[step : step + 1]:
                return step + 1, name
    return None


def _parameters(name: str, parameters: Parameters, training: str) -> Parameters:
    """What the training was run with."""
    if training == CONTROL:
        return from_scratch(parameters, read_training(ResultPaths(name).own).epochs)
    return parameters.of_training(training)


def _tensors(path: Path) -> dict[str, list[str]]:
    with path.open(newline="") as file:
        return {name: digests for name, *digests in islice(csv.reader(file), 1, None)}


def _losses(path: Path, steps: int) -> list[str]:
    with path.open(newline="") as file:
        return [row["train_loss"] for row in islice(csv.DictReader(file), steps)]
