"""LightningModules that depend on the CPU, let an accelerator wait, or do neither.

Comments mark the lines that the kit must name: a `# fault` on another device, a `# wait`, or a call
that raises or repeats under deterministic algorithms on a GPU.
"""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.classification import MulticlassAccuracy

from tests.conformance.datamodules.pictures import PicturesModule
from tests.conformance.modules import conforming

PIXELS = 3 * 8 * 8


class Classifier(conforming.Classifier):
    """Pools by an operator that repeats on a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.network[0] = nn.AvgPool2d(2)


class MakesOnTheCpu(Classifier):
    def forward(self, images: Tensor) -> Tensor:
        noise = torch.randn(images.shape)  # fault
        return super().forward(images + 0.1 * noise)


class PlainAttribute(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.means = torch.zeros(1, 5, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images - self.means[:, :3])  # fault


class ListOfLayers(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.heads = [nn.Linear(4, 4)]

    def forward(self, images: Tensor) -> Tensor:
        return self.heads[0](super().forward(images))  # fault


class WeightsOfTheLoss(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.options = {"weight": torch.ones(4)}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, labels = batch
        return functional.cross_entropy(self(images), labels, **self.options)  # fault


class CallsCuda(Classifier):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step([batch[0].cuda(), batch[1]], batch_idx)  # fault


class NamesCuda(Classifier):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images + torch.zeros(3, 8, 8, device="cuda"))  # fault


class NamesCpu(Classifier):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.to("cpu"))  # fault


class GeneratorOfTheCpu(Classifier):
    def forward(self, images: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        noise = torch.rand(images.shape, device=self.device, generator=generator)  # fault
        return super().forward(images + noise)


class NumpyOfTheDevice(Classifier):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        np.mean(batch[0].numpy())  # fault


class OnlyInTheTest(Classifier):
    def test_step(self, batch: Any, batch_idx: int) -> None:
        scores = self(batch[0]) * torch.ones(4)  # fault
        self.log("score", scores.mean())


class LengthsOnTheDevice(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.LSTM(3 * 8, 4, batch_first=True)

    def forward(self, images: Tensor) -> Tensor:
        lengths = torch.full((len(images),), 8, device=self.device)
        rows = images.transpose(1, 2).flatten(2)
        packed = nn.utils.rnn.pack_padded_sequence(rows, lengths, batch_first=True)  # fault
        return super().forward(images) + self.rows(packed)[1][0][0]


class MetricsInAList(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.metrics = [MulticlassAccuracy(4)]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.metrics[0].update(self(batch[0]), batch[1])  # fault
        return super().training_step(batch, batch_idx)


class WaitsInTraining(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.best = torch.tensor(9.0)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, labels = batch
        loss = super().training_step(batch, batch_idx)
        if loss < self.best:  # wait
            self.best = loss.detach()
        self.log("item", loss.item())  # wait
        self.log("few", float(len(labels[labels == 0])))  # wait
        self.log("first", images.sum((1, 2, 3)).tolist()[0])  # wait
        self.log("classes", float(torch.unique(labels).numel()))  # wait
        self.log("nonzero", float(len((labels == 1).nonzero())))  # wait
        message = f"{loss:.2f}"  # wait
        return loss + len(message) * 0


class WaitsInValidation(Classifier):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        scores = self(batch[0])
        self.log("val_loss", float(scores.cpu().numpy().mean()))  # wait


class EveryOtherWay(Classifier):
    """Makes, moves and counts what it needs on its device; waits once per epoch or seldom."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.LSTM(3 * 8, 4, batch_first=True, bidirectional=True)
        self.attention = nn.TransformerEncoderLayer(24, 2, 8, batch_first=True)
        self.normalize = nn.BatchNorm2d(3)
        self.embed = nn.Embedding(4, 4, padding_idx=0)
        self.accuracy = MulticlassAccuracy(4)
        self.register_buffer("mean", torch.zeros(3, 1, 1))
        self.scale = torch.tensor(0.5)  # a scalar may stay on the CPU
        self.table = torch.ones(4)
        self.outputs: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        images = self.normalize(images - self.mean) * self.scale
        noise = torch.rand(images.shape, device=self.device) + torch.zeros_like(images)
        images = images + noise + torch.tensor([0.5], device=images.device)
        rows = self.attention(images.transpose(1, 2).flatten(2))
        lengths = torch.full((len(images),), 8)  # on the CPU, as pack_padded_sequence requires
        packed = nn.utils.rnn.pack_padded_sequence(rows, lengths, batch_first=True)
        states, _ = nn.utils.rnn.pad_packed_sequence(self.rows(packed)[0], batch_first=True)
        labels = torch.arange(len(images), device=self.device) % 4
        extra = states.mean((1, 2))[:, None] + self.embed(labels) + self.table.to(self.device)
        return super().forward(images) + extra

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, labels = batch
        loss = super().training_step(batch, batch_idx)
        self.accuracy(self(images), labels)
        self.log("accuracy", self.accuracy)
        self.log("loss", loss, prog_bar=True, on_epoch=True)
        weights = torch.ones_like(labels, dtype=torch.float32)
        weights[labels == 2] = 0.5  # a mask with one value is filled at once
        if batch_idx % 50 == 0:
            self.logger.log_metrics({"sometimes": loss.item()})
        return loss * weights.mean() * (1 + self.current_epoch)

    def on_train_epoch_end(self) -> None:
        self.log("epoch", float(self.accuracy.compute().cpu().numpy()))

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        self.outputs.append(self(batch[0]))

    def on_validation_epoch_end(self) -> None:
        self.log("spread", torch.cat(self.outputs).std().item())
        self.outputs.clear()


