"""The machine as a dependency: what results depend on besides the data and the code.

Without it, `dvc repro` on a second machine would keep the first one's numbers. No clock, no
host name, no path: the same machine gives the same file until its hardware or software changes.
"""

import os
import platform
import re
import subprocess
import uuid
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmark.common.digests import of_text
from benchmark.machine import processors
from benchmark.machine.accelerators import Accelerator, cpu_name, threads
from benchmark.machine.schema import Environment
from benchmark.machine.sensors import NvidiaGpu, SensorError

MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
HOST_IDS = (Path("/sys/class/dmi/id/product_uuid"), Path("/proc/sys/kernel/random/boot_id"))
"""What the containers of one host have in common and no other host has: the board's number, which
root can read; else a number that the host draws when it starts."""
CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
LOCALLY_ADMINISTERED = 0b11
"""Of an address's first byte: given by software, or (uuid.getnode without a card) by chance."""
SETTINGS = (
    "ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG", "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA", "LIBTPU_INIT_ARGS", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS",
    "NVIDIA_TF32_OVERRIDE", "ONEDNN_DEFAULT_FPMATH_MODE", "ONEDNN_MAX_CPU_ISA",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "XLA_FLAGS",
)  # fmt: skip
"""Variables that make the same code compute other bits on the same machine."""
WORD = re.compile(r"[\w:,.=-]{1,32}")
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "numpy", "pillow")


def fingerprint(accelerator: Accelerator) -> Environment:
    """Hardware and software behind an accelerator."""
    return Environment(
        accelerator=accelerator.label,
        device=accelerator.device,
        machine=machine_id(),
        cpu=cpu_name(),
        cores=psutil.cpu_count(logical=False) or os.cpu_count() or 1,
        processors=processors.cores(),
        threads=threads(),
        memory_gib=_memory_gib(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        packages=_packages(accelerator.name),
        settings=settings() or None,
        **_gpu(accelerator.name),
    )


def machine_id() -> str:
    """An opaque id of this machine, 16 hex digits: a hash that names nobody."""
    parts = (_identity(), cpu_name(), str(os.cpu_count()), str(_memory_gib()))
    return of_text("benchmark machine", *parts)[:16]


def settings() -> dict[str, str]:
    """Those of SETTINGS that are set. A text that may hold a path or a name stands as a digest."""
    found = {name: os.environ[name] for name in SETTINGS if os.environ.get(name)}
    return {n: v if WORD.fullmatch(v) else of_text(v)[:16] for n, v in found.items()}


def _packages(name: str) -> dict[str, str]:
    wanted = list(PACKAGES)
    if name in ("tpu", "xla") and find_spec("torch_xla"):
        wanted.append("torch_xla")
    if name == "tpu":
        wanted.append("libtpu")
    return {package: version(package) for package in wanted}


def _gpu(name: str) -> dict[str, Any]:
    if name != "gpu" or not torch.cuda.is_available():
        return {}
    properties = torch.cuda.get_device_properties(0)
    return {
        "gpu": of_text("benchmark gpu", str(properties.uuid))[:16],
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
        **_driver(),
    }


def _driver() -> dict[str, Any]:
    with suppress(SensorError):
        gpu = NvidiaGpu()
        return {"driver": gpu.driver_version(), "power_limit_watts": gpu.power_limit()}
    return {}


def _memory_gib() -> int:
    return round(psutil.virtual_memory().total / 2**30)


def _identity() -> str:
    """What the system calls itself; the network card's address where it has no name."""
    if _in_container():
        return _first_text(HOST_IDS)
    if found := _first_text(MACHINE_IDS):
        return found
    if platform.system() == "Darwin":
        command = ["ioreg", "-rd1", "-c", "IOPlatformExpertDevice"]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return next(line for line in lines.splitlines() if "IOPlatformUUID" in line)
    address = uuid.getnode()
    made_up = bool(address >> 40 & LOCALLY_ADMINISTERED)
    return "" if made_up else str(address)


def _in_container() -> bool:
    """Whether the system's own name, if any, is that of an image."""
    marks = any(mark.exists() for mark in CONTAINER_MARKS)
    return marks or bool({"container", "KUBERNETES_SERVICE_HOST"} & os.environ.keys())


def _first_text(sources: Sequence[Path]) -> str:
    """What the first of `sources` holds that can be read and is not empty."""
    for source in sources:
        with suppress(OSError):
            if text := source.read_text().strip():
                return text
    return ""
