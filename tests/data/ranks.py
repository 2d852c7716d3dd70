"""`python -m tests.data.ranks ROOT OPTIONS`: a fit in real processes, which write what they saw.

OPTIONS is JSON: devices, nodes, batch_size, per_node, and `broken`, the rank whose setup fails.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from benchmark.conformance.journal import Call, journalled
from benchmark.data.datamodule import Batch, ImageDataModule
from tests.mean import Mean


class Noting(ImageDataModule):
    """Keeps the keys of its training batches; fails in setup where it is told to."""

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


def main(root: Path, options: dict[str, Any]) -> None:
    """Fit, and write ROOT/<rank>.json whatever happens."""
    warnings.simplefilter("ignore")
    journal: list[Call] = []
    data = journalled(Noting, journal)(
        str(root / "data"), 32, options["batch_size"], seed=7, cache_dir=str(root)
    )
    data.broken = options.get("broken")
    data.prepare_data_per_node = options.get("per_node", True)
    devices, nodes = options.get("devices", 1), options.get("nodes", 1)
    trainer = pl.Trainer(
        accelerator="cpu", strategy="ddp" if devices * nodes > 1 else "auto", devices=devices,
        num_nodes=nodes, max_epochs=2, num_sanity_val_steps=0, enable_checkpointing=False,
        logger=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    try:
        trainer.fit(Mean(), datamodule=data)
    finally:
        seen = {
            "rank": trainer.global_rank, "node": trainer.node_rank, "journal": journal,
            "keys": data.keys,
        }  # fmt: skip
        (root / f"{trainer.global_rank}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
