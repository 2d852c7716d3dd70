"""The smallest model that can be trained on images."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn


class Mean(pl.LightningModule):
    """Three logits from an image's mean colour."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.mean((2, 3)))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, *_: Any) -> None: ...

    def test_step(self, *_: Any) -> None: ...

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)
