#!/usr/bin/env bash
# Lightning's batch size search changes the training after it; its learning rate search does not.
#
# Seen with pytorch-lightning 2.6.6 and torch 2.9.1 (Python 3.11). Both searches train a few steps,
# then restore the weights and say "Restored all states". lr_find restores torch's random generator
# too, scale_batch_size does not. So a seeded script that asks for the batch size and then keeps its
# old one draws other dropout masks (and another shuffle) than without the question.
#   weights before fit after lr_find: equal; after scale_batch_size: equal
#   weights after fit after lr_find: equal; after scale_batch_size: different
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pytorch-lightning==2.6.6 torch==2.9.1 numpy
cd "$folder" && venv/bin/python 2> "$folder/log" - <<'PYTHON' || { cat "$folder/log"; exit 1; }
import pytorch_lightning as pl
import torch
from pytorch_lightning.tuner import Tuner
from torch.utils.data import DataLoader, TensorDataset


class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        layers = torch.nn.Linear(4, 8), torch.nn.Dropout(), torch.nn.Linear(8, 1)
        self.layers = torch.nn.Sequential(*layers)
        self.batch_size, self.lr = 4, 0.01

    def training_step(self, batch, batch_idx):
        return self.layers(batch[0]).square().mean()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.lr)

    def train_dataloader(self):
        return DataLoader(TensorDataset(torch.arange(256.0).reshape(64, 4) / 256), self.batch_size)


def train(search):
    pl.seed_everything(0)
    model = Model()
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )
    if search == "lr_find":
        Tuner(trainer).lr_find(model, num_training=5, update_attr=False)
    elif search == "scale_batch_size":
        Tuner(trainer).scale_batch_size(model, max_trials=3, steps_per_trial=2)
        model.batch_size = 4
    before = model.layers[0].weight.detach().clone()
    trainer.fit(model)
    return before, model.layers[0].weight.detach()


plain, lr, size = map(train, ("nothing", "lr_find", "scale_batch_size"))
for number, moment in enumerate(("before fit", "after fit")):
    equal = [torch.equal(plain[number], searched[number]) for searched in (lr, size)]
    words = ["equal" if same else "different" for same in equal]
    print(f"weights {moment} after lr_find: {words[0]}; after scale_batch_size: {words[1]}")
    assert equal == [True, number == 0]
PYTHON
