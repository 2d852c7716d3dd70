"""Write the outputs of a stage whose accelerator is unavailable: the reason instead of a result.

An absent accelerator is a result, not an error. `command_line` calls the function that has the
stage's name. If the accelerator was available before, the earlier results move to SET_ASIDE.
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
"""Folder for earlier results of an accelerator that is now absent, for example after a failed
driver update. Results keep their relative paths in it."""


def environment(accelerator: Accelerator) -> None:
    """Write "unavailable" and the reason instead of a fingerprint."""
    _replace(accelerator, [ResultPaths(accelerator.name).environment])


def train(accelerator: Accelerator, training: str = OWN) -> None:
    """Write "unavailable" and the reason instead of a training's result.

    DVC expects all outputs, so also write tables without rows and a model's directory that contains
    only status.json.
    """
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
    """Write "unavailable" and the reason instead of a replay's result."""
    _replace(accelerator, [ResultPaths(accelerator.name).training(training).replay])


def throughput(accelerator: Accelerator) -> None:
    """Write "unavailable" and the reason instead of a speed measurement."""
    _replace(accelerator, [ResultPaths(accelerator.name).throughput])


def _replace(
    accelerator: Accelerator, results: Sequence[Path], more_outputs: Sequence[Path] = ()
) -> None:
    """Write "unavailable" and the reason to each file of `results`.

    If the status of the first file is "ok", first move all `results` and `more_outputs` to
    SET_ASIDE, and print that.
    """
    if _status(results[0]) == "ok":
        for path in (*results, *more_outputs):
            move(path, SET_ASIDE / path)
        print(f"{accelerator.label} was available before: {results[0]} is moved to {SET_ASIDE}/.")
    for path in results:
        write_result(path, _result(accelerator))


def _status(path: Path) -> object:
    """Return the status in a result; None if the file is missing or not a result."""
    with suppress(OSError, ValueError, AttributeError):  # AttributeError: JSON, but not an object
        return read_json(path).get("status")
    return None


def _result(accelerator: Accelerator) -> Unavailable:
    return Unavailable(accelerator=accelerator.label, reason=accelerator.reason)
