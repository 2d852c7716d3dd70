#!/usr/bin/env bash
# A training that is ended half-way by SIGTERM exits with 0, as if it had finished.
#
# Seen with pytorch-lightning 2.6.6 and torch 2.9.1 (Python 3.11). Trainer.fit catches SIGTERM and
# raises SIGTERMException after the batch. That is a SystemExit without a code, so Python exits with
# 0: `train.py && publish.sh`, make, CI and workflow managers go on with a model that was not trained
# to the end. The same script exits with -15 (143 in a shell) if the signal comes outside of fit.
#   SIGTERM in fit: status 0 after 2 of 100 batches; before fit: status -15
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pytorch-lightning==2.6.6 torch==2.9.1
cd "$folder" && cat > train.py <<'PYTHON'
import os
import signal
import sys

import pytorch_lightning as pl
import torch

IN_FIT = sys.argv[1] == "fit"


class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        print("batch", batch_idx, flush=True)
        if IN_FIT and batch_idx == 1:
            os.kill(os.getpid(), signal.SIGTERM)  # as SLURM, Kubernetes and docker stop do
        return self.layer(batch).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


trainer = pl.Trainer(
    accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False,
    enable_progress_bar=False, enable_model_summary=False,
)
if not IN_FIT:
    os.kill(os.getpid(), signal.SIGTERM)
trainer.fit(Model(), torch.utils.data.DataLoader(torch.zeros(100, 1)))
print("finished")
PYTHON
venv/bin/python - <<'PYTHON'
import subprocess
import sys

for when, expected in (("fit", 0), ("before", -15)):
    done = subprocess.run([sys.executable, "train.py", when], stdout=-1, stderr=-3, text=True)
    print(f"SIGTERM {when}: status {done.returncode} after {done.stdout.split()}")
    assert done.returncode == expected
    assert "finished" not in done.stdout
PYTHON
