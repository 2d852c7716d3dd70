"""What a training begins from: checked before it starts, and digested into its result."""

from math import ceil
from pathlib import Path

from benchmark.common import code, digests
from benchmark.common.parameters import Parameters, TrainParameters
from benchmark.common.results import DATASET, ResultPaths, read_result
from benchmark.data.folder import scan
from benchmark.data.schema import DATASET_RESULT
from benchmark.errors.user_error import UserError
from benchmark.machine.schema import ENVIRONMENT
from benchmark.training import precision, weights
from benchmark.training.model import check_batches
from benchmark.training.schema import Fingerprints


def check(name: str, train: TrainParameters) -> None:
    """Refuse what the accelerator `name` does not have.

    Raises:
        UserError: it lacks the precision, or the implementation of Adam.
    """
    precision.check(name, train.precision)
    if train.adam in ("fused", "foreach") and name in ("tpu", "xla"):
        raise UserError(
            f"train.adam: there is no {train.adam} Adam on {name}.",
            f"Set it to auto, or leave {name} out of accelerators.",
        )


def check_splits(parameters: Parameters) -> None:
    """Refuse splits that give a device too little.

    Raises:
        UserError: as `check_samples` and `check_batches`, or an evaluation has fewer images than
            there are devices.
    """
    data, devices = parameters.data, parameters.trainer.processes
    together = devices if parameters.trainer.sync_batchnorm else 1
    splits = scan(Path(data.root)).splits
    images = len(splits["train"].labels)
    check_samples(images, data.batch_size, devices)
    if not parameters.model.freeze_backbone:
        of_each = ceil(images / devices)
        check_batches(of_each * together, data.batch_size * together, data.image_size)
    for split in ("val", "test"):
        if len(splits[split].labels) < devices:
            raise UserError(
                f"{data.root}/{split} has fewer images than there are devices, {devices}.",
                "Train on fewer.",
            )


def check_samples(samples: int, batch_size: int, devices: int = 1) -> None:
    """Refuse what would train with smaller batches than it was asked to.

    Raises:
        UserError: there are fewer training samples than the devices' batches hold.
    """
    if samples < batch_size * devices:
        of_each = f" on each of {devices} devices" if devices > 1 else ""
        raise UserError(
            f"data.batch_size = {batch_size}{of_each}: there are {samples} training images.",
            "Lower it.",
        )


def take_fingerprints(name: str, parameters: Parameters, stage: str) -> Fingerprints:
    """Digest the inputs of a `stage` on `name`; the stages before it must have run. Weights count
    by their content: the name of their file changes nothing. Batches count as what all devices see
    together at a step."""
    relevant = parameters.model_dump(include={"seed": True, "model": True, "train": True})
    del relevant["model"]["weights"], relevant["train"]["logger"]
    if parameters.trainer.processes > 1 and not parameters.trainer.sync_batchnorm:
        relevant["separate_batch_norms"] = parameters.trainer.processes
    size, devices = parameters.data.image_size, parameters.trainer.processes
    data = {"image_size": size, "batch_size": parameters.data.batch_size * devices}
    environment = read_result(ResultPaths(name).environment, ENVIRONMENT)
    return Fingerprints(
        parameters=digests.of_json([relevant, data]),
        code=code.digest(code.STAGES[stage]),
        dataset=read_result(DATASET, DATASET_RESULT).md5,
        weights=weights.fingerprint(parameters.model),
        environment=digests.of_json(environment.model_dump(mode="json", exclude_none=True)),
    )
