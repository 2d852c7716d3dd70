"""Fingerprint of the hardware and software that results depend on, for DVC as a dependency.

Without it, `dvc repro` on a second machine would keep the first machine's numbers. It does not
contain times, host names or paths, so it changes only with the hardware or the software.
"""

import os
import platform
import re
import subprocess
import uuid
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from math import ceil, log2
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmark.common.digests import text_digest
from benchmark.machine import processors
from benchmark.machine.accelerators import Accelerator, cpu_name, thread_count
from benchmark.machine.schema import Environment
from benchmark.machine.sensors import NvidiaGpu, SensorError

MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
PRODUCT_UUID = Path("/sys/class/dmi/id/product_uuid")
"""File with the mainboard's UUID, equal in all containers of a host; only root can read it."""
MODEL_NAMES = tuple(
    Path("/sys/class/dmi/id") / name for name in ("sys_vendor", "product_name", "board_name")
)
CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
LOCALLY_ADMINISTERED = 0b11
"""Bits of a MAC address's first byte that mark an address set by software, or a random one from
uuid.getnode."""
SETTINGS = (
    "ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG", "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA", "LIBTPU_INIT_ARGS", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS",
    "NVIDIA_TF32_OVERRIDE", "ONEDNN_DEFAULT_FPMATH_MODE", "ONEDNN_MAX_CPU_ISA",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "XLA_FLAGS",
)  # fmt: skip
"""Environment variables that can change the bits of results on the same machine."""
WORD = re.compile(r"[\w:,.=-]{1,32}")
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "numpy", "pillow")


def fingerprint(accelerator: Accelerator) -> Environment:
    """Return a description of an available accelerator's hardware and software."""
    return Environment(
        accelerator=accelerator.label,
        device=accelerator.device,
        machine=machine_id(),
        cpu=cpu_name(),
        cores=psutil.cpu_count(logical=False) or os.cpu_count() or 1,
        processors=processors.processor_count(),
        threads=thread_count(),
        memory_gib=_memory_gib(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        packages=_packages(accelerator.name),
        settings=settings() or None,
        **_gpu(accelerator.name),
    )


def machine_id() -> str:
    """Return an opaque id of this machine, 16 hex digits of a hash.

    It does not change when the machine restarts. In containers that cannot read the mainboard's
    UUID, all machines of one model have the same id.
    """
    parts = (_identity(), cpu_name(), str(os.cpu_count()), str(_memory_gib()))
    return text_digest("benchmark machine", *parts)[:16]


def settings() -> dict[str, str]:
    """Return the values of those SETTINGS that are set, by name.

    A value that does not match WORD may contain a path or a name, so a digest replaces it.
    """
    values = {name: os.environ[name] for name in SETTINGS if os.environ.get(name)}
    return {n: v if WORD.fullmatch(v) else text_digest(v)[:16] for n, v in values.items()}


def _packages(name: str) -> dict[str, str]:
    more = {"tpu": ("torch_xla", "libtpu"), "xla": ("torch_xla",)}
    return {package: version(package) for package in (*PACKAGES, *more.get(name, ()))}


def _gpu(name: str) -> dict[str, Any]:
    if name != "gpu" or not torch.cuda.is_available():
        return {}
    facts = {
        "gpu": text_digest("benchmark gpu", str(torch.cuda.get_device_properties(0).uuid))[:16],
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
    }
    with suppress(SensorError):
        gpu = NvidiaGpu()
        return {**facts, "driver": gpu.driver_version(), "power_limit_watts": gpu.power_limit()}
    return facts


def _memory_gib() -> int:
    """Return the installed memory in GiB, rounded up to an eighth of the next power of two.

    The system reserves a few percent of it, which vary with each start. Memory modules have such
    sizes, so the reported total is always a little below one of them.
    """
    gib = psutil.virtual_memory().total / 2**30
    step = max(1, 2 ** ceil(log2(gib)) // 8)
    return step * ceil(gib / step)


def _identity() -> str:
    """Return the best readable identifier of this machine.

    Outside of containers it is the machine id, else the mainboard's UUID, then a MAC address, then
    the names of the machine's model.
    """
    marks = any(mark.exists() for mark in CONTAINER_MARKS)
    in_container = marks or bool({"container", "KUBERNETES_SERVICE_HOST"} & os.environ.keys())
    if not in_container:  # in a container, the machine id may be its image's
        if system_id := _first_text(MACHINE_IDS):
            return system_id
        if platform.system() == "Darwin":
            command = ["ioreg", "-rd1", "-c", "IOPlatformExpertDevice"]
            lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            return next(line for line in lines.splitlines() if "IOPlatformUUID" in line)
    elif product := _first_text([PRODUCT_UUID]):
        return product
    address = uuid.getnode()
    if not address >> 40 & LOCALLY_ADMINISTERED:
        return str(address)
    return " ".join(_first_text([name]) for name in MODEL_NAMES).strip()


def _first_text(sources: Sequence[Path]) -> str:
    """Return the content of the first readable file that is not empty; else an empty string."""
    for source in sources:
        with suppress(OSError):
            if text := source.read_text().strip():
                return text
    return ""
