"""`python -m tests.training.xla_devices ROOT`: a fit on two devices of XLA's CPU backend, which
writes what each of them saw.

With `VARIABLES`, XLA offers two devices in one process, where a thread drives each, as it does for
TPU chips of two cores. What Lightning's strategy has processes do, threads do here.
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
from datamodule_conformance.call_log import Call, CallLog, with_call_log
from tests.data.ranks import Noting
from tests.support.forked_python import offer_xla
from tests.support.mean import Mean

DEVICES = 2
VARIABLES = {"CPU_NUM_DEVICES": f"{DEVICES}", "PJRT_CPU_ASYNC_CLIENT": "0"}
"""Two devices; the thread that asks for an operation runs it."""
FIT: dict[str, Any] = {
    "max_epochs": 4, "limit_train_batches": 1, "num_sanity_val_steps": 0, "logger": False,
    "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False,
}  # fmt: skip
"""Steps of whole batches."""
TIMEOUT = 60
"""Seconds after which a device counts as lost."""


class Meeting:
    """Where the devices' threads tell one another what they have."""

    def __init__(self) -> None:
        self.all = threading.Barrier(DEVICES, timeout=TIMEOUT)
        self._told: list[Any] = [None] * DEVICES

    def of_all(self, rank: int, value: Any) -> list[Any]:
        """Each device's value, by its number."""
        self._told[rank] = value
        self.all.wait()
        told = [*self._told]
        self.all.wait()
        return told

    def in_turns(self, rank: int, do: Callable[[], None]) -> None:
        """`do`, on one device after the other."""
        for turn in range(DEVICES):
            if turn == rank:
                do()
            self.all.wait()


MEETING = Meeting()


class Launcher(_XLALauncher):
    """Starts threads; each has its copies, as Lightning has it where a process has two devices."""

    def launch(self, function: Any, *arguments: Any, trainer: Any = None, **named: Any) -> Any:
        """`function` on all devices; what it returns on the first."""

        def run() -> Any:
            own, its_arguments, its_named = copy.deepcopy((function, arguments, named))
            return own(*its_arguments, **its_named)

        from torch_xla._internal import pjrt

        results = pjrt._run_thread_per_device(0, 1, run, pjrt.initialize_multiprocess)
        return results[0]


class Threads(XLAStrategy):
    """XLAStrategy for the devices of one process."""

    def _configure_launcher(self) -> None:
        self._launcher = Launcher(self)

    def setup_distributed(self) -> None:
        """Nothing is left to do."""

    def process_dataloader(self, dataloader: Any) -> Any:
        """As it is: MpDeviceLoader would make plain lists of our batches."""
        return dataloader

    def barrier(self, name: str | None = None, *_: Any, **__: Any) -> None:
        """Wait for the other device."""
        if self._launched:
            MEETING.all.wait()

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        """What `src` has."""
        return MEETING.of_all(self.global_rank, obj)[src] if self._launched else obj

    def reduce(self, output: Any, group: Any = None, reduce_op: Any = "mean") -> Tensor:
        """The sum or mean of both, on the host."""
        parts = MEETING.of_all(self.global_rank, torch.as_tensor(output).cpu())
        total = torch.stack(parts).sum(0)
        return total if reduce_op == "sum" else total / DEVICES


def compile_in_turns() -> None:
    """XLA's CPU devices meet in a reduction if they run one module: the first device compiles it,
    the second finds it."""
    import torch_xla

    sync = torch_xla.sync

    def in_turns(*arguments: Any, **named: Any) -> None:
        rank = torch_xla.runtime.global_ordinal()
        MEETING.in_turns(rank, lambda: sync(*arguments, **named))

    torch_xla.sync = in_turns


class Seen(pl.Callback):
    """Writes what a device saw, and the weights that it has."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """After the last epoch."""
        data: Any = trainer.datamodule
        weights = [value.tolist() for value in module.state_dict().values()]
        seen = {"device": f"{trainer.strategy.root_device}", "keys": data.keys, "weights": weights}
        (self.root / f"seen.{trainer.global_rank}.json").write_text(json.dumps(seen))


def main(root: Path) -> None:
    """Fit, and write the DataModule's calls of both devices too."""
    warnings.simplefilter("ignore")
    offer_xla(True)
    compile_in_turns()
    calls: list[Call] = []
    data = with_call_log(Noting, CallLog(calls))(
        str(root / "data"), 32, 4, seed=7, cache_dir=str(root)
    )
    pl.seed_everything(7, verbose=False)
    trainer = pl.Trainer(
        accelerator=xla_cpu(), strategy=Threads(), devices=DEVICES, callbacks=[Seen(root)], **FIT
    )
    trainer.fit(Mean(), datamodule=data)
    (root / "calls.json").write_text(json.dumps(calls))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
