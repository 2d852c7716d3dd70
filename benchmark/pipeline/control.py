"""The control: the same seed, sample order and number of steps from random weights.

It trains every layer on augmented images. Where the training stage does so too, what the control
lacks in accuracy is what the weights brought.
"""

from benchmark.common.parameters import Parameters
from benchmark.common.results import ResultPaths
from benchmark.machine.accelerators import Accelerator
from benchmark.pipeline.train import from_scratch, read_training, train_and_write
from benchmark.training.inputs import take_fingerprints


def run(accelerator: Accelerator, parameters: Parameters) -> None:
    """The stage: train every layer for as many epochs as the own training did.

    Raises:
        UserError: as the training stage; or that one was without the accelerator.
    """
    results = ResultPaths(accelerator.name)
    alike = from_scratch(parameters, read_training(results.own).epochs)
    inputs = take_fingerprints(accelerator.name, alike, "control")
    train_and_write(accelerator, alike, inputs, results.control)
