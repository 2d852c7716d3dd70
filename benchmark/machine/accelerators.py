"""The kinds of device: is one here, how Lightning is told to use it, when its work is done.

`cpu`, `gpu` (CUDA, else MPS), `tpu` (torch_xla), and `xla`: XLA's CPU backend, which runs the
code of a TPU without one and is always labelled `xla:cpu`.
"""

import logging
import os
import platform
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from benchmark.common.sockets import make_room_for_sockets
from benchmark.errors.user_error import UserError
from benchmark.machine import tpu
from benchmark.machine.processors import within_quota


@dataclass(frozen=True)
class Accelerator:
    """What was found under an accelerator's name."""

    name: str
    device: str
    """What a person would call it; empty if it is not here."""
    reason: str = ""
    """Why it cannot be used; empty if it can."""

    @property
    def available(self) -> bool:
        """Whether it can be used in this process."""
        return not self.reason

    @property
    def label(self) -> str:
        """Its name in reports: XLA's CPU backend must never pass for a TPU."""
        return "xla:cpu" if self.name == "xla" else self.name


def find(name: str) -> Accelerator:
    """Look for the accelerator `name`, one of parameters.ACCELERATORS."""
    finders: dict[str, Callable[[], Accelerator]] = {
        "cpu": _find_cpu, "gpu": _find_gpu, "tpu": _find_tpu, "xla": _find_xla,
    }  # fmt: skip
    return finders[name]()


def prepare(name: str, rank: int = 0) -> None:
    """Make the process ready for `name`: to be called before anything is computed.

    The XLA runtime must be up before the first backward pass of the process; one that starts
    later cannot run any (torch_xla 2.9.0). Elsewhere, Lightning would import torch_xla, which takes
    seconds, to look for a TPU.

    Raises:
        UserError: loader processes would find no directory for their sockets; or the number of
            threads would depend on the moment.
    """
    from lightning_fabric.accelerators.xla import _XLA_AVAILABLE
    from pytorch_lightning.utilities import rank_zero_only

    make_room_for_sockets()
    _refuse_changing_threads()
    rank_zero_only.rank = rank  # type: ignore[attr-defined]  # Lightning has asked the launcher
    os.environ["PJRT_DEVICE"] = "TPU" if name == "tpu" else "CPU"
    _XLA_AVAILABLE.available = name in ("tpu", "xla")
    _set_up_torch()
    if name in ("tpu", "xla"):
        import torch_xla.backends

        # It counts its own default as the first setting, and warns of this as a second.
        logging.getLogger("torch_xla.backends").setLevel(logging.ERROR)
        torch_xla.backends.set_mat_mul_precision("highest")  # a TPU's default is bfloat16
        device(name)


def _set_up_torch() -> None:
    """Numbers of as many bits as they say, whatever the environment says, and no time for nothing:
    under deterministic algorithms torch writes to all new memory, in case that somebody reads what
    was there before. Whoever did would not repeat itself, which every run is tried for."""
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_num_threads(threads())  # and MKL may choose no other number any more


def _refuse_changing_threads() -> None:
    """Sums are added up by as many threads as there are: other numbers, other bits."""
    if os.environ.get("OMP_DYNAMIC", "").lower() in ("true", "1"):
        raise UserError(
            "OMP_DYNAMIC lets other work on the machine change the number of threads, and with it "
            "the results.",
            "Unset it.",
        )


def threads() -> int:
    """Threads that torch computes with: as many as it chose, but no more than a container's quota
    is worth, which torch does not see. (OMP_PROC_BIND leaves this thread one processor, and the
    others theirs: where it may run says nothing about them.)"""
    return within_quota(torch.get_num_threads())


def device(name: str) -> torch.device:
    """The torch device behind an available accelerator."""
    match name:
        case "gpu":
            return torch.device("cuda" if torch.cuda.is_available() else "mps")
        case "tpu" | "xla":
            import torch_xla

            return torch.device(torch_xla.device())
    return torch.device("cpu")


