"""Accelerators: check whether one is available, set it up, and wait for its work.

They are `cpu`, `gpu` (CUDA, else MPS), `tpu` (torch_xla), and `xla`. The last one is XLA's CPU
backend, which runs a TPU's code without a TPU. Reports always label it `xla:cpu`.
"""

import ctypes
import logging
import os
import platform
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from benchmark.common.sockets import make_room_for_sockets
from benchmark.errors.user_error import UserError
from benchmark.machine.processors import within_quota

PCI_DEVICES, GOOGLE_PCI_VENDOR = Path("/sys/bus/pci/devices"), "0x1ae0"
TPU_NAMES = {"v5litepod": "v5e"}
"""Usual names of TPUs, by torch_xla's name; names that are equal are left out."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt, as in malloc.h."""


@dataclass(frozen=True)
class Accelerator:
    """An accelerator's name, with its device or the reason why it is unavailable."""

    name: str
    device: str
    """The device's name in reports; empty if it is unavailable."""
    reason: str = ""
    """Why it cannot be used; empty if it can."""

    @property
    def available(self) -> bool:
        """Whether this process can use the accelerator."""
        return not self.reason

    @property
    def label(self) -> str:
        """The accelerator's name in reports: `xla:cpu` for `xla`, else the name itself."""
        return "xla:cpu" if self.name == "xla" else self.name


def find(name: str) -> Accelerator:
    """Return the accelerator `name` (one of parameters.ACCELERATORS), available or not."""
    finders: dict[str, Callable[[], Accelerator]] = {
        "cpu": _find_cpu, "gpu": _find_gpu, "tpu": _find_tpu, "xla": _find_xla,
    }  # fmt: skip
    return finders[name]()


def prepare(name: str, rank: int = 0) -> None:
    """Set up torch, Lightning and (on a TPU or `xla`) XLA's runtime in this process.

    It must be called before the process computes anything: XLA's runtime must start before the
    first backward pass (torch_xla 2.9.0). On other accelerators, Lightning is kept from importing
    torch_xla to look for a TPU, which takes seconds. The number of threads is set too.

    Raises:
        UserError: loader processes have no directory for their sockets, or OMP_DYNAMIC is set.
    """
    from lightning_fabric.accelerators.xla import _XLA_AVAILABLE
    from pytorch_lightning.utilities import rank_zero_only

    make_room_for_sockets()
    if os.environ.get("OMP_DYNAMIC", "").lower() in ("true", "1"):
        raise UserError(
            "OMP_DYNAMIC lets other work on the machine change the number of threads, and with it "
            "the order of sums.",
            "Unset it.",
        )
    rank_zero_only.rank = rank  # type: ignore[attr-defined]  # Lightning read it from the launcher's variables
    os.environ["PJRT_DEVICE"] = "TPU" if name == "tpu" else "CPU"
    _XLA_AVAILABLE.available = name in ("tpu", "xla")
    # Full float32 precision (no TF32), whatever environment variables say.
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    # With deterministic algorithms, torch would fill all new memory, which takes time. A program
    # that reads such memory would not repeat its results, and the replay stage checks that.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_num_threads(thread_count())  # fixes MKL's number of threads too
    _keep_freed_memory()
    if name in ("tpu", "xla"):
        import torch_xla.backends

        # It warns that its default was set before.
        logging.getLogger("torch_xla.backends").setLevel(logging.ERROR)
        torch_xla.backends.set_mat_mul_precision("highest")  # a TPU's default is bfloat16
        device(name)


def _keep_freed_memory() -> None:
    """Let glibc keep up to 1 GiB of freed memory for the next step; without glibc, do nothing.

    By default it returns freed memory of 64 MiB to the system, which must then fill it with zeros
    in each step. Blocks from 32 MiB are returned nevertheless, as by default.
    """
    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 2**25)
        mallopt(M_TRIM_THRESHOLD, 2**30)


def thread_count() -> int:
    """Return the number of threads that torch shall compute with.

    It is torch's present number, limited by the container's quota, which torch does not read. The
    affinity of the main thread is not used, since OMP_PROC_BIND binds it to one processor.
    """
    return within_quota(torch.get_num_threads())


def device(name: str) -> torch.device:
    """Return the torch device of the available accelerator `name`; on XLA, start its runtime."""
    match name:
        case "gpu":
            return torch.device("cuda" if torch.cuda.is_available() else "mps")
        case "tpu" | "xla":
            import torch_xla

            return torch.device(torch_xla.device())
    return torch.device("cpu")


def end_xla_graph(name: str) -> None:
    """Run the graph traced so far on XLA; do nothing on other accelerators. It does not wait."""
    if name in ("tpu", "xla"):
        import torch_xla

        torch_xla.sync()


def seed_generators(name: str, seed: int) -> None:
    """Seed the default generators of the host and of the accelerator.

    torch.manual_seed would also prepare devices that are not used, which takes half a millisecond.
    """
    torch.default_generator.manual_seed(seed)
    match device(name).type:
        case "cuda":
            torch.cuda.manual_seed(seed)
        case "mps":
            torch.mps.manual_seed(seed)
        case "xla":
            from torch_xla.core import xla_model

            xla_model.set_rng_state(seed)


