#!/usr/bin/env bash
# Lightning's log(..., sync_dist=True): the mean of nine ones over two ranks is 1.125.
#
# Seen with pytorch-lightning 2.6.6 and torch 2.9.1 (Python 3.11), on the CPU with gloo. Rank 0 has five
# samples, rank 1 four; batch_size is passed, each value is 1. The sum of values is 9. The number of
# samples is an integer tensor that is averaged over the ranks: 9 / 2 becomes 4, and the sum 4.5.
# DistributedSampler hides it: it gives each rank as many samples, some of them twice.
#   the mean of nine ones on two ranks: 1.125
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pytorch-lightning==2.6.6 torch==2.9.1 numpy
cd "$folder" && cat > mean.py <<'PYTHON'
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader


class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def validation_step(self, batch, number):
        self.log("mean", batch.mean(), on_epoch=True, sync_dist=True, batch_size=len(batch))


class Parts(pl.LightningDataModule):
    def val_dataloader(self):
        rank, ranks = self.trainer.global_rank, self.trainer.world_size
        return DataLoader(torch.ones(9)[rank::ranks], batch_size=9)


if __name__ == "__main__":
    trainer = pl.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_progress_bar=False,
        enable_checkpointing=False, use_distributed_sampler=False,
    )
    (metrics,) = trainer.validate(Model(), Parts(), verbose=False)
    if trainer.is_global_zero:
        print(f"the mean of nine ones on two ranks: {metrics['mean']}")
    assert metrics["mean"] == 1.125
PYTHON
venv/bin/python mean.py
