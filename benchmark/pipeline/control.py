"""The control: the same seed, sample order and number of steps from random weights.

It trains every layer on augmented images. Where the training stage does so too, what the control
lacks in accuracy is what the weights brought.
"""

from benchmark.common.parameters import Parameters
from benchmark.common.results import Results
from benchmark.machine.accelerators import Accelerator
from benchmark.pipeline.train import fit_and_test, from_scratch, read_training
from benchmark.training.inputs import gather_inputs


def run(accelerator: Accelerator, parameters: Parameters) -> None:
    """The stage: train every layer for as many epochs as the own training did.

    Raises:
        UserError: as the training stage; or that one was without the accelerator.
    """
    results = Results(accelerator.name)
    alike = from_scratch(parameters, read_training(results.own).epochs)
    inputs = gather_inputs(accelerator.name, alike, "control")
    fit_and_test(accelerator, alike, inputs, results.control)
