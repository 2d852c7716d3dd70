"""Where the memory of a training goes: `.venv/bin/python -m tests.training.memory [SIZE] [STEPS]`.

It trains STEPS steps (default 12) of the bundled run at SIZE px (default 64) on a CPU, evaluates,
writes both checkpoints and tests, then prints tables of docs/measuring.md. Linux only.
"""

import ctypes
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import benchmark  # noqa: F401  # first, as in a stage: it makes the import of torchmetrics slim

# isort: split
import pytorch_lightning as pl
import torch
from torch import Tensor

from benchmark.common.formatting import table
from benchmark.common.parameters import load_parameters
from benchmark.common.temporary import temporary_directory
from benchmark.machine import accelerators, variables
from benchmark.training.callbacks import StopAfterSteps
from benchmark.training.fit import Fit

HEAP = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
"""Fields of glibc's mallinfo2; fordblks counts the free bytes of its heap."""

FILES = "file pages since the imports: decode cache, libraries"


class Mallinfo(ctypes.Structure):
    """The result of glibc's mallinfo2."""

    _fields_ = [(name, ctypes.c_size_t) for name in HEAP.split()]


def free_heap() -> float:
    """Return the MiB that glibc keeps for later allocations."""
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = Mallinfo
    return float(mallinfo2().fordblks) / 2**20


def resident(key: str = "VmRSS") -> float:
    """Return a value of /proc/self/status in MiB: VmRSS, RssAnon, RssFile or VmHWM (the peak)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) / 1024


class Phases(pl.Callback):
    """Callback that reads the peak of each phase, and sizes of what the steps keep."""

    def __init__(self) -> None:
        self.peaks: dict[str, float] = {}
        self.sizes: dict[str, float] = {}
        self._saved: dict[int, int] = {}
        """Bytes of each storage that autograd keeps for the backward pass, by its address."""
        self._hooks = ExitStack()

    def end(self, phase: str) -> None:
        """Record the peak since the last call, and start a new one."""
        self.peaks[phase] = max(self.peaks.get(phase, 0.0), resident("VmHWM"))
        Path("/proc/self/clear_refs").write_text("5")

    def on_train_start(self, *_: Any) -> None:
        self.end("model, data and Trainer")

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Count what autograd saves in the first forward pass."""
        if trainer.global_step == 0:
            self._hooks.enter_context(torch.autograd.graph.saved_tensors_hooks(self._pack, _same))

    def on_before_zero_grad(self, *_: Any) -> None:
        """Stop counting: the forward pass is over."""
        self._hooks.close()
        self.sizes["free within the allocator's heap after a forward pass"] = free_heap()

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        parameters = [*module.parameters()]
        weights = {p.untyped_storage().data_ptr() for p in parameters}
        states = trainer.optimizers[0].state.values()
        moments = [value for state in states for value in state.values()]
        saved = self._saved.items()
        activations = sum(size for address, size in saved if address not in weights)
        self.sizes |= {
            "weights": mib([*parameters, *module.buffers()]),
            "gradients": mib(parameters),
            "Adam's moments": mib(moments),
            "activations that the backward pass needs": activations / 2**20,
            FILES: resident("RssFile"),
        }
        self.end("training steps")

    def on_train_epoch_end(self, *_: Any) -> None:
        self.end("validation")

    def on_train_end(self, *_: Any) -> None:
        self.end("checkpoints")

    def on_test_start(self, *_: Any) -> None:
        self.end("best weights restored")

    def on_test_end(self, *_: Any) -> None:
        self.end("test")

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        self._saved[storage.data_ptr()] = storage.nbytes()
        return tensor


def _same(tensor: Tensor) -> Tensor:
    return tensor


def mib(tensors: Sequence[Tensor]) -> float:
    """Return the size of the tensors' elements in MiB."""
    return sum(tensor.nbytes for tensor in tensors) / 2**20


def main(size: int = 64, steps: int = 12) -> None:
    """Train, and print the tables."""
    variables.offer_huge_pages()  # torch asks for them at its first large tensor
    private, files = resident("RssAnon"), resident("RssFile")
    parameters = load_parameters()
    data = parameters.data.model_copy(update={"image_size": size})
    train = parameters.train.model_copy(update={"max_epochs": 1})
    parameters = parameters.model_copy(update={"data": data, "train": train})
    accelerators.prepare("cpu")
    phases = Phases()
    with temporary_directory() as folder:
        extras = phases, StopAfterSteps(steps)
        Fit(accelerators.find("cpu"), parameters, folder, *extras).fit_and_test()
    phases.sizes[FILES] -= files
    sizes = {"imports: private": private, "imports: file pages": files, **phases.sizes}
    for header, values in (("Component", sizes), ("Peak during", phases.peaks)):
        print(table((header, f"MiB at {size} px"), [(k, f"{v:,.0f}") for k, v in values.items()]))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
