"""LightningModules that two ranks train or evaluate: conforming ones first, then broken ones."""

from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassF1Score

from tests.conformance.modules.conforming import Classifier


class LogsMetricObjects(Classifier):
    """Logs objects of torchmetrics, which add up the values of batches and ranks."""

    def __init__(self) -> None:
        super().__init__()
        for stage in ("val", "test"):
            setattr(self, f"{stage}_loss", MeanMetric())
            setattr(self, f"{stage}_f1", MulticlassF1Score(4, average="macro"))

    def _evaluate(self, stage: str, batch: Any) -> None:
        images, labels = batch
        scores = self(images)
        loss, f1 = getattr(self, f"{stage}_loss"), getattr(self, f"{stage}_f1")
        loss(functional.cross_entropy(scores, labels), weight=len(images))
        f1(scores, labels)
        self.log(f"{stage}_loss", loss)
        self.log(f"{stage}_f1", f1)


class TwoOptimizers(Classifier):
    """Optimizes by hand, like a GAN: each optimizer has a part of the parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.head = nn.Linear(3, 4)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        images, labels = batch
        for optimizer, scores in zip(
            self.optimizers(), (self.network, lambda x: self.head(x.mean((2, 3)))), strict=True
        ):
            self.toggle_optimizer(optimizer)
            optimizer.zero_grad()
            self.manual_backward(functional.cross_entropy(scores(images), labels))
            optimizer.step()
            self.untoggle_optimizer(optimizer)

    def configure_optimizers(self) -> Any:
        parts = (self.network, self.head)
        return [torch.optim.Adam(part.parameters(), 1e-3) for part in parts], []


class WithoutEvaluation(LightningModule):
    """Trains, and has no other step."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(192, 4)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return functional.cross_entropy(self.layer(batch[0].flatten(1)), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


class UnusedLayer(Classifier):
    """One layer has no part in the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.auxiliary = nn.Linear(8, 4)


class OneDeviceOnly(Classifier):
    """Refuses to train on two ranks."""

    def on_fit_start(self) -> None:
        if self.trainer.world_size > 1:
            raise ValueError("one device only")


class WeightsOfTheRank(Classifier):
    """Changes a weight by the rank's batch, without gradients."""

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        with torch.no_grad():
            self.network[2].bias += 1e-3 * batch[0].mean()


class LayersInAList(Classifier):
    """A list hides its layer from DDP, and the optimizer trains it on each rank alone."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = [nn.Linear(4, 4)]

    def forward(self, images: Tensor) -> Tensor:
        return self.heads[0](self.network(images))  # type: ignore[no-any-return]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam([*self.parameters(), *self.heads[0].parameters()], 1e-3)


class LogsItsRank(Classifier):
    """Logs the mean of the rank's samples."""

    def _evaluate(self, stage: str, batch: Any) -> None:
        images, labels = batch
        loss = functional.cross_entropy(self(images), labels)
        self.log(f"{stage}_loss", loss, batch_size=len(images))


class LogsItsRankNearly(Classifier):
    """Logs the mean of the rank's samples, and these hardly differ."""

    def _evaluate(self, stage: str, batch: Any) -> None:
        images, labels = batch
        loss = functional.cross_entropy(self(images), labels)
        self.log(f"{stage}_loss", 1000 + loss, batch_size=len(images))


class PerplexityOfEachRank(Classifier):
    """Averages over the ranks what is no mean."""

    def on_validation_epoch_start(self) -> None:
        self.losses: list[Tensor] = []

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        images, labels = batch
        self.losses.append(functional.cross_entropy(self(images), labels, reduction="none"))

    def on_validation_epoch_end(self) -> None:
        perplexity = torch.cat(self.losses).mul(3).mean().exp()
        self.log("val_perplexity", perplexity, sync_dist=True)