def synchronise(name: str) -> None:
    """Wait until all work queued on the accelerator is done, so that elapsed time can be read."""
    match device(name).type:
        case "cuda":
            torch.cuda.synchronize()
        case "mps":
            torch.mps.synchronize()
        case "xla":
            import torch_xla
            from torch_xla.core import xla_model

            torch_xla.sync()  # runs the traced graph; even with wait=True it returns at once
            xla_model.wait_device_ops()


def count_compilations(name: str) -> int:
    """Return how many graphs were compiled in this process by XLA and torch.compile.

    Each recording of a CUDA graph counts too.
    """
    graphs = 0
    if dynamo := sys.modules.get("torch._dynamo.utils"):
        recordings = dynamo.compilation_time_metrics.get("CUDAGraphNode.record", [])
        graphs = int(dynamo.counters["stats"]["unique_graphs"]) + len(recordings)
    if name not in ("tpu", "xla"):
        return graphs
    import torch_xla.debug.metrics as metrics

    data = metrics.metric_data("CompileTime")
    return graphs + (int(data[0]) if data else 0)


def check_devices(name: str, devices: int) -> None:
    """Check that this machine has at least `devices` devices; `cpu` allows any number.

    Raises:
        UserError: the machine has fewer.
    """
    on_cuda = name == "gpu" and torch.cuda.is_available()
    most = torch.cuda.device_count() if on_cuda else 1
    if devices > most and name != "cpu":
        raise UserError(
            f"trainer.devices = {devices}: a training on {name} can use {most} here.", "Lower it."
        )


def cpu_name() -> str:
    """Return the CPU's model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line for line in lines if line.startswith("model name"))
        return model.split(":", 1)[1].strip()
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _find_cpu() -> Accelerator:
    return Accelerator("cpu", f"{cpu_name()}, {thread_count()} threads")


def _find_gpu() -> Accelerator:
    if torch.cuda.is_available():
        name, reason = torch.cuda.get_device_name(0), _lack_of_kernels()
        if (count := torch.cuda.device_count()) > 1:
            name = f"{name}, 1 of {count}"
        return Accelerator("gpu", "" if reason else name, reason and f"{name}: {reason}")
    if torch.backends.mps.is_available():
        if os.environ.get("DISABLE_MPS") == "1":  # Lightning reads this variable
            return Accelerator("gpu", "", "no CUDA device, and DISABLE_MPS is set")
        return Accelerator("gpu", f"{cpu_name()} (MPS)")
    if not torch.backends.cuda.is_built() and not torch.backends.mps.is_built():
        return Accelerator("gpu", "", "this torch was built without CUDA and MPS")
    return Accelerator("gpu", "", "no CUDA or MPS device found")


def _lack_of_kernels() -> str:
    """Return why this torch build cannot compute on the CUDA device; empty if it can.

    Kernels ("sm_90") run on devices of the same major and the same or a higher minor version. PTX
    code ("compute_90") also runs on all later devices. Source: NVIDIA's CUDA compatibility rules.
    """
    if torch.version.hip:
        return ""
    major, minor = torch.cuda.get_device_capability(0)
    architectures = torch.cuda.get_arch_list()
    for kind, digits in (name.split("_") for name in architectures):
        built = divmod(int(re.sub(r"\D", "", digits)), 10)
        if built <= (major, minor) and (kind == "compute" or built[0] == major):
            return ""
    return f"this torch has no kernels for sm_{major}{minor}, only for {', '.join(architectures)}"


def _find_tpu() -> Accelerator:
    if find_spec("torch_xla") is None:
        return Accelerator("tpu", "", "torch_xla is not installed")
    if not _has_google_device():  # then torch_xla need not be loaded
        return Accelerator("tpu", "", "no TPU found")
    return Accelerator("tpu", *_describe_tpu())


def _has_google_device() -> bool:
    """Return whether one of the PCI devices is Google's: a TPU or a network card."""
    vendors = PCI_DEVICES.glob("*/vendor")
    return any(vendor.read_text().strip() == GOOGLE_PCI_VENDOR for vendor in vendors)


def _describe_tpu() -> tuple[str, str]:
    """Return the TPU's name and the reason why it cannot be used; one of them is empty."""
    from torch_xla._internal import tpu

    if not tpu.num_available_chips():
        return "", "no TPU found"
    if find_spec("libtpu") is None:
        return "", "libtpu is not installed"
    try:
        kind, devices = tpu.get_tpu_type(), tpu.num_available_devices()
        hosts = tpu.num_tpu_workers()
    except (OSError, TypeError, KeyError) as error:  # no metadata server or variable names it
        return "", f"its type is unknown ({error})"
    if hosts > 1:
        return "", f"it is one of a slice's {hosts} hosts, and only one would be used"
    return f"TPU {TPU_NAMES.get(kind, kind)}, 1 of {devices} devices", ""


def _find_xla() -> Accelerator:
    if find_spec("torch_xla") is None:
        return Accelerator("xla", "", "torch_xla is not installed")
    return Accelerator("xla", f"XLA on {cpu_name()}")
