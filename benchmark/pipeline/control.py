"""The control stage: train from random weights, with the same seed, sample order and steps.

The control trains every layer on augmented images. If the training stage does so too, the
difference in accuracy is the effect of the weights.
"""

from benchmark.common.parameters import Parameters
from benchmark.common.results import ResultPaths
from benchmark.machine.accelerators import Accelerator
from benchmark.pipeline.train import read_training, train_and_write


def run(accelerator: Accelerator, parameters: Parameters) -> None:
    """Run the stage on an available accelerator, after the training stage.

    Raises:
        UserError: as in the training stage, or that stage has not run on this machine.
    """
    parameters = control_parameters(accelerator.name, parameters)
    train_and_write(accelerator, parameters, ResultPaths(accelerator.name).control, "control")


def control_parameters(name: str, parameters: Parameters) -> Parameters:
    """Return a copy of `parameters` for the control: random weights, all layers trained.

    It trains as many epochs as the main training ran, which is read from that result.

    Raises:
        UserError: the training stage has not run on the accelerator `name`.
    """
    epochs = read_training(ResultPaths(name).own).epochs
    model = {"weights": "random", "freeze_backbone": False}
    train = {"max_epochs": epochs, "patience": epochs, "unfreeze_epoch": 0}
    return parameters.model_copy(
        update={
            "model": parameters.model.model_copy(update=model),
            "train": parameters.train.model_copy(update=train),
        }
    )
