"""What a stage writes where its accelerator is not: the reason, in every output it declares.

An absent accelerator is a result and not an error. This module imports nothing heavy, so that
finding nothing takes no time.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmark.common.files import move, new_directory, read_json, write_csv
from benchmark.common.results import (
    EPOCH_HEADER,
    OWN,
    PREDICTION_HEADER,
    STEP_HEADER,
    TENSOR_HEADER,
    ResultPaths,
    Unavailable,
    write_result,
)
from benchmark.machine.accelerators import Accelerator

ASIDE = Path("set_aside")
"""Where results lie that an absent accelerator would replace, each at its own path: a driver may
be broken for a day."""


def environment(accelerator: Accelerator) -> None:
    """In place of a fingerprint."""
    _replace(accelerator, [ResultPaths(accelerator.name).environment])


def train(accelerator: Accelerator, training: str = OWN) -> None:
    """In place of a training: tables keep their headers, the model its directory."""
    results = ResultPaths(accelerator.name).training(training)
    tables = [results.steps, results.epochs, results.predictions, results.tensors]
    _replace(accelerator, [results.result, results.timing], [*tables, results.model])
    write_csv(results.steps, STEP_HEADER, [])
    write_csv(results.epochs, EPOCH_HEADER, [])
    write_csv(results.predictions, PREDICTION_HEADER, [])
    write_csv(results.tensors, TENSOR_HEADER, [])
    with new_directory(results.model) as directory:
        write_result(directory / "status.json", _result(accelerator))


def replay(accelerator: Accelerator, training: str = OWN) -> None:
    """In place of a replay."""
    _replace(accelerator, [ResultPaths(accelerator.name).training(training).replay])


def throughput(accelerator: Accelerator) -> None:
    """In place of a measurement."""
    _replace(accelerator, [ResultPaths(accelerator.name).throughput])


def _replace(
    accelerator: Accelerator, results: Sequence[Path], others: Sequence[Path] = ()
) -> None:
    """Write the reason to each of `results`, and set aside what they and `others` held if the
    first is of a time when the accelerator was here."""
    if _status(results[0]) == "ok":
        for path in (*results, *others):
            move(path, ASIDE / path)
        print(f"{accelerator.label} was here before: {results[0]} is set aside, in {ASIDE}/.")
    for path in results:
        write_result(path, _result(accelerator))


def _status(path: Path) -> object:
    with suppress(OSError, ValueError, AttributeError):  # the last: JSON, but no object
        return read_json(path).get("status")
    return None


def _result(accelerator: Accelerator) -> Unavailable:
    return Unavailable(accelerator=accelerator.label, reason=accelerator.reason)
