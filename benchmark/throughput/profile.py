"""Measure an accelerator's peak and memory, Lightning's overhead, and the rate of decoding."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from benchmark.common.parameters import DataParameters, Parameters, Precision
from benchmark.common.statistics import Interval, interval
from benchmark.common.temporary import temporary_directory
from benchmark.data.cache import DecodeCache
from benchmark.data.folder import SPLITS, SplitFiles, scan
from benchmark.data.stored_shape import ZOOM
from benchmark.machine import accelerators
from benchmark.throughput.schema import Overhead, Peak
from benchmark.throughput.vendor_peaks import PEAKS
from benchmark.timing.trainer import bare_trainer
from benchmark.training.networks import head_name, without_values
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
EPOCHS, STEPS = 6, 30
"""Number of epochs of the empty model's fit, and of steps in each epoch."""
IMAGES, BYTES, BUILDS = 600, 2**28, 6
"""Limits of the cache that is built to time decoding, and how often it is built."""


def flops_per_image(parameters: Parameters, classes: int) -> int:
    """Count the floating-point operations of one image's forward and backward pass.

    A multiplication and an addition count as two. Like torch's FlopCounterMode, this counts only
    convolutions and matrix products. Nothing is computed: the tensors are on the meta device.
    torch's own formula for the backward pass of a convolution ignores its groups.
    """
    model, size = parameters.model, parameters.data.image_size
    network = without_values(model.architecture, classes, size)
    if model.freeze_backbone:
        network.requires_grad_(False)
        network.get_submodule(head_name(network)).requires_grad_(True)
    images = torch.empty(2, 3, size, size, device="meta")
    labels = torch.zeros(2, dtype=torch.int64, device="meta")
    formulas = {torch.ops.aten.convolution_backward: _convolution_backward_flops}
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        nn.functional.cross_entropy(network(images), labels).backward()
    return int(counter.get_total_flops()) // 2


def _convolution_backward_flops(
    grad_output: list[int], inputs: list[int], weight: list[int], *arguments: Any, out_shape: Any
) -> int:
    """Count the operations of the gradients of a convolution's inputs and weights.

    Takes the arguments of aten.convolution_backward, and shapes in place of tensors. Each gradient
    takes as many operations as the forward pass.
    """
    *_, transposed, _output_padding, _groups, output_mask = arguments
    forward: int = conv_flop_count(inputs, weight, grad_output, transposed)
    return forward * sum(output_mask[:2])


def peak(accelerator: str, precision: str) -> Peak:
    """Return the highest rate, in FLOP/s, of one 3 x 3 convolution and of square matrix products.

    The sides of the matrices grow through MATRIX_SIDES until a product takes PEAK_SECONDS.
    """
    device, dtype = accelerators.device(accelerator), DTYPES[precision]
    with tf32(precision == "tf32"):
        images = torch.randn(32, 256, 16, 16, device=device, dtype=dtype)
        images = images.contiguous(memory_format=torch.channels_last)
        kernel = torch.randn(256, 256, 3, 3, device=device, dtype=dtype)
        seconds = _seconds(accelerator, partial(nn.functional.conv2d, images, kernel, padding=1))
        best = 2 * 9 * 256 * images.numel() / seconds, "3 x 3 convolution of 32 x 256 x 16 x 16"
        for side in MATRIX_SIDES:
            matrix = torch.randn(side, side, device=device, dtype=dtype)
            seconds = _seconds(accelerator, partial(torch.matmul, matrix, matrix))
            best = max(best, (2 * side**3 / seconds, f"{side} x {side} matrix product"))
            if seconds > PEAK_SECONDS:
                break
    vendor = vendor_peak(accelerator, precision)
    return Peak(flops_per_second=best[0], of=best[1], vendor_flops_per_second=vendor)


def vendor_peak(accelerator: str, precision: str) -> float | None:
    """Return the peak in FLOP/s that the vendor publishes for this device and precision.

    None on a CPU or MPS, and if `PEAKS` lacks the device or has no value for the precision.
    """
    if accelerator == "tpu":
        from torch_xla._internal import tpu

        name = f"TPU {tpu.get_tpu_type()}"
    elif accelerators.device(accelerator).type == "cuda":
        name = torch.cuda.get_device_name()
    else:
        return None
    if name not in PEAKS:
        return None
    field = "tf32" if precision == "tf32" else str(DTYPES[precision]).removeprefix("torch.")
    tflops = getattr(PEAKS[name], field)
    return 1e12 * tflops if tflops else None


