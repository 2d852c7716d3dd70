"""The most memory that a process had in use."""

import resource
import sys
from collections.abc import Sequence
from contextlib import suppress

import torch

from benchmark.machine import accelerators
from benchmark.machine.schema import Memory


def peak_memory(accelerator: str) -> Memory:
    """Return this process's peak memory so far, on the host (resident) and on the device.

    MPS reports only the memory in use now. Loader processes are not counted.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    match accelerators.device(accelerator).type:
        case "cuda":
            return Memory(host_bytes=host, device_bytes=torch.cuda.max_memory_allocated())
        case "mps":
            return Memory(host_bytes=host, device_bytes=torch.mps.driver_allocated_memory())
        case "xla":
            from torch_xla.core import xla_model

            with suppress(RuntimeError, KeyError):
                size = int(xla_model.get_memory_info()["peak_bytes_used"])
                return Memory(host_bytes=host, device_bytes=size)
            return Memory(host_bytes=host, device_reason="this XLA backend does not report it")
    return Memory(host_bytes=host, device_reason="the host's memory is the device's")


def largest(memories: Sequence[Memory]) -> Memory:
    """Return the largest peaks of several processes; the device's only if all of them have one."""
    devices = [memory.device_bytes for memory in memories if memory.device_bytes is not None]
    return Memory(
        host_bytes=max(memory.host_bytes for memory in memories),
        device_bytes=max(devices) if len(devices) == len(memories) else None,
        device_reason=next((m.device_reason for m in memories if m.device_reason), None),
    )
