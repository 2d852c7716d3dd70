"""The training stage: fine-tune and test on one accelerator, and write what came of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors.torch import save

from benchmark.common import digests
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
from benchmark.data.folder import scan
from benchmark.distributed import process_group
from benchmark.errors.user_error import UserError
from benchmark.machine import accelerators
from benchmark.machine.accelerators import Accelerator
from benchmark.machine.lock import measuring_lock
from benchmark.training.checkpoint_dir import SCRATCH, scratch
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
    """The stage: train on an accelerator that is here, with the run's own seed or a further one.

    Raises:
        UserError: the data or the weights are not usable, another process is training, `training`
            is not among the parameters' seeds, or as `check_batches`.
    """
    parameters = parameters.of_training(training)
    inputs = take_fingerprints(accelerator.name, parameters, "train")
    train_and_write(
        accelerator, parameters, inputs, ResultPaths(accelerator.name).training(training)
    )


def train_and_write(
    accelerator: Accelerator, parameters: Parameters, inputs: Fingerprints, results: TrainingPaths
) -> None:
    """Train as `parameters` say and write `results`; raises as `run`."""
    check(accelerator.name, parameters.train)
    accelerators.check_devices(accelerator.name, parameters.trainer.devices)
    check_splits(parameters)
    title, logger = f"{accelerator.label}{results.kind}", parameters.train.logger
    with (
        process_group.process_group(accelerator.name, parameters.trainer.processes),
        _kept(results, inputs) as directory,
        process_group.one_per_node(measuring_lock()),
    ):
        run = Fit(accelerator, parameters, directory, title=title, logger=logger).fit_and_test()
        if process_group.get_rank() == 0:
            _write(run, inputs, results)


@contextmanager
def _kept(results: TrainingPaths, inputs: Fingerprints) -> Iterator[Path]:
    """The first rank's directory for checkpoints."""
    _require_alike(inputs)
    if process_group.get_rank():
        yield process_group.broadcast(SCRATCH)
    else:
        with scratch(results.checkpoint_dir, scratch_key(inputs), results.result) as directory:
            yield process_group.broadcast(directory)


def _require_alike(inputs: Fingerprints) -> None:
    """Other machines may have other images, weights or code."""
    first, *others = (
        each.model_dump(exclude={"environment"}) for each in process_group.all_gather(inputs)
    )
    for rank, other in enumerate(others, start=1):
        if different := [key for key in first if first[key] != other[key]]:
            raise UserError(
                f"Rank {rank} has other {' and '.join(different)} than rank 0.",
                "Bring both machines to the same commit, params.yaml, images and weights.",
            )


def scratch_key(inputs: Fingerprints) -> str:
    """Names the scratch directory: a run resumes only what began from the same inputs."""
    place = str(Path.cwd())  # Lightning stores absolute paths in its checkpoints
    return digests.of_json([*inputs.model_dump().values(), place])[:32]


def _write(run: Fit, inputs: Fingerprints, results: TrainingPaths) -> None:
    state = run.model.network.state_dict()
    learned = {name: value.cpu().contiguous() for name, value in state.items()}
    result = _result(run, inputs, digests.of_state(learned))
    with new_directory(results.model) as directory:
        # safetensors would write a file that nobody else can read.
        write_bytes(directory / "weights.safetensors", save(learned))
        write_json(directory / "status.json", {"status": "ok", "classes": list(run.data.classes)})
    write_csv(results.steps, STEP_HEADER, map(exact, run.history.steps))
    write_csv(results.epochs, EPOCH_HEADER, map(exact, run.history.epochs))
    write_csv(results.predictions, PREDICTION_HEADER, _predictions(run))
    write_csv(
        results.tensors,
        (*TENSOR_HEADER, *range(1, run.first_steps.steps + 1)),
        ([name, *found] for name, found in run.first_steps.tensors.items()),
    )
    write_result(results.timing, _timing(run))
    write_result(results.result, result)


def _result(run: Fit, inputs: Fingerprints, learned: str) -> Training:
    epochs = run.history.epochs
    best = min(epochs, key=lambda row: row[2])
    return Training(
        accelerator=run.accelerator.label,
        device=_device(run),
        test=_metrics(run.test, "test/"),
        val=_metrics(dict(zip(("loss", "accuracy", "top5"), best[2:], strict=True))),
        epochs=len(epochs),
        best_epoch=best[0],
        steps=len(run.history.steps),
        classes=len(run.data.classes),
        digests=_digests(run, learned),
        inputs=inputs,
    )


def _device(run: Fit) -> str:
    """With its number if there are several, and what that means for the figures beside it."""
    trainer = run.parameters.trainer
    if trainer.processes == 1:
        return run.accelerator.device
    batch_norm = "synchronised" if trainer.sync_batchnorm else "of each device"
    device, _, _ = run.accelerator.device.partition(", 1 of ")
    return f"{trainer.processes} x {device} (batch norm {batch_norm}; speed is of one)"


def _digests(run: Fit, learned: str) -> Digests:
    order = run.data.digest_log.order
    return Digests(
        weights=learned,
        initial_weights=run.initial,
        order=order[max(order)],
        pixels=run.data.digest_log.pixels,
        first_steps=FirstSteps(steps=run.first_steps.steps, weights=run.first_steps.weights),
        order_by_epoch=tuple(order[epoch] for epoch in sorted(order)),
    )


def _predictions(run: Fit) -> Iterator[list[str]]:
    """A row for each test image: its path below test/, its class, and what it was taken for."""
    classes, root = run.data.classes, run.data.root / "test"
    images = scan(run.data.root).splits["test"]
    found = zip(images.paths, images.labels, run.predictions.rows, strict=True)
    for path, label, (predicted, probability) in found:
        name = path.relative_to(root).as_posix()
        yield [name, classes[label], classes[predicted], f"{probability:.6f}"]


def _metrics(values: Mapping[str, float], prefix: str = "") -> Metrics:
    rounded = {name: round(values[prefix + name], 6) for name in ("loss", "accuracy", "top5")}
    return Metrics(**rounded)


def _timing(run: Fit) -> Timing:
    """Features are those of training and validation; those of the test count in its time."""
    total = run.features_seconds + sum(run.epoch_timer.seconds) + run.test_seconds
    return Timing(
        accelerator=run.accelerator.label,
        total_seconds=round(total, 3),
        features_seconds=round(run.features_seconds, 3),
        epoch_seconds=tuple(round(seconds, 3) for seconds in run.epoch_timer.seconds),
        test_seconds=round(run.test_seconds, 3),
    )


def exact(row: tuple[float, ...]) -> list[str]:
    """Nine digits tell every float32 from its neighbours."""
    return [str(value) if isinstance(value, int) else f"{value:.9g}" for value in row]


def read_training(results: TrainingPaths) -> Training:
    """The result of a training on an accelerator that is here.

    Raises:
        UserError: it has not run, or was without the accelerator, which has come since.
    """
    training = read_result(results.result, TRAINING)
    if isinstance(training, Unavailable):
        raise UserError(f"{results.result} is of an absent accelerator.", "Repeat it: make repro.")
    return training


def from_scratch(parameters: Parameters, epochs: int) -> Parameters:
    """`parameters` with random weights and all layers trained, over exactly `epochs` epochs."""
    model = parameters.model.model_copy(update={"weights": "random", "freeze_backbone": False})
    steps = {"max_epochs": epochs, "patience": epochs, "unfreeze_epoch": 0}
    train = parameters.train.model_copy(update=steps)
    return parameters.model_copy(update={"model": model, "train": train})
