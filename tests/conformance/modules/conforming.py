"""LightningModules that break no rule."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional

from lightning_conformance.digests import tensors


class Classifier(LightningModule):
    """Classifies the pictures of `tests.conformance.datamodules.pictures`, with dropout."""

    def __init__(self, width: int = 8, classes: int = 4) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = nn.Sequential(
            nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(3 * 16, width), nn.ReLU(),
            nn.Dropout(0.1), nn.Linear(width, classes),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.network(images)
        return scores

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, labels = batch
        return functional.cross_entropy(self(images), labels)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self._evaluate("val", batch)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self._evaluate("test", batch)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return functional.softmax(self(batch[0] if isinstance(batch, list) else batch), dim=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 1e-3)

    def _evaluate(self, stage: str, batch: Any) -> None:
        images, labels = batch
        loss = functional.cross_entropy(self(images), labels)
        self.log(f"{stage}_loss", loss, batch_size=len(images), sync_dist=True)


class AnyBatch(LightningModule):
    """Takes batches of any structure: it fits the mean of all tensors to 0."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        means = torch.stack([tensor.float().mean() for tensor in tensors(batch)])
        return self.layer(means[:, None]).square().mean()  # type: ignore[no-any-return]

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("val_loss", self.training_step(batch, batch_idx), batch_size=1, sync_dist=True)

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        return self.training_step(batch, batch_idx)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.01)


class WritesPictures(Classifier):
    """Needs a logger, as a Trainer has one by default."""

    def on_train_epoch_end(self) -> None:
        pictures = torch.zeros(3, 8, 8)
        self.logger.experiment.add_image("pictures", pictures)  # type: ignore[union-attr]
        assert Path(self.logger.log_dir).is_dir()  # type: ignore[union-attr, arg-type]
