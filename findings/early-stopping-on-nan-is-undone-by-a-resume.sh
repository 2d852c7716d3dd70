#!/usr/bin/env bash
# Lightning's EarlyStopping: a fit that NaN has stopped ends normally, and its resumed twin trains on.
#
# Seen with pytorch-lightning 2.6.6 and torch 2.9.1 (Python 3.11). The validation loss is NaN in epoch 2
# of 5. EarlyStopping (check_finite=True is its default) ends the fit after that epoch: no exception,
# no warning, state FINISHED, as after any other fit. Its state_dict counts such an epoch as none
# without improvement, so the same fit, resumed from its own last checkpoint, trains epochs 3 to 5:
#   first   2 epochs, finished, wait_count 0
#   resumed 5 epochs, finished, wait_count 0
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pytorch-lightning==2.6.6 torch==2.9.1 numpy
cd "$folder" && venv/bin/python - <<'PYTHON'
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint


class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, number):
        return self.layer(batch).square().mean()

    def validation_step(self, batch, number):
        epoch = self.current_epoch
        self.log("val_loss", float("nan") if epoch == 1 else 1 / (epoch + 1))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(path):
    stopping = EarlyStopping("val_loss", patience=5)
    trainer = pl.Trainer(
        max_epochs=5, accelerator="cpu", logger=False, enable_progress_bar=False,
        num_sanity_val_steps=0, enable_model_summary=False,
        callbacks=[stopping, ModelCheckpoint(".", "last", enable_version_counter=False)],
    )
    data = torch.utils.data.DataLoader(torch.ones(2, 1), batch_size=2)
    trainer.fit(Model(), data, data, ckpt_path=path)
    return trainer.current_epoch, trainer.state.status.value, stopping.wait_count


first, resumed = fit(None), fit("last.ckpt")
for name, (epochs, status, wait_count) in (("first", first), ("resumed", resumed)):
    print(f"{name:7} {epochs} epochs, {status}, wait_count {wait_count}")
assert first == (2, "finished", 0)
assert resumed == (5, "finished", 0)
PYTHON
