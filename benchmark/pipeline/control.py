"""The control stage: train from random weights, with the same seed, sample order and steps.

The control trains every layer on augmented images. If the training stage does so too, the
difference in accuracy is the effect of the weights.
"""

from benchmark.common.parameters import Parameters
from benchmark.common.results import ResultPaths
from benchmark.machine.accelerators import Accelerator
from benchmark.pipeline.train import read_training, train_and_write
from benchmark.training.inputs import take_fingerprints


def run(accelerator: Accelerator, parameters: Parameters) -> None:
    """Run the stage on an available accelerator, after the training stage.

    Raises:
        UserError: as in the training stage, or that stage has not run on this machine.
    """
    parameters = control_parameters(accelerator.name, parameters)
    inputs = take_fingerprints(accelerator.name, parameters, "control")
    train_and_write(accelerator, parameters, inputs, ResultPaths(accelerator.name).control)


def control_parameters(name: str, parameters: Parameters) -> Parameters:
    """Return a copy of `parameters` for the control: random weights, all layers trained.

    It trains as many epochs as the main training ran, which is read from that result.

    Raises:
        UserError: the training stage has not run on the accelerator `name`.
    """
    epochs = read_training(ResultPaths(name).own).epochs
    model = parameters.model.model_copy(update={"weights": "random", "freeze_backbone": False})
    schedule = {"max_epochs": epochs, "patience": epochs, "unfreeze_epoch": 0}
    train = parameters.train.model_copy(update=schedule)
    return parameters.model_copy(update={"model": model, "train": train})
