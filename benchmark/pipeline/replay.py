"""The replay stage: repeat a training's first steps in a fresh process and compare them.

Losses and weights that are equal bit for bit show that the results can be reproduced.
"""

import csv
from itertools import islice

from benchmark.common.parameters import Parameters
from benchmark.common.results import CONTROL, OWN, ResultPaths, TrainingPaths, write_result
from benchmark.distributed import process_group
from benchmark.errors.user_error import UserError
from benchmark.machine.accelerators import Accelerator
from benchmark.machine.lock import measuring_lock
from benchmark.pipeline.control import control_parameters
from benchmark.pipeline.train import format_row, read_training
from benchmark.training.callbacks import StopAfterSteps
from benchmark.training.checkpoint_dir import remove_finished
from benchmark.training.fit import Fit
from benchmark.training.inputs import take_fingerprints
from benchmark.training.schema import FirstSteps, Replay


def run(accelerator: Accelerator, parameters: Parameters, training: str = OWN) -> None:
    """Run the stage: repeat the first steps of `training` on an available accelerator.

    It writes `results.replay`, also if steps differ, and removes the checkpoints of the finished
    training.

    Raises:
        UserError: as in the stage of that training, or it has not run here with these inputs.
    """
    results = ResultPaths(accelerator.name).training(training)
    recorded = read_training(results)
    if training == CONTROL:
        stage, parameters = "control", control_parameters(accelerator.name, parameters)
    else:
        stage, parameters = "train", parameters.of_training(training)
    if recorded.inputs != take_fingerprints(accelerator.name, parameters, stage):
        raise UserError(
            f"{results.result} is of other code, data or parameters.", "Repeat it: make repro."
        )
    first_steps = recorded.digests.first_steps
    title = f"{accelerator.label}{results.kind} replay"
    with (
        process_group.process_group(accelerator.name, parameters.trainer.processes),
        process_group.one_per_node(measuring_lock()),
    ):
        if process_group.get_rank() == 0:  # only rank 0 has checkpoints
            remove_finished(results.checkpoint_dir)
        stop = StopAfterSteps(first_steps.steps)
        fit = Fit(accelerator, parameters, None, stop, title=title)
        fit.fit()
    if fit.trainer.is_global_zero:
        step, name = _first_difference(results, first_steps, fit)
        replay = Replay(
            accelerator=recorded.accelerator,
            steps=first_steps.steps,
            bitwise=step is None,
            first_different_step=step,
            first_different=name,
        )
        print(f"{title}: {replay}", flush=True)  # first, since the file may not be writable
        write_result(results.replay, replay)


def _first_difference(
    results: TrainingPaths, recorded: FirstSteps, fit: Fit
) -> tuple[int | None, str | None]:
    """Return the first step that differs from the recorded one, and what differs; else two None.

    Within a step, the loss is compared before the tensors: a step computes its loss before it
    changes the weights.
    """
    with results.steps.open(newline="") as file:
        losses = [row["train_loss"] for row in islice(csv.DictReader(file), recorded.steps)]
    with results.tensors.open(newline="") as file:
        tensors = {name: digests for name, *digests in islice(csv.reader(file), 1, None)}
    repeated = [format_row(row)[-1] for row in fit.history.steps]
    for index, (loss, repeated_loss) in enumerate(zip(losses, repeated, strict=True)):
        if loss != repeated_loss:
            return index + 1, "loss"
        for name, digests in fit.first_steps.tensors.items():
            if digests[index : index + 1] != tensors.get(name, [])[index : index + 1]:
                return index + 1, name
    if fit.first_steps.weights != recorded.weights:
        return recorded.steps, "weights"
    return None, None
