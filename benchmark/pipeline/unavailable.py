"""Write the outputs of a stage whose accelerator is unavailable: the reason instead of a result.

An absent accelerator is a result, not an error.
"""

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


def run(accelerator: Accelerator, stage: str, training: str = OWN) -> None:
    """Write "unavailable" and the reason to each result file of the stage.

    DVC expects all outputs of a training: also write tables without rows and a model's directory
    that contains only status.json. If the stage has succeeded before, first move its outputs to
    SET_ASIDE, and print that.
    """
    paths = ResultPaths(accelerator.name)
    outputs = paths.training(training)
    results = {
        "environment": [paths.environment],
        "train": [outputs.result, outputs.timing],
        "replay": [outputs.replay],
        "throughput": [paths.throughput],
    }[stage]
    tables = {
        outputs.steps: STEP_HEADER,
        outputs.epochs: EPOCH_HEADER,
        outputs.predictions: PREDICTION_HEADER,
        outputs.tensors: TENSOR_HEADER,
    }
    if _status(results[0]) == "ok":
        for path in [*results, *tables, outputs.model] if stage == "train" else results:
            move(path, SET_ASIDE / path)
        print(f"{accelerator.label} was available before: {results[0]} is moved to {SET_ASIDE}/.")
    unavailable = Unavailable(accelerator=accelerator.label, reason=accelerator.reason)
    for path in results:
        write_result(path, unavailable)
    if stage == "train":
        for path, header in tables.items():
            write_csv(path, header, [])
        with new_directory(outputs.model) as directory:
            write_result(directory / "status.json", unavailable)


def _status(path: Path) -> object:
    """Return the status in a result; None if the file is missing or not a result."""
    with suppress(OSError, ValueError, AttributeError):  # AttributeError: JSON, but not an object
        return read_json(path).get("status")
    return None
