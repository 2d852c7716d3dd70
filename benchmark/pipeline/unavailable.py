"""Outputs of a stage whose accelerator is unavailable: the reason, in place of each result.

An absent accelerator is a result, not an error. This module imports nothing slow.
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

SET_ASIDE = Path("set_aside")
"""Folder for the results of an accelerator that is now absent, for example after a failed driver
update. Each keeps its path."""


def environment(accelerator: Accelerator) -> None:
    """Write the reason in place of a fingerprint."""
    _replace(accelerator, [ResultPaths(accelerator.name).environment])


def train(accelerator: Accelerator, training: str = OWN) -> None:
    """Write the reason in place of a training, with empty tables and a directory for the model."""
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
    """Write the reason in place of a replay."""
    _replace(accelerator, [ResultPaths(accelerator.name).training(training).replay])


def throughput(accelerator: Accelerator) -> None:
    """Write the reason in place of a measurement."""
    _replace(accelerator, [ResultPaths(accelerator.name).throughput])


def _replace(
    accelerator: Accelerator, results: Sequence[Path], more_outputs: Sequence[Path] = ()
) -> None:
    """Write the reason to each of `results`.

    If the accelerator was available before, these files and `more_outputs` move to SET_ASIDE.
    """
    if _status(results[0]) == "ok":
        for path in (*results, *more_outputs):
            move(path, SET_ASIDE / path)
        print(f"{accelerator.label} was available before: {results[0]} is moved to {SET_ASIDE}/.")
    for path in results:
        write_result(path, _result(accelerator))


def _status(path: Path) -> object:
    with suppress(OSError, ValueError, AttributeError):  # AttributeError: JSON, but not an object
        return read_json(path).get("status")
    return None


def _result(accelerator: Accelerator) -> Unavailable:
    return Unavailable(accelerator=accelerator.label, reason=accelerator.reason)
