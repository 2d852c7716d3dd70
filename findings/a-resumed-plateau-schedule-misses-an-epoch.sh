#!/usr/bin/env bash
# Lightning with ReduceLROnPlateau: a fit resumed after any epoch ends with another learning rate.
#
# Seen with pytorch-lightning 2.6.6 and torch 2.9.1 (Python 3.11). ModelCheckpoint saves at the end of
# the training epoch, and Lightning steps the epoch's schedules after that. A resumed fit makes up the
# missed step of StepLR, but not that of ReduceLROnPlateau, whose metric no checkpoint contains.
# With a loss that does not fall and patience 2, four epochs cut the learning rate and three do not:
#   uninterrupted  plateau 0.01, step 0.05
#   after epoch 1  plateau 0.1, step 0.05
#   after epoch 2  plateau 0.1, step 0.05
#   after epoch 3  plateau 0.1, step 0.05
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pytorch-lightning==2.6.6 torch==2.9.1 numpy
cd "$folder" && venv/bin/python - <<'PYTHON'
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR


class Model(pl.LightningModule):
    def __init__(self, plateau):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.plateau = plateau

    def training_step(self, batch, number):
        return self.layer(batch).square().mean()

    def validation_step(self, batch, number):
        self.log("val_loss", 1.0)

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), 0.1)
        if not self.plateau:
            return [optimizer], [StepLR(optimizer, 3, 0.5)]
        schedule = {"scheduler": ReduceLROnPlateau(optimizer, patience=2), "monitor": "val_loss"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}


def learning_rate(plateau, path=None):
    name = "plateau" if plateau else "step"
    trainer = pl.Trainer(
        max_epochs=4, accelerator="cpu", logger=False, enable_progress_bar=False,
        num_sanity_val_steps=0, enable_model_summary=False,
        callbacks=[ModelCheckpoint(name, "{epoch}", save_top_k=-1, enable_version_counter=False)],
    )
    data = torch.utils.data.DataLoader(torch.ones(2, 1), batch_size=2)
    trainer.fit(Model(plateau), data, data, ckpt_path=path and f"{name}/epoch={path - 1}.ckpt")
    return round(trainer.optimizers[0].param_groups[0]["lr"], 6)


rates = {epoch: (learning_rate(True, epoch), learning_rate(False, epoch)) for epoch in (None, 1, 2, 3)}
for epoch, (plateau, step) in rates.items():
    print(f"{f'after epoch {epoch}' if epoch else 'uninterrupted':14} plateau {plateau}, step {step}")
assert rates == {None: (0.01, 0.05), 1: (0.1, 0.05), 2: (0.1, 0.05), 3: (0.1, 0.05)}
PYTHON
