"""`python -m tests.data.ranks ROOT OPTIONS`: fits in real processes, which write what they saw.

OPTIONS is JSON: devices, nodes, and `fits`, a list of the keyword arguments of `fit`. A script
with several fits starts its ranks once, with the first.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from benchmark.data.datamodule import Batch, ImageDataModule
from lightning_conformance.call_log import Call, CallLog, with_call_log
from tests.support.mean import Mean
from tests.support.small import hide_torch_xla


class Noting(ImageDataModule):
    """Keeps the keys of its training batches; `setup` fails on rank `broken`."""

    broken: int | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.keys: list[list[list[int]]] = []

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        if self.trainer is not None and self.trainer.global_rank == self.broken:
            raise RuntimeError(f"broken setup on rank {self.broken}")

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        if self.trainer is not None and self.trainer.training:
            self.keys.append(batch.keys.tolist())
        return super().on_after_batch_transfer(batch, dataloader_idx)


def fit(
    root: Path,
    devices: int = 1,
    nodes: int = 1,
    name: str = "fit",
    batch_size: int = 4,
    per_node: bool = True,
    broken: int | None = None,
) -> None:
    """Fit, and write ROOT/<name>.<rank>.json whatever happens; setup fails on rank `broken`."""
    calls: list[Call] = []
    data = with_call_log(Noting, CallLog(calls))(
        str(root / "data"), 32, batch_size, seed=7, cache_dir=str(root)
    )
    data.broken = broken
    data.prepare_data_per_node = per_node
    trainer = pl.Trainer(
        accelerator="cpu", strategy="ddp" if devices * nodes > 1 else "auto", devices=devices,
        num_nodes=nodes, max_epochs=2, num_sanity_val_steps=0, enable_checkpointing=False,
        logger=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    try:
        trainer.fit(Mean(), datamodule=data)
    finally:
        seen = {"node": trainer.node_rank, "calls": calls, "keys": data.keys}
        (root / f"{name}.{trainer.global_rank}.json").write_text(json.dumps(seen))


def main(root: Path, options: dict[str, Any]) -> None:
    """Run the fits of the command line, one after another."""
    hide_torch_xla()
    warnings.simplefilter("ignore")
    for keywords in options.pop("fits"):
        fit(root, **options, **keywords)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
