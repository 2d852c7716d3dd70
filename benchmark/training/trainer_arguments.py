"""How Lightning's Trainer is told to use an accelerator, and how many of its devices."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch

from benchmark.common.parameters import ONE_DEVICE, TrainerParameters
from benchmark.distributed.process_group import cluster_environment
from benchmark.training.precision_plugins import TF32, XLAMixed


def trainer_arguments(
    name: str, precision: str, trainer: TrainerParameters = ONE_DEVICE
) -> dict[str, Any]:
    """What a Lightning Trainer needs to run on devices of this kind, a process each.

    With one device, a launcher's variables (SLURM, torchrun, LSF, MPI) may count more, because the
    job has more: Lightning would look for the others.
    """
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment

    several = trainer.processes > 1
    device = _xla_cpu() if name == "xla" else name
    precisions = [*_precision_plugin(name, precision)]
    arguments = {
        "accelerator": device,
        "devices": trainer.devices,
        "plugins": [
            cluster_environment() if several else LightningEnvironment(),
            *precisions,
        ],
    }
    if not precisions:
        arguments["precision"] = precision
    return arguments | (_several_devices(name, trainer) if several else {})


def _several_devices(name: str, trainer: TrainerParameters) -> dict[str, Any]:
    return {
        "num_nodes": trainer.num_nodes,
        "strategy": "ddp",
        # On a CPU the network has a batch norm of ours.
        "sync_batchnorm": trainer.sync_batchnorm and name == "gpu",
    }


def _precision_plugin(name: str, precision: str) -> Iterator[Any]:
    """Lightning's own words for a precision and a plugin for it exclude each other."""
    if precision == "tf32":
        yield TF32()
    elif name in ("tpu", "xla") and precision == "bf16-mixed":
        yield XLAMixed()


def _xla_cpu() -> Any:
    """Lightning's XLA accelerator, accepting the one CPU device that XLA offers here."""
    from pytorch_lightning.accelerators import XLAAccelerator

    class XLACPUAccelerator(XLAAccelerator):
        @staticmethod
        @cache
        def is_available() -> bool:
            return True

        @staticmethod
        @cache
        def auto_device_count() -> int:
            return 1

        @staticmethod
        def parse_devices(devices: int | str | list[int]) -> int:
            return int(devices) if isinstance(devices, int | str) else len(devices)

        @staticmethod
        def get_parallel_devices(devices: int | list[int]) -> list[torch.device]:
            return [torch.device("xla", 0)]

        @staticmethod
        def name() -> str:
            return "xla"

    return XLACPUAccelerator()
