"""LightningModules that evaluate: conforming ones first, then broken ones."""

from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.functional.classification import multiclass_f1_score

from tests.conformance.modules.conforming import Classifier


class WithBatchNorm(Classifier):
    """Its layers differ in training mode, and Lightning sets the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, 4),
        )  # fmt: skip


class Contrastive(LightningModule):
    """Its loss compares the members of a batch: the batch is the population."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(192, 4)

    def forward(self, images: Tensor) -> Tensor:
        return functional.normalize(self.layer(images.flatten(1)), dim=1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        codes = self(batch[0])
        scores = codes @ self(batch[0].flip(3)).T
        return functional.cross_entropy(scores, torch.arange(len(scores)))

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.training_step(batch, batch_idx), sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


class Sampling(Classifier):
    """Adds noise to the scores in evaluation, on purpose."""

    def _evaluate(self, stage: str, batch: Any) -> None:
        images, labels = batch
        scores = self(images)
        scores = scores + torch.randn_like(scores)
        self.log(f"{stage}_loss", functional.cross_entropy(scores, labels), sync_dist=True)


class DictBatches(Classifier):
    """Its batches are dicts, with a number and names next to the tensors."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        images, labels = batch
        names = [f"picture {label}" for label in labels.tolist()]
        return {"step": 1, "names": names, "images": images * 2, "labels": labels}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step((batch["images"], batch["labels"]), batch_idx)

    def _evaluate(self, stage: str, batch: Any) -> None:
        assert len(batch["names"]) == len(batch["labels"])
        super()._evaluate(stage, (batch["images"], batch["labels"]))

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self(batch["images"])  # type: ignore[no-any-return]


class StaysInTrainingMode(WithBatchNorm):
    """Evaluates with the statistics of the batch, and dropout."""

    def on_validation_epoch_start(self) -> None:
        self.train()


class DropoutInEvaluation(Classifier):
    """Calls dropout without the mode."""

    def forward(self, images: Tensor) -> Tensor:
        return functional.dropout(super().forward(images), 0.5)


class NeverResets(Classifier):
    """Adds up the losses of all evaluations."""

    total, count = 0.0, 0

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        images, labels = batch
        self.total += float(functional.cross_entropy(self(images), labels, reduction="sum"))
        self.count += self.trainer.global_step + 1

    def on_validation_epoch_end(self) -> None:
        self.log("val_loss", self.total / self.count, sync_dist=True)


class MeanOfBatchMeans(Classifier):
    """Averages the losses of batches, whatever their sizes."""

    def on_validation_epoch_start(self) -> None:
        self.losses: list[Tensor] = []

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        images, labels = batch
        self.losses.append(functional.cross_entropy(self(images), labels))

    def on_validation_epoch_end(self) -> None:
        self.log("val_loss", torch.stack(self.losses).mean(), sync_dist=True)


class MeanOfBatchMeansWithAttention(MeanOfBatchMeans):
    """Attention without dropout draws nothing."""

    def forward(self, images: Tensor) -> Tensor:
        rows = images.mean(1)[:, None]
        return super().forward(images + functional.scaled_dot_product_attention(rows, rows, rows))


class WrongWeight(Classifier):
    """Gives each batch the same weight."""

    def _evaluate(self, stage: str, batch: Any) -> None:
        images, labels = batch
        loss = functional.cross_entropy(self(images), labels)
        self.log(f"{stage}_loss", loss, batch_size=1, sync_dist=True)


class F1OfBatches(Classifier):
    """Averages a metric that is no mean."""

    def _evaluate(self, stage: str, batch: Any) -> None:
        images, labels = batch
        classes = self(images).argmax(1) + images.mean((1, 2, 3)).mul(1000).long()  # varied ones
        f1 = multiclass_f1_score(classes % 4, labels, 4, average="macro")
        self.log(f"{stage}_f1", f1, batch_size=len(images), sync_dist=True)


class SoftmaxOverSamples(Classifier):
    """The probabilities of a class add up to one in each batch."""

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return functional.softmax(self(batch[0]), dim=0)


class BatchStatistics(WithBatchNorm):
    """Its layer uses the statistics of a batch in each mode."""

    def __init__(self) -> None:
        super().__init__()
        self.network[1] = nn.BatchNorm2d(8, track_running_stats=False)
