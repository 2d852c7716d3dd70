"""Check the inputs of a training before it starts, and digest them for its result."""

from importlib.metadata import version
from math import ceil
from pathlib import Path

from benchmark.common import code, digests
from benchmark.common.parameters import DEFAULT_ARCHITECTURE, TIMM, Parameters
from benchmark.common.results import DATASET, ResultPaths, read_result
from benchmark.data.folder import scan
from benchmark.data.schema import DATASET_RESULT
from benchmark.errors.user_error import UserError
from benchmark.machine.schema import ENVIRONMENT
from benchmark.training import compilation, networks, precision, weights
from benchmark.training.schema import Fingerprints


def check(name: str, parameters: Parameters) -> None:
    """Raise if the accelerator `name` does not support the parameters.

    Raises:
        UserError: the accelerator lacks the precision, the implementation of Adam, or the mode of
            torch.compile.
    """
    train = parameters.train
    precision.check(name, train.precision)
    compilation.check(name, parameters)
    if train.adam in ("fused", "foreach") and name in ("tpu", "xla"):
        raise UserError(
            f"train.adam: {name} does not support {train.adam}.",
            f"Set it to auto, or leave {name} out of accelerators.",
        )


def check_splits(parameters: Parameters) -> None:
    """Raise if a split has too few images.

    Raises:
        UserError: as `check_batches`, or val or test has fewer images than there are devices.
    """
    data, devices = parameters.data, parameters.trainer.processes
    splits = scan(Path(data.root)).splits
    synchronised = parameters.trainer.sync_batchnorm
    check_batches(parameters, len(splits["train"].labels), devices, synchronised=synchronised)
    for split in ("val", "test"):
        if len(splits[split].labels) < devices:
            raise UserError(
                f"{data.root}/{split} has fewer images than there are devices, {devices}.",
                "Train on fewer.",
            )


def check_batches(
    parameters: Parameters,
    images: int,
    devices: int = 1,
    *,
    synchronised: bool = False,
    drop_last: bool = False,
) -> None:
    """Raise if batches are smaller than `data.batch_size`, or the network cannot train on them.

    Args:
        images: number of training images.
        devices: number of devices, each of which takes `data.batch_size` images per step.
        synchronised: whether batch norm is over the images of all devices.
        drop_last: whether an epoch has full batches only.

    Raises:
        UserError: there are fewer images than one step takes, the network cannot process images of
            this size, or as `check_batch_norm`.
    """
    batch_size = parameters.data.batch_size
    if images < batch_size * devices:
        per_device = f" on each of {devices} devices" if devices > 1 else ""
        raise UserError(
            f"data.batch_size = {batch_size}{per_device}: there are {images} training images.",
            "Lower it.",
        )
    architecture, size = parameters.model.architecture, parameters.data.image_size
    if parameters.model.freeze_backbone:
        networks.check_image_size(architecture, size, 2, training=False)
    else:
        steps = images // (batch_size * devices)
        share = steps * batch_size if drop_last else ceil(images / devices)
        together = devices if synchronised else 1
        networks.check_batch_norm(architecture, share * together, batch_size * together, size)


def take_fingerprints(name: str, parameters: Parameters, stage: str) -> Fingerprints:
    """Return digests of the inputs of `stage` on the accelerator `name`.

    Weights count by their content, not by the name of their file. The batch size counts as the
    samples of all devices in a step. The results of the dataset and environment stages are read.

    Raises:
        UserError: one of these stages has not run, or the file of weights does not exist.
    """
    relevant = parameters.model_dump(include={"seed": True, "model": True, "train": True})
    del relevant["model"]["weights"], relevant["train"]["logger"]
    if parameters.model.architecture == DEFAULT_ARCHITECTURE:
        del relevant["model"]["architecture"]  # exports of older versions do not have it
    if parameters.model.architecture.startswith(TIMM):
        relevant["timm"] = version("timm")
    if parameters.trainer.processes > 1 and not parameters.trainer.sync_batchnorm:
        relevant["separate_batch_norms"] = parameters.trainer.processes
    size, devices = parameters.data.image_size, parameters.trainer.processes
    data = {"image_size": size, "batch_size": parameters.data.batch_size * devices}
    environment = read_result(ResultPaths(name).environment, ENVIRONMENT)
    return Fingerprints(
        parameters=digests.json_digest([relevant, data]),
        code=code.digest(code.STAGES[stage]),
        dataset=read_result(DATASET, DATASET_RESULT).md5,
        weights=weights.fingerprint(parameters.model),
        environment=digests.json_digest(environment.model_dump(mode="json", exclude_none=True)),
    )
