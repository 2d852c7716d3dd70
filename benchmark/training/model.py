"""torchvision's ResNet50 with a new head, fine-tuned by Adam at a fixed learning rate."""

from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy
from torchvision.models import ResNet, resnet50

from benchmark.common.parameters import AdamName, ModelParameters
from benchmark.errors.user_error import UserError
from benchmark.training import adam, weights
from benchmark.training.initial_weights import draw_head

TOP = 5
STRIDE = 32
"""Pixels per side of an image for each pixel of ResNet50's last feature maps."""


class MeanLoss(Metric):
    """The mean loss over the samples of all batches and ranks.

    Lightning's mean of logged values is wrong for 9 samples on 2 ranks: it divides by twice 4.
    torchmetrics' MeanMetric makes the host wait to look for NaN, or else ignores the weights.
    """

    total: Tensor
    samples: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("samples", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, loss: Tensor, samples: int) -> None:
        """Add the mean loss of a batch of `samples` samples."""
        self.total = self.total + loss * samples
        self.samples = self.samples + samples

    def compute(self) -> Tensor:
        """Return the mean, float32 ()."""
        return self.total / self.samples


class FineTuner(LightningModule):
    """Fine-tunes ResNet50 for `classes` classes.

    Batches are images and labels, (float (n, 3, h, w), int64 (n,)); or features of a frozen
    backbone and labels, (float (n, 2048), int64 (n,)), which go through the head alone.

    Weights that are not loaded are drawn on the CPU from `seed`, so that every accelerator starts
    from the same bits. `origin` says which weights were loaded; it is empty for none.

    Raises:
        UserError: the weights named in `model` are not available.
    """

    def __init__(
        self,
        classes: int,
        seed: int,
        model: ModelParameters,
        learning_rate: float,
        adam: AdamName = "auto",
        norm_layer: type[nn.BatchNorm2d] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        self.frozen = model.freeze_backbone
        self.learning_rate = learning_rate
        self.adam = adam
        self.network = build(classes, seed, norm_layer)
        self.origin = weights.load(self.network, model, seed)
        if model.channels_last:
            self.network.to(memory_format=torch.channels_last)
        if self.frozen:
            self.network.requires_grad_(False)
            self.network.fc.requires_grad_(True)
            self.train()
        if model.compile:
            self.network.compile()
        accuracy = MetricCollection({
            "accuracy": MulticlassAccuracy(classes, average="micro"),
            "top5": MulticlassAccuracy(classes, average="micro", top_k=min(TOP, classes)),
        })  # fmt: skip
        self.val_accuracy = accuracy.clone(prefix="val/")
        self.test_accuracy = accuracy.clone(prefix="test/")
        self.val_loss, self.test_loss = MeanLoss(), MeanLoss()

    @property
    def backbone(self) -> nn.Sequential:
        """The network's layers except the head, in the order in which they run."""
        return nn.Sequential(*list(self.network.children())[:-1])

    def features(self, images: Tensor) -> Tensor:
        """Return the head's input, (n, 2048), for normalised images (n, 3, h, w)."""
        features: Tensor = self.backbone(images.to(self.network.fc.weight.dtype))
        return features.flatten(1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (n, classes) for normalised images (n, 3, h, w) or features (n, 2048)."""
        head = self.network.fc
        inputs = inputs.to(head.weight.dtype)
        logits: Tensor = head(inputs) if inputs.ndim == 2 else self.network(inputs)
        return logits

    def train(self, mode: bool = True) -> "FineTuner":
        """Set the mode and return the model. A frozen network stays in eval mode.

        So the statistics of its batch norm stay fixed.
        """
        super().train(mode)
        if self.frozen:
            self.network.eval()
        return self

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the batch's cross-entropy, a scalar."""
        images, labels = batch
        return nn.functional.cross_entropy(self(images), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log val/loss, val/accuracy and val/top5."""
        self._evaluate(batch, "val", self.val_accuracy, self.val_loss)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Log test/loss, test/accuracy and test/top5; return logits, float32 (n, classes)."""
        return self._evaluate(batch, "test", self.test_accuracy, self.test_loss)

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return class probabilities (n, classes)."""
        return self(batch[0]).softmax(dim=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam over the trainable parameters."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        options = adam.options(self.adam, trained[0].device.type)
        return adam.Adam(trained, lr=self.learning_rate, **options)

    def optimizer_step(self, *arguments: Any) -> None:
        """Run a step, then free the gradients: the next forward pass can use their memory.

        Lightning itself frees them after the forward pass.
        """
        super().optimizer_step(*arguments)
        self.zero_grad()

    def _evaluate(
        self, batch: tuple[Tensor, Tensor], split: str, accuracy: MetricCollection, mean: MeanLoss
    ) -> Tensor:
        images, labels = batch
        logits: Tensor = self(images).float()
        mean.update(nn.functional.cross_entropy(logits, labels), len(labels))
        accuracy.update(logits, labels)
        self.log(f"{split}/loss", mean, batch_size=len(labels))
        self.log_dict(accuracy, batch_size=len(labels))
        return logits


def check_batch_norm(samples: int, batch_size: int, image_size: int) -> None:
    """Raise if an epoch has a batch of one image whose last feature maps are single pixels.

    Batch norm cannot train on one value per channel.

    Args:
        samples: number of samples in an epoch.
        batch_size: samples of each batch; the last batch has the rest.
        image_size: pixels per side.

    Raises:
        UserError: the last batch has one image, and the image size is at most STRIDE.
    """
    last = samples % batch_size or batch_size
    if last == 1 and image_size <= STRIDE:
        raise UserError(
            f"batch_size = {batch_size}: of {samples} training images the last batch has one, "
            f"and at image_size = {image_size} batch norm cannot train on one image.",
            f"Choose another batch_size, or an image_size above {STRIDE}.",
        )


def build(classes: int, seed: int, norm_layer: type[nn.BatchNorm2d] = nn.BatchNorm2d) -> ResNet:
    """Return a ResNet50 on the CPU for `classes` classes, with a random float32 head from `seed`.

    The other weights are not trained: torchvision initialises them. Some of their bits depend on
    the processor, so the caller must replace them.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = resnet50(weights=None, num_classes=classes, norm_layer=norm_layer)
    draw_head(network, seed)
    return network
