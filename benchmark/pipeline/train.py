"""The training stage: fine-tune and test on one accelerator, then write the results."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from safetensors.torch import save

from benchmark.common import digests, tensor_digests
from benchmark.common.files import new_directory, write_bytes, write_csv, write_json
from benchmark.common.parameters import Parameters
from benchmark.common.results import (
    EPOCH_HEADER,
    OWN,
    PREDICTION_HEADER,
    STEP_HEADER,
    TENSOR_HEADER,
    ResultPaths,
    TrainingPaths,
    Unavailable,
    read_result,
    write_result,
)
from benchmark.common.temporary import reserve_space
from benchmark.data.folder import scan
from benchmark.distributed import process_group
from benchmark.errors.user_error import UserError
from benchmark.machine import accelerators
from benchmark.machine.accelerators import Accelerator
from benchmark.machine.lock import measuring_lock
from benchmark.training.checkpoint_dir import CHECKPOINTS, checkpoint_dir
from benchmark.training.fit import Fit
from benchmark.training.inputs import check, check_splits, take_fingerprints
from benchmark.training.schema import (
    TRAINING,
    Digests,
    Fingerprints,
    FirstSteps,
    Metrics,
    Timing,
    Training,
)


def run(accelerator: Accelerator, parameters: Parameters, training: str = OWN) -> None:
    """Run the stage: train on an available accelerator with one of the parameters' seeds.

    It writes the result files of `training`.

    Args:
        training: OWN for `parameters.seed`, or another of `seeds`.

    Raises:
        UserError: the data or the weights are not usable, another process is training, or
            `training` is not among the seeds.
    """
    results = ResultPaths(accelerator.name).training(training)
    train_and_write(accelerator, parameters.of_training(training), results, "train")


def train_and_write(
    accelerator: Accelerator, parameters: Parameters, results: TrainingPaths, stage: str
) -> None:
    """Train with these parameters on all ranks; rank 0 writes `results`. Raises as `run`."""
    inputs = take_fingerprints(accelerator.name, parameters, stage)
    check(accelerator.name, parameters)
    accelerators.check_devices(accelerator.name, parameters.trainer.devices)
    check_splits(parameters)
    title, logger = f"{accelerator.label}{results.kind}", parameters.train.logger
    with (
        process_group.process_group(accelerator.name, parameters.trainer.processes),
        _checkpoint_dir(results, inputs) as directory,
        process_group.one_per_node(measuring_lock()),
    ):
        fit = Fit(accelerator, parameters, directory, title=title, logger=logger).fit_and_test()
        if process_group.get_rank() == 0:
            _write(fit, inputs, results)


@contextmanager
def _checkpoint_dir(results: TrainingPaths, inputs: Fingerprints) -> Iterator[Path]:
    """Compare the inputs of all ranks, then yield the directory of checkpoints.

    Every rank gets the path of rank 0's directory; only rank 0 makes, locks and removes it.

    Raises:
        UserError: a rank has other inputs, because its machine has other images, weights or code.
    """
    first, *rest = (
        rank_inputs.model_dump(exclude={"environment"})
        for rank_inputs in process_group.all_gather(inputs)
    )
    for rank, rank_inputs in enumerate(rest, start=1):
        if different := [key for key in first if first[key] != rank_inputs[key]]:
            raise UserError(
                f"Rank {rank} has other {' and '.join(different)} than rank 0.",
                "Bring both machines to the same commit, params.yaml, images and weights.",
            )
    if process_group.get_rank():
        yield process_group.broadcast(CHECKPOINTS)
        return
    # A run resumes only what had the same inputs. Lightning stores absolute paths in checkpoints.
    key = digests.json_digest([*inputs.model_dump().values(), str(Path.cwd())])[:32]
    with (
        checkpoint_dir(results.checkpoint_dir, key, results.result) as directory,
        reserve_space(results.result),
    ):
        yield process_group.broadcast(directory)


def _write(fit: Fit, inputs: Fingerprints, results: TrainingPaths) -> None:
    state = fit.model.network.state_dict()
    learned = {name: value.cpu().contiguous() for name, value in state.items()}
    result = _result(fit, inputs, tensor_digests.state_digest(learned))
    with new_directory(results.model) as directory:
        # safetensors' save_file would write a file that only its owner can read.
        write_bytes(directory / "weights.safetensors", save(learned))
        write_json(directory / "status.json", {"status": "ok", "classes": list(fit.data.classes)})
    write_csv(results.steps, STEP_HEADER, map(format_row, fit.history.steps))
    write_csv(results.epochs, EPOCH_HEADER, map(format_row, fit.history.epochs))
    write_csv(results.predictions, PREDICTION_HEADER, _predictions(fit))
    write_csv(
        results.tensors,
        (*TENSOR_HEADER, *range(1, fit.first_steps.steps + 1)),
        ([name, *values] for name, values in fit.first_steps.tensors.items()),
    )
    write_result(results.timing, _timing(fit))
    write_result(results.result, result)


def _result(fit: Fit, inputs: Fingerprints, learned: str) -> Training:
    epochs, order = fit.history.epochs, fit.data.digest_log.order
    best_epoch, _, *val = min(epochs, key=lambda row: row[2])
    test = [fit.test[f"test/{name}"] for name in Metrics.model_fields]
    return Training(
        accelerator=fit.accelerator.label,
        device=_device(fit),
        test=_metrics(test),
        val=_metrics(val),
        epochs=len(epochs),
        best_epoch=best_epoch,
        steps=len(fit.history.steps),
        classes=len(fit.data.classes),
        digests=Digests(
            weights=learned,
            initial_weights=fit.initial,
            order=order[max(order)],
            pixels=fit.data.digest_log.pixels,
            first_steps=FirstSteps(steps=fit.first_steps.steps, weights=fit.first_steps.weights),
            order_by_epoch=tuple(order[epoch] for epoch in sorted(order)),
        ),
        inputs=inputs,
    )


def _device(fit: Fit) -> str:
    """Return the device's name; for several devices also their number and batch norm."""
    trainer = fit.parameters.trainer
    if trainer.processes == 1:
        return fit.accelerator.device
    batch_norm = "synchronised" if trainer.sync_batchnorm else "of each device"
    device, _, _ = fit.accelerator.device.partition(", 1 of ")
    return f"{trainer.processes} x {device} (batch norm {batch_norm}; speed is of one)"


