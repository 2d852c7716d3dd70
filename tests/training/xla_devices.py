"""`python -m tests.training.xla_devices ROOT`: a fit on two devices of XLA's CPU backend.

It writes the samples and weights of each device. With `VARIABLES`, XLA has two devices in one
process, each driven by a thread, as for TPU chips of two cores. Threads do what processes do in
Lightning's strategy.
"""

import copy
import json
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import XLAStrategy
from pytorch_lightning.strategies.launchers.xla import _XLALauncher
from torch import Tensor

from benchmark.training.trainer_arguments import xla_cpu
from lightning_conformance.call_log import Call, CallLog, with_call_log
from tests.data.ranks import Noting
from tests.support.forked_python import offer_xla
from tests.support.mean import Mean

DEVICES = 2
VARIABLES = {"CPU_NUM_DEVICES": f"{DEVICES}", "PJRT_CPU_ASYNC_CLIENT": "0"}
"""Two devices; each operation runs in the thread that starts it."""
FIT: dict[str, Any] = {
    "max_epochs": 4, "limit_train_batches": 1, "num_sanity_val_steps": 0, "logger": False,
    "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False,
}  # fmt: skip
"""Trainer arguments for epochs of one full batch."""
TIMEOUT = 60
"""Seconds that a device waits for the other."""


class Exchange:
    """Exchange of values between the threads of the devices."""

    def __init__(self) -> None:
        self.barrier = threading.Barrier(DEVICES, timeout=TIMEOUT)
        self._values: list[Any] = [None] * DEVICES

    def all_gather(self, rank: int, value: Any) -> list[Any]:
        """Return the values of all devices, by rank."""
        self._values[rank] = value
        self.barrier.wait()
        values = [*self._values]
        self.barrier.wait()
        return values

    def one_by_one(self, rank: int, do: Callable[[], None]) -> None:
        """Call `do` on one device after the other."""
        for turn in range(DEVICES):
            if turn == rank:
                do()
            self.barrier.wait()


EXCHANGE = Exchange()


class Launcher(_XLALauncher):
    """Starts a thread for each device, with copies of all arguments, as Lightning does."""

    def launch(self, function: Any, *arguments: Any, trainer: Any = None, **named: Any) -> Any:
        """Run `function` on all devices; return the result of the first."""

        def run() -> Any:
            call, call_arguments, call_named = copy.deepcopy((function, arguments, named))
            return call(*call_arguments, **call_named)

        from torch_xla._internal import pjrt

        results = pjrt._run_thread_per_device(0, 1, run, pjrt.initialize_multiprocess)
        return results[0]


class Threads(XLAStrategy):
    """XLAStrategy for the devices of one process."""

    def _configure_launcher(self) -> None:
        self._launcher = Launcher(self)

    def setup_distributed(self) -> None:
        """Do nothing: threads need no setup."""

    def process_dataloader(self, dataloader: Any) -> Any:
        """Return the loader: MpDeviceLoader would turn our batches into lists."""
        return dataloader

    def barrier(self, name: str | None = None, *_: Any, **__: Any) -> None:
        """Wait for the other device."""
        if self._launched:
            EXCHANGE.barrier.wait()

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        """Return the value of the device `src`."""
        return EXCHANGE.all_gather(self.global_rank, obj)[src] if self._launched else obj

    def reduce(self, output: Any, group: Any = None, reduce_op: Any = "mean") -> Tensor:
        """Return the sum or mean of all devices, on the host."""
        parts = EXCHANGE.all_gather(self.global_rank, torch.as_tensor(output).cpu())
        total = torch.stack(parts).sum(0)
        return total if reduce_op == "sum" else total / DEVICES


def compile_one_by_one() -> None:
    """Let the first device compile each module and the second reuse it.

    XLA's CPU devices reduce together only if they run the same module.
    """
    import torch_xla

    sync = torch_xla.sync

    def sync_one_by_one(*arguments: Any, **named: Any) -> None:
        rank = torch_xla.runtime.global_ordinal()
        EXCHANGE.one_by_one(rank, lambda: sync(*arguments, **named))

    torch_xla.sync = sync_one_by_one


class Recorder(pl.Callback):
    """Writes the keys of a device's samples, and its weights."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Write the keys and weights after the last epoch."""
        data: Any = trainer.datamodule
        weights = [value.tolist() for value in module.state_dict().values()]
        seen = {"device": f"{trainer.strategy.root_device}", "keys": data.keys, "weights": weights}
        (self.root / f"seen.{trainer.global_rank}.json").write_text(json.dumps(seen))


def main(root: Path) -> None:
    """Fit, and write the calls of both devices' DataModules."""
    warnings.simplefilter("ignore")
    offer_xla(True)
    compile_one_by_one()
    calls: list[Call] = []
    data = with_call_log(Noting, CallLog(calls))(
        str(root / "data"), 32, 4, seed=7, cache_dir=str(root)
    )
    pl.seed_everything(7, verbose=False)
    trainer = pl.Trainer(
        accelerator=xla_cpu(),
        strategy=Threads(),
        devices=DEVICES,
        callbacks=[Recorder(root)],
        **FIT,
    )
    trainer.fit(Mean(), datamodule=data)
    (root / "calls.json").write_text(json.dumps(calls))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