def dispatch(name: str) -> None:
    """Start what was traced: the end of a step, which only XLA needs to be told."""
    if name in ("tpu", "xla"):
        import torch_xla

        torch_xla.sync()


def synchronise(name: str) -> None:
    """Return when all work queued on the accelerator is done, so that a clock may be read."""
    match device(name).type:
        case "cuda":
            torch.cuda.synchronize()
        case "mps":
            torch.mps.synchronize()
        case "xla":
            import torch_xla
            from torch_xla.core import xla_model

            torch_xla.sync()  # starts what was traced; even with wait=True it returns at once
            xla_model.wait_device_ops()


def compilations(name: str) -> int:
    """Graphs compiled in this process so far, by XLA or by torch.compile."""
    dynamo = sys.modules.get("torch._dynamo.utils")
    graphs = int(dynamo.counters["stats"]["unique_graphs"]) if dynamo else 0
    if name not in ("tpu", "xla"):
        return graphs
    import torch_xla.debug.metrics as metrics

    data = metrics.metric_data("CompileTime")
    return graphs + (int(data[0]) if data else 0)


def check_devices(name: str, devices: int) -> None:
    """Refuse more devices of a machine than a training can use; of processes on a CPU there may
    be any number.

    Raises:
        UserError: there are fewer.
    """
    on_cuda = name == "gpu" and torch.cuda.is_available()
    most = torch.cuda.device_count() if on_cuda else 1
    if devices > most and name != "cpu":
        raise UserError(
            f"trainer.devices = {devices}: a training on {name} can use {most} here.", "Lower it."
        )


def cpu_name() -> str:
    """The processor's model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        named = next(line for line in lines if line.startswith("model name"))
        return named.split(":", 1)[1].strip()
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _find_cpu() -> Accelerator:
    return Accelerator("cpu", f"{cpu_name()}, {threads()} threads")


def _find_gpu() -> Accelerator:
    if torch.cuda.is_available():
        name, reason = torch.cuda.get_device_name(0), _lack_of_kernels()
        if (count := torch.cuda.device_count()) > 1:
            name = f"{name}, 1 of {count}"
        return Accelerator("gpu", "" if reason else name, reason and f"{name}: {reason}")
    if torch.backends.mps.is_available():
        if os.environ.get("DISABLE_MPS") == "1":  # which Lightning heeds
            return Accelerator("gpu", "", "there is no CUDA device, and DISABLE_MPS is set")
        return Accelerator("gpu", f"{cpu_name()} (MPS)")
    if not torch.backends.cuda.is_built() and not torch.backends.mps.is_built():
        return Accelerator("gpu", "", "this torch was built without CUDA and MPS")
    return Accelerator("gpu", "", "no CUDA or MPS device found")


def _lack_of_kernels() -> str:
    """Why this torch cannot compute on the CUDA device; empty if it can.

    Kernels run on devices of their major version and of no lower minor one; portable code
    ("compute_90") also on all later devices. Source: NVIDIA's CUDA compatibility rules.
    """
    if torch.version.hip:
        return ""
    major, minor = torch.cuda.get_device_capability(0)
    known = torch.cuda.get_arch_list()
    for kind, digits in (name.split("_") for name in known):
        built = divmod(int(re.sub(r"\D", "", digits)), 10)
        if built <= (major, minor) and (kind == "compute" or built[0] == major):
            return ""
    return f"this torch has no kernels for sm_{major}{minor}, only for {', '.join(known)}"


def _find_tpu() -> Accelerator:
    return Accelerator("tpu", *tpu.find())


def _find_xla() -> Accelerator:
    if find_spec("torch_xla") is None:
        return Accelerator("xla", "", "torch_xla is not installed")
    return Accelerator("xla", f"XLA on {cpu_name()}")
