"""The environment stage: fingerprint the machine, because results depend on it."""

from benchmark.common.parameters import Parameters
from benchmark.common.results import ResultPaths, write_result
from benchmark.machine.accelerators import Accelerator
from benchmark.machine.environment import fingerprint


def run(accelerator: Accelerator, parameters: Parameters) -> None:
    """The stage: write the fingerprint of an accelerator that is here."""
    write_result(ResultPaths(accelerator.name).environment, fingerprint(accelerator))
