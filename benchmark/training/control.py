"""The control: the same seed, sample order and number of steps from random weights.

It trains every layer on augmented images. Where the training stage does so too, what the control
lacks in accuracy is what the weights brought.
"""

from benchmark.common.errors import UserError
from benchmark.common.parameters import Parameters
from benchmark.common.results import Results, TrainingResults, Unavailable, read_result
from benchmark.machine.accelerators import Accelerator
from benchmark.training.schema import TRAINING, Training
from benchmark.training.train import fit_and_test, gather_inputs


def run(accelerator: Accelerator, parameters: Parameters) -> None:
    """The stage: train every layer for as many epochs as the own training did.

    Raises:
        UserError: as the training stage; or that one was without the accelerator.
    """
    results = Results(accelerator.name)
    alike = from_scratch(parameters, read_training(results.own).epochs)
    inputs = gather_inputs(accelerator.name, alike, "control")
    fit_and_test(accelerator, alike, inputs, results.control)


def read_training(results: TrainingResults) -> Training:
    """The result of a training on an accelerator that is here.

    Raises:
        UserError: it has not run, or was without the accelerator, which has come since.
    """
    training = read_result(results.result, TRAINING)
    if isinstance(training, Unavailable):
        raise UserError(f"{results.result} is of an absent accelerator.", "Repeat it: make repro.")
    return training


def from_scratch(parameters: Parameters, epochs: int) -> Parameters:
    """`parameters` with random weights and all layers trained, over exactly `epochs` epochs."""
    model = parameters.model.model_copy(update={"weights": "random", "freeze_backbone": False})
    steps = {"max_epochs": epochs, "patience": epochs, "unfreeze_epoch": 0}
    train = parameters.train.model_copy(update=steps)
    return parameters.model_copy(update={"model": model, "train": train})
