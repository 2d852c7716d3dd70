"""Make the arguments with which Lightning's Trainer uses an accelerator and its devices."""

from functools import cache
from typing import Any

import torch

from benchmark.common.parameters import ONE_DEVICE, TrainerParameters
from benchmark.distributed.process_group import cluster_environment
from benchmark.training.precision import plugin


def trainer_arguments(
    name: str, precision: str, trainer: TrainerParameters = ONE_DEVICE
) -> dict[str, Any]:
    """Return a Trainer's arguments for devices of the accelerator `name`, one process each.

    For one device, Lightning does not read a launcher's variables (SLURM, torchrun, LSF, MPI): it
    would wait for the other processes of the job.
    """
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment

    parallel = trainer.processes > 1
    precision_plugin = plugin(name, precision)
    arguments: dict[str, Any] = {
        "accelerator": xla_cpu() if name == "xla" else name,
        "devices": trainer.devices,
        "plugins": [cluster_environment() if parallel else LightningEnvironment()],
    }
    # Lightning refuses its own name of a precision together with a plugin for one.
    if precision_plugin:
        arguments["plugins"].append(precision_plugin)
    else:
        arguments["precision"] = precision
    if parallel:
        arguments |= {
            "num_nodes": trainer.num_nodes,
            "strategy": "ddp",
            # On a CPU the network itself has a synchronised batch norm.
            "sync_batchnorm": trainer.sync_batchnorm and name == "gpu",
        }
    return arguments


def xla_cpu() -> Any:
    """Return a Lightning accelerator that runs XLA on its only CPU device."""
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
