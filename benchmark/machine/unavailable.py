"""What a stage writes where its accelerator is not: the reason, in every output it declares.

An absent accelerator is a result and not an error. This module imports nothing heavy, so that
finding nothing takes no time.
"""

from benchmark.accelerators import Accelerator
from benchmark.files import new_directory, write_csv, write_json
from benchmark.results import EPOCH_HEADER, PREDICTION_HEADER, STEP_HEADER, Results


def environment(accelerator: Accelerator) -> None:
    """In place of a fingerprint."""
    write_json(Results(accelerator.name).environment, _status(accelerator))


def train(accelerator: Accelerator, seed: int | None = None) -> None:
    """In place of a training's results."""
    results = Results(accelerator.name)
    _training(accelerator, results if seed is None else results.seed(seed))


def control(accelerator: Accelerator) -> None:
    """In place of a control's results."""
    _training(accelerator, Results(accelerator.name).control)


def replay(accelerator: Accelerator, seed: int | None = None, control: bool = False) -> None:
    """In place of a comparison."""
    own = Results(accelerator.name)
    results = own.control if control else own if seed is None else own.seed(seed)
    write_json(results.replay, _status(accelerator))


def throughput(accelerator: Accelerator) -> None:
    """In place of a measurement."""
    write_json(Results(accelerator.name).throughput, _status(accelerator))


def _training(accelerator: Accelerator, results: Results) -> None:
    """Tables keep their headers, the model its directory."""
    write_json(results.training, _status(accelerator))
    write_json(results.timing, _status(accelerator))
    write_csv(results.steps, STEP_HEADER, [])
    write_csv(results.epochs, EPOCH_HEADER, [])
    write_csv(results.predictions, PREDICTION_HEADER, [])
    with new_directory(results.model) as directory:
        write_json(directory / "status.json", _status(accelerator))


def _status(accelerator: Accelerator) -> dict[str, str]:
    return {
        "status": "unavailable",
        "accelerator": accelerator.label,
        "reason": accelerator.reason,
    }