class TwoOptimizers(Classifier):
    """Trains a generator and a discriminator by manual optimization, and an average of one."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator = nn.Sequential(nn.Linear(8, PIXELS), nn.Tanh())
        self.discriminator = nn.Linear(PIXELS, 1)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        images, _ = batch
        generate, judge = self.optimizers()
        made = self.generator(torch.randn(len(images), 8, device=self.device))
        real, fake = (self.discriminator(x) for x in (images.flatten(1), made.detach()))
        judge.zero_grad()
        self.manual_backward(functional.softplus(-real).mean() + functional.softplus(fake).mean())
        judge.step()
        self.toggle_optimizer(generate)
        loss = functional.softplus(-self.discriminator(made)).mean()
        generate.zero_grad()
        self.manual_backward(loss)
        generate.step()
        self.untoggle_optimizer(generate)
        for slow, fast in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            slow.data = slow.data * 0.9 + fast.data * 0.1
        self.log_dict({"loss": loss, "lr": self.trainer.optimizers[0].param_groups[0]["lr"]})

    def configure_optimizers(self) -> Any:
        generate = torch.optim.Adam(self.generator.parameters(), 1e-3)
        return [generate, torch.optim.SGD(self.discriminator.parameters(), 1e-3, momentum=0.9)], []


class SlicesAParameter(Classifier):
    """Uses a part of a parameter, as of an embedding of positions."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.Parameter(torch.ones(8))

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * self.scales[:4]


@dataclass
class Pair:
    images: Tensor
    labels: Tensor
    names: list[str]


class Pairs(PicturesModule):
    """Its batches are dictionaries of a dataclass and texts."""

    def loader(self, split: str, **options: Any) -> Any:
        return super().loader(split, collate_fn=self.collate, **options)

    @staticmethod
    def collate(samples: list[tuple[Tensor, int]]) -> dict[str, Any]:
        images, labels = zip(*samples, strict=True)
        names = [f"picture {label}" for label in labels]
        return {"pair": Pair(torch.stack(images), torch.tensor(labels), names), "scale": 2.0}


class TakesPairs(Classifier):
    """Takes the batches of Pairs."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(self._pair(batch), batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step(self._pair(batch), batch_idx)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        super().test_step(self._pair(batch), batch_idx)

    def _pair(self, batch: Any) -> list[Any]:
        return [batch["pair"].images * batch["scale"], batch["pair"].labels]


class AsksForTheDevice(Classifier):
    """Does what a simulation can't: the kit must not call this a fault."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        torch.Generator(device=self.device).manual_seed(0)
        return super().training_step(batch, batch_idx)


