"""How well an accelerator is used: work done, the most it can do, memory."""

import resource
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import torch
from lightning_fabric.utilities.throughput import get_available_flops
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmark.common.parameters import ModelParameters, Parameters
from benchmark.machine import accelerators
from benchmark.throughput.schema import Memory, Peak
from benchmark.training.model import FineTuner
from benchmark.training.precision import tf32

DTYPES = {
    "32-true": torch.float32,
    "tf32": torch.float32,
    "bf16-mixed": torch.bfloat16,
    "bf16-true": torch.bfloat16,
    "16-mixed": torch.float16,
}
MATRIX_SIDES = (512, 1024, 2048, 4096, 8192)
PEAK_SECONDS = 0.05


def flops_per_image(parameters: Parameters, classes: int) -> int:
    """Floating-point operations of one image's forward and backward pass, a multiplication and an
    addition counted as two, as torch counts them: in convolutions and matrix products alone.

    Counted without computing anything, on tensors of no content.
    """
    plain = {"weights": "random", "compile": False, "channels_last": False}
    model = ModelParameters(**parameters.model.model_dump() | plain)
    with torch.device("meta"):
        network = FineTuner(classes, 0, model, 1.0).network
        images = torch.empty(2, 3, parameters.data.image_size, parameters.data.image_size)
        labels = torch.zeros(2, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        nn.functional.cross_entropy(network(images), labels).backward()
    return int(counter.get_total_flops()) // 2


def peak(accelerator: str, precision: str) -> Peak:
    """The best rate of matrix products and convolutions in this process, in FLOP/s, and of what.

    Sides of the matrices grow until a product takes PEAK_SECONDS.
    """
    with tf32(precision == "tf32"):
        return _peak(accelerator, accelerators.device(accelerator), DTYPES[precision])


def vendor_peak(device: torch.device, dtype: torch.dtype) -> float | None:
    """What the vendor promises, in FLOP/s, as Lightning lists it; None for what it does not list
    and for TPUs in other than 16 bits, of which it does not say so. It reads the device's name,
    and fails at some."""
    if device.type == "xla" and dtype is not torch.bfloat16:
        return None
    with warnings.catch_warnings(), suppress(KeyError, IndexError, AttributeError, RuntimeError):
        warnings.simplefilter("ignore")
        return get_available_flops(device, dtype)
    return None


def peak_memory(accelerator: str) -> Memory:
    """Most bytes in use so far: resident on the host, and on the device; or why it is unknown.
    MPS says only what is in use now; loader processes are not counted."""
    unit = 1 if sys.platform == "darwin" else 1024
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    size, reason = _device_bytes(accelerator)
    return Memory(host_bytes=host, device_bytes=size, device_reason=reason)


def _peak(accelerator: str, device: torch.device, dtype: torch.dtype) -> Peak:
    name, flops, work = _convolution(device, dtype)
    best = flops / _seconds(accelerator, work), name
    for side in MATRIX_SIDES:
        matrix = torch.randn(side, side, device=device, dtype=dtype)
        seconds = _seconds(accelerator, partial(torch.matmul, matrix, matrix))
        best = max(best, (2 * side**3 / seconds, f"{side} x {side} matrix product"))
        if seconds > PEAK_SECONDS:
            break
    return Peak(
        flops_per_second=best[0], of=best[1], vendor_flops_per_second=vendor_peak(device, dtype)
    )


def _convolution(device: torch.device, dtype: torch.dtype) -> tuple[str, int, Callable[[], Tensor]]:
    images = torch.randn(32, 256, 16, 16, device=device, dtype=dtype)
    images = images.contiguous(memory_format=torch.channels_last)
    kernel = torch.randn(256, 256, 3, 3, device=device, dtype=dtype)
    flops = 2 * 32 * 16 * 16 * 256 * 256 * 9
    work = partial(nn.functional.conv2d, images, kernel, padding=1)
    return "3 x 3 convolution of 32 x 256 x 16 x 16", flops, work


def _seconds(accelerator: str, work: Callable[[], Tensor]) -> float:
    """The least time of one `work`, from four blocks of PEAK_SECONDS / 5 or more."""
    repeats = 1
    _block(accelerator, work, repeats)  # compiles, allocates
    while (least := _block(accelerator, work, repeats)) * repeats < PEAK_SECONDS / 5:
        repeats *= 2
    return min(least, *(_block(accelerator, work, repeats) for _ in range(3)))


def _block(accelerator: str, work: Callable[[], Tensor], repeats: int) -> float:
    accelerators.synchronise(accelerator)
    start = time.perf_counter()
    for _ in range(repeats):
        result = work()  # XLA leaves out what nobody holds
        accelerators.dispatch(accelerator)
        del result
    accelerators.synchronise(accelerator)
    return (time.perf_counter() - start) / repeats


def _device_bytes(accelerator: str) -> tuple[int | None, str | None]:
    """A number or the reason why there is none."""
    match accelerators.device(accelerator).type:
        case "cuda":
            return torch.cuda.max_memory_allocated(), None
        case "mps":
            return torch.mps.driver_allocated_memory(), None
        case "xla":
            return _xla_bytes()
    return None, "the host's memory is the device's"


def _xla_bytes() -> tuple[int | None, str | None]:
    from torch_xla.core import xla_model

    try:
        return int(xla_model.get_memory_info()["peak_bytes_used"]), None
    except (RuntimeError, KeyError):
        return None, "this XLA backend does not say"
