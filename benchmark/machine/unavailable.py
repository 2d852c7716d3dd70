"""What a stage writes where its accelerator is not: the reason, in every output it declares.

An absent accelerator is a result and not an error. This module imports nothing heavy, so that
finding nothing takes no time.
"""

from benchmark.common.files import new_directory, write_csv
from benchmark.common.results import (
    EPOCH_HEADER,
    OWN,
    PREDICTION_HEADER,
    STEP_HEADER,
    Results,
    Unavailable,
    write_result,
)
from benchmark.machine.accelerators import Accelerator


def environment(accelerator: Accelerator) -> None:
    """In place of a fingerprint."""
    write_result(Results(accelerator.name).environment, _result(accelerator))


def train(accelerator: Accelerator, training: str = OWN) -> None:
    """In place of a training: tables keep their headers, the model its directory."""
    results, result = Results(accelerator.name).training(training), _result(accelerator)
    write_result(results.result, result)
    write_result(results.timing, result)
    write_csv(results.steps, STEP_HEADER, [])
    write_csv(results.epochs, EPOCH_HEADER, [])
    write_csv(results.predictions, PREDICTION_HEADER, [])
    with new_directory(results.model) as directory:
        write_result(directory / "status.json", result)


def replay(accelerator: Accelerator, training: str = OWN) -> None:
    """In place of a replay."""
    write_result(Results(accelerator.name).training(training).replay, _result(accelerator))


def throughput(accelerator: Accelerator) -> None:
    """In place of a measurement."""
    write_result(Results(accelerator.name).throughput, _result(accelerator))


def _result(accelerator: Accelerator) -> Unavailable:
    return Unavailable(accelerator=accelerator.label, reason=accelerator.reason)
