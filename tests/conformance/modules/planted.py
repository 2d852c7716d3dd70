"""A small clean project's module, and faults planted in it, one for each kind of rule."""

import os
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 3


class Clean(LightningModule):
    """A convolutional classifier of small images, with dropout and a learning rate schedule."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1),
        )  # fmt: skip
        self.head = nn.Linear(width, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(self.body(images))
        return scores

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, labels = batch
        loss = functional.cross_entropy(self(images), labels)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.evaluate("val", batch)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.evaluate("test", batch)

    def evaluate(self, stage: str, batch: Any) -> None:
        images, labels = batch
        loss = functional.cross_entropy(self(images), labels)
        self.log(f"{stage}_loss", loss, batch_size=len(images), sync_dist=True)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return functional.softmax(self(batch[0]), dim=1)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), 1e-2)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
        return {"optimizer": optimizer, "lr_scheduler": schedule}


class NoiseOnTheCpu(Clean):
    """A forward makes a tensor on the CPU."""

    def forward(self, images: Tensor) -> Tensor:
        weights = torch.linspace(1, 2, images.shape[-1])
        return super().forward(images * weights)


class MeanThatStays(Clean):
    """A tensor in a plain attribute does not move with the module."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.tensor([0.5, 0.4, 0.3])[:, None, None]

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images - self.mean)


class WaitsForTheLoss(Clean):
    """Each training step reads the loss with item()."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.last_loss = loss.item()
        return loss


class Upsamples(Clean):
    """The gradient of bicubic interpolation does not repeat on CUDA."""

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = functional.interpolate(
            self.body[0](images), scale_factor=2, mode="bicubic"
        )
        return self.head(self.body[1:](scores))  # type: ignore[no-any-return]


class DrawsFromTheSystem(Clean):
    """Training draws random numbers that no seed controls."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, labels = batch
        return super().training_step((images + os.urandom(1)[0] / 255, labels), batch_idx)


class AlwaysTheSameStart(Clean):
    """The module seeds torch itself."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__()


class TeacherNotSaved(Clean):
    """A moving average of the weights, which the loss uses, is not in the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher: list[Tensor] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if not self.teacher:
            self.teacher = [parameter.detach().clone() for parameter in self.parameters()]
        loss = super().training_step(batch, batch_idx)
        for average, parameter in zip(self.teacher, self.parameters(), strict=True):
            average.lerp_(parameter.detach(), 0.1)
            loss = loss + 0.1 * (parameter - average).square().sum()
        return loss


class CalibratesInValidation(Clean):
    """Validation changes a value that training uses."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) / self.temperature

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        self.temperature *= 1.1


class DrawsToLog(Clean):
    """With a logger, each step draws a random image to log."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if self.logger:
            self.example = batch[0][torch.randint(len(batch[0]), ())]
        return super().training_step(batch, batch_idx)


class CountsOn(Clean):
    """A metric's counts are never reset."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("correct", torch.zeros(()), persistent=False)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        super().test_step(batch, batch_idx)
        images, labels = batch
        self.correct = self.correct + (self(images).argmax(1) == labels).sum()

    def on_test_epoch_end(self) -> None:
        self.log("test_correct", self.correct, sync_dist=True)


class MeanOfMeans(Clean):
    """A metric is the mean over batches of unequal size."""

    def on_test_epoch_start(self) -> None:
        self.losses: list[Tensor] = []

    def test_step(self, batch: Any, batch_idx: int) -> None:
        images, labels = batch
        self.losses.append(functional.cross_entropy(self(images), labels))

    def on_test_epoch_end(self) -> None:
        self.log("test_loss", torch.stack(self.losses).mean(), sync_dist=True)


class NormalizesByTheBatch(Clean):
    """Predictions are a softmax over the batch."""

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return functional.softmax(self(batch[0]), dim=0)


class DropoutStaysOn(Clean):
    """Dropout does not know about evaluation."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(functional.dropout(images, 0.2))


class EachRankItsMetric(Clean):
    """The validation metric is that of one rank."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        images, labels = batch
        self.log("val_loss", functional.cross_entropy(self(images), labels), batch_size=len(images))


class LayerWithoutUse(Clean):
    """A layer gets no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Linear(4, 4)


class HeadNotTrained(Clean):
    """The optimizer lacks the head."""

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.body.parameters(), 1e-2)


class PathSaved(Clean):
    """A checkpoint contains an object that torch does not load by default."""

    def __init__(self) -> None:
        super().__init__()
        self.save_hyperparameters({"folder": Path("images")})


FAULTS = (
    NoiseOnTheCpu,
    MeanThatStays,
    WaitsForTheLoss,
    Upsamples,
    DrawsFromTheSystem,
    AlwaysTheSameStart,
    TeacherNotSaved,
    CalibratesInValidation,
    DrawsToLog,
    CountsOn,
    MeanOfMeans,
    NormalizesByTheBatch,
    DropoutStaysOn,
    EachRankItsMetric,
    LayerWithoutUse,
    HeadNotTrained,
    PathSaved,
)
