"""Peers: other software that trains the same network (timm, fastai, transformers).

Each peer trains in a separate process with its own network, optimizer and loader.
`benchmark/interleave/` starts this process as a user of the peer would: without this suite's
settings for threads, memory and deterministic kernels.
"""

import os
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import nn

from benchmark.common.parameters import Parameters
from benchmark.data.folder import scan
from benchmark.errors.user_error import UserError
from benchmark.timing.coroutine import Coroutine
from benchmark.timing.modes import Loop
from benchmark.training.fit import fine_tuner

PACKAGES = {
    "timm": ("timm",),
    "fastai": ("fastai",),
    "transformers": ("transformers", "accelerate"),
}
"""For each peer, the packages whose versions a result records."""


def start(name: str, accelerator: str, parameters: Parameters, workers: int) -> Loop | Coroutine:
    """Set up the training loop of peer `name` in this process, and return it paused.

    Its loader, with `workers` processes, has delivered a first batch, but no step has been trained:
    `run(steps)` trains.

    The network is the suite's with the same initial weights, in torch's default memory
    format and not compiled. For the rest of the process, warnings are hidden, torch's TF32 settings
    follow the precision, and torch_xla cannot be imported: a peer would prefer it to the GPU.

    Raises:
        UserError: the peer does not support the parameters or the accelerator.
        Exception: any other error of the peer.
    """
    precision = parameters.train.precision
    if accelerator not in ("cpu", "gpu"):
        raise UserError(f"Peers are not measured on {accelerator}.", "Measure them on cpu or gpu.")
    if precision == "bf16-true":
        raise UserError(f"Peers are not measured at {precision}.", "Choose another precision.")
    if parameters.model.freeze_backbone:
        raise UserError("A peer trains every layer.", "Set model.freeze_backbone to false.")
    warnings.simplefilter("ignore")
    os.environ["USE_TORCH_XLA"] = "0"
    sys.modules["torch_xla"] = None  # type: ignore[assignment]
    model = parameters.model.model_copy(update={"channels_last": False, "compile": False})
    default = parameters.model_copy(update={"model": model})
    network = fine_tuner(default, len(scan(Path(parameters.data.root)).classes)).network
    # Torch's default allows TF32 in convolutions, also where the Trainer is measured at 32-true.
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    fit = _adapter(name)(network, accelerator, parameters, workers)
    fit.start()
    return fit


def versions(name: str) -> dict[str, str]:
    """Return the versions of the packages of peer `name`, without importing them.

    Raises:
        UserError: a package is not installed.
    """
    try:
        return {package: version(package) for package in PACKAGES[name]}
    except PackageNotFoundError as error:
        raise UserError(f"{error.name} is not installed.", "make peers installs it.") from None


def _adapter(name: str) -> Callable[[nn.Module, str, Parameters, int], Loop | Coroutine]:
    match name:
        case "timm":
            from benchmark.timing import timm_peer

            return timm_peer.fit
        case "fastai":
            from benchmark.timing import fastai_peer

            return fastai_peer.fit
    from benchmark.timing import transformers_peer

    return transformers_peer.fit