class RaisesIfDeterministic(Classifier):
    """Its operators raise under deterministic algorithms."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 3, 3, padding=1)  # it repeats
        self.bag = nn.EmbeddingBag(4, 4, mode="max")

    def forward(self, images: Tensor) -> Tensor:
        maps = self.features(images)
        rows = maps.flatten(1)
        pooled = functional.adaptive_avg_pool2d(maps, 3)  # raises
        padded = functional.pad(pooled, (1, 1, 1, 1), "reflect")  # raises
        large = functional.interpolate(padded, size=8, mode="bicubic")  # raises
        volume = functional.max_pool3d(maps[:, None], 2)  # raises
        grid = functional.affine_grid(torch.eye(2, 3, device=self.device)[None], [1, 3, 8, 8])
        sampled = functional.grid_sample(maps[:1], grid, align_corners=False)  # raises
        tokens = torch.zeros(len(images), 2, dtype=torch.int64, device=self.device)
        bags = self.bag(tokens)  # raises
        total = rows.cumsum(1)[:, -1:]  # raises
        middle = rows.median(1).values[:, None]  # raises
        smallest = rows.kthvalue(2).values[:, None]  # raises
        extra = bags + total + middle + smallest + volume.mean()
        return super().forward(large + sampled) + extra

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, labels = batch
        maps = self.features(images)
        targets = torch.zeros_like(maps[:, 0], dtype=torch.int64)
        of_pixels = functional.nll_loss(maps, targets)  # raises
        pooled, indices = functional.max_pool2d(maps, 2, return_indices=True)
        unpooled = functional.max_unpool2d(pooled, indices, 2)  # raises
        lengths = torch.full((len(labels),), 8)  # on the CPU, or where ctc_loss moves them
        frames = maps[:, 0].transpose(0, 1).log_softmax(2)
        aligned = functional.ctc_loss(frames, labels[:, None] + 1, lengths, lengths // 8)  # raises
        counts = torch.histc(maps, 4)  # raises
        weights = maps.detach().mean((1, 2, 3))
        sums = torch.bincount(labels, weights, minlength=4)  # wait, raises
        self.log("sums", (sums + counts).mean())
        loss = super().training_step(batch, batch_idx) + aligned
        return loss + of_pixels + unpooled.mean()


class RepeatsIfDeterministic(Classifier):
    """Its operators repeat under deterministic algorithms."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1))

    def forward(self, images: Tensor) -> Tensor:
        maps = self.features(images)  # repeats
        large = functional.interpolate(maps, size=8, mode="bilinear")  # repeats
        scores = super().forward(large)
        first = torch.zeros(len(images), dtype=torch.int64, device=self.device)
        shared = scores.index_select(0, first)  # repeats
        chosen = scores.gather(1, first[:, None].expand(-1, 2))  # repeats
        padded = functional.pad(scores[:, None], (1, 1), "replicate")  # repeats
        sums = torch.zeros_like(scores).index_add(0, first, scores)  # repeats
        put = torch.zeros_like(scores)
        put[first] = scores  # repeats
        return scores + shared + chosen.mean() + padded.mean() + sums + put


class CollidesNowhere(Classifier):
    """Its indices are unique, its pooling is a mean, its sums are of integers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.layer(images)
        pooled = functional.adaptive_avg_pool2d(maps, 1).flatten(1)
        order = torch.randperm(len(images), device=self.device)
        scores = super().forward(functional.interpolate(maps, size=8)) + pooled.mean()
        counts = torch.zeros(4, dtype=torch.int64, device=self.device)
        counts.scatter_add_(0, order % 4, torch.ones_like(order))
        counts = counts.cumsum(0)
        mask = order == 0
        scores = torch.where(mask[:, None], scores.index_select(0, order), scores[order])
        return scores.sort(1).values + scores.max(1, keepdim=True).values

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, labels = batch
        scores = functional.log_softmax(self(images), 1)
        return functional.nll_loss(scores, labels) - scores.gather(1, labels[:, None]).mean()
