"""The environment stage: describe the machine, because results depend on it."""

from benchmark.common.parameters import Parameters
from benchmark.common.results import ResultPaths, write_result
from benchmark.machine.accelerators import Accelerator
from benchmark.machine.environment import fingerprint


def run(accelerator: Accelerator, parameters: Parameters) -> None:
    """Write the fingerprint of the machine with an available accelerator."""
    write_result(ResultPaths(accelerator.name).environment, fingerprint(accelerator))