def _predictions(fit: Fit) -> Iterator[list[str]]:
    """Yield a row for each test image: path below test/, class, predicted class, probability."""
    classes, images = fit.data.classes, scan(fit.data.root).splits["test"]
    rows = zip(images.paths, images.labels, fit.predictions.rows, strict=True)
    for path, label, (predicted, probability) in rows:
        name = path.relative_to(fit.data.root / "test").as_posix()
        yield [name, classes[label], classes[predicted], f"{probability:.6f}"]


def _metrics(values: Sequence[float]) -> Metrics:
    loss, accuracy, top5 = (round(value, 6) for value in values)
    return Metrics(loss=loss, accuracy=accuracy, top5=top5)


def _timing(fit: Fit) -> Timing:
    """Return the wall times. The features of the test split count in the time of the test."""
    epochs = fit.epoch_timer.seconds
    total = fit.features_seconds + sum(epochs) + fit.test_seconds
    return Timing(
        accelerator=fit.accelerator.label,
        total_seconds=round(total, 3),
        features_seconds=round(fit.features_seconds, 3),
        epoch_seconds=tuple(round(seconds, 3) for seconds in epochs),
        test_seconds=round(fit.test_seconds, 3),
    )


def format_row(row: tuple[float, ...]) -> list[str]:
    """Return numbers as text; nine digits distinguish every two float32 numbers."""
    return [str(value) if isinstance(value, int) else f"{value:.9g}" for value in row]


def read_training(results: TrainingPaths) -> Training:
    """Read the result of a training on an available accelerator.

    Raises:
        UserError: the training has not run, or the accelerator was unavailable then.
    """
    training = read_result(results.result, TRAINING)
    if isinstance(training, Unavailable):
        raise UserError(
            f"{results.result} was recorded when the accelerator was unavailable.",
            "Repeat it: make repro.",
        )
    return training