class EmptyModel(pl.LightningModule):
    """A model with one weight; the loss is the weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Return the weight, a scalar."""
        return self.weight.sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the cheapest optimizer."""
        return torch.optim.SGD(self.parameters(), lr=1.0)


class StepTimes(pl.Callback):
    """Callback that reads the clock at the end of each step."""

    def __init__(self) -> None:
        self.epochs: list[list[float]] = []
        """For each epoch, the clock after each of its steps."""

    def on_train_epoch_start(self, *_: Any) -> None:
        """Append a list for the epoch's clock readings."""
        self.epochs.append([])

    def on_train_batch_end(self, *_: Any) -> None:
        """Append the clock to the epoch's list."""
        self.epochs[-1].append(time.perf_counter())


def lightning_overhead(accelerator: str, precision: Precision) -> Overhead:
    """Measure the host seconds that Lightning adds to each step and to each change of epochs.

    It fits an empty model, since real steps are too noisy. The first two epochs do not count.
    """
    model, times = EmptyModel(), StepTimes()
    batches = DataLoader(torch.zeros(STEPS, 1), batch_size=None)  # type: ignore[arg-type,var-annotated]
    trainer = bare_trainer(accelerator, precision, times, deterministic=True, max_epochs=EPOCHS)
    trainer.fit(model, batches)
    warm = times.epochs[2:]
    step = median(b - a for epoch in warm for a, b in pairwise(epoch))
    change = median(after[0] - before[-1] for before, after in pairwise(warm))
    plain = _plain_step(accelerator, model.to(accelerators.device(accelerator)), batches)
    return Overhead(
        seconds_per_step=max(0.0, step - plain), seconds_per_epoch=max(0.0, change - step)
    )


def decoding_rate(data: DataParameters) -> Interval:
    """Measure the images per second while a decode cache is built, as an interval over builds.

    The cache has the first images of each split, and is built in a temporary directory. The first
    build does not count, since it may read files from the disk.

    Raises:
        UserError: an image cannot be decoded, or the disk lacks space for the cache.
    """
    most = BYTES // (3 * (ZOOM * data.image_size) ** 2)
    count = max(1, min(IMAGES, most) // len(SPLITS))
    files = scan(Path(data.root))
    splits = {
        name: SplitFiles(split.paths[:count], split.labels[:count])
        for name, split in files.splits.items()
    }
    images, rates = replace(files, splits=splits), []
    for _ in range(BUILDS):
        with temporary_directory() as folder:
            cache = DecodeCache(images, data.image_size, folder, limit_gib=float("inf"))
            start = time.perf_counter()
            cache.prepare()
            rates.append(len(images.paths) / (time.perf_counter() - start))
    return interval(rates[1:])


def _plain_step(accelerator: str, model: EmptyModel, batches: DataLoader[Tensor]) -> float:
    """Return the seconds of a step of `model` in a plain loop: the median of the second epoch."""
    optimizer, device = model.configure_optimizers(), accelerators.device(accelerator)
    for _ in range(2):
        times = []
        for batch in batches:
            optimizer.zero_grad()
            model.training_step(batch.to(device), 0).backward()
            optimizer.step()
            accelerators.end_xla_graph(accelerator)
            times.append(time.perf_counter())
    return median(b - a for a, b in pairwise(times))


def _seconds(accelerator: str, work: Callable[[], Tensor]) -> float:
    """Return the shortest time of one `work`, from four blocks of PEAK_SECONDS / 5 or more."""
    repeats = 1
    _block(accelerator, work, repeats)  # compiles, allocates
    while (least := _block(accelerator, work, repeats)) * repeats < PEAK_SECONDS / 5:
        repeats *= 2
    return min(least, *(_block(accelerator, work, repeats) for _ in range(3)))


def _block(accelerator: str, work: Callable[[], Tensor], repeats: int) -> float:
    accelerators.synchronise(accelerator)
    start = time.perf_counter()
    for _ in range(repeats):
        result = work()  # XLA skips work whose result is not referenced
        accelerators.end_xla_graph(accelerator)
        del result
    accelerators.synchronise(accelerator)
    return (time.perf_counter() - start) / repeats
