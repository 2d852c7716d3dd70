"""torchvision's ResNet50 with a new head, fine-tuned by Adam at a fixed learning rate."""

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy
from torchvision.models import ResNet, resnet50

from benchmark.common.parameters import AdamName, ModelParameters
from benchmark.errors.user_error import UserError
from benchmark.training import adam, weights

TOP = 5
STRIDE = 32
"""Pixels per side of an image for each pixel of ResNet50's last feature maps."""


class MeanLoss(Metric):
    """The mean over the samples of all batches and ranks.

    Lightning's mean of what is logged is wrong where ranks have 9 samples (it divides by twice 4);
    torchmetrics' MeanMetric stops the accelerator to look for NaN, or else ignores the weights.
    """

    total: Tensor
    samples: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("samples", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, loss: Tensor, samples: int) -> None:
        """Note the mean loss of a batch."""
        self.total = self.total + loss * samples
        self.samples = self.samples + samples

    def compute(self) -> Tensor:
        """float32 ()."""
        return self.total / self.samples


class FineTuner(LightningModule):
    """ResNet50 for `classes` classes; batches are (float (n, 3, h, w), int64 (n,)), or, as
    features.py makes them, (float (n, 2048), int64 (n,)) for the head alone.

    Every weight that is not loaded is drawn on the CPU from `seed`, so that each accelerator
    starts from the same bits. `origin` says which weights were loaded, "" for none.

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
        self.origin = weights.load(self.network, model)
        self.network.to(memory_format=_memory_format(model.channels_last))
        if self.frozen:
            self.network.requires_grad_(False)
            self.network.fc.requires_grad_(True)
            self.train()
        if model.compile:
            self.network.compile()
        accuracy = MetricCollection(_accuracies(classes))
        self.val_accuracy = accuracy.clone(prefix="val/")
        self.test_accuracy = accuracy.clone(prefix="test/")
        self.val_loss, self.test_loss = MeanLoss(), MeanLoss()

    @property
    def backbone(self) -> nn.Sequential:
        """All layers but the head, in the order in which they run."""
        return nn.Sequential(*list(self.network.children())[:-1])

    def features(self, images: Tensor) -> Tensor:
        """What the head sees, (n, 2048), of normalised images (n, 3, h, w)."""
        features: Tensor = self.backbone(images.to(self.network.fc.weight.dtype))
        return features.flatten(1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, classes) of normalised images (n, 3, h, w) or of features (n, 2048)."""
        head = self.network.fc
        inputs = inputs.to(head.weight.dtype)
        logits: Tensor = head(inputs) if inputs.ndim == 2 else self.network(inputs)
        return logits

    def train(self, mode: bool = True) -> "FineTuner":
        """As usual, but a frozen backbone keeps its batch statistics too."""
        super().train(mode)
        if self.frozen:
            self.network.eval()
        return self

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Cross-entropy of a batch, a scalar."""
        images, labels = batch
        return nn.functional.cross_entropy(self(images), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log val/loss, val/accuracy and val/top5."""
        self._evaluate(batch, "val", self.val_accuracy, self.val_loss)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Log test/loss, test/accuracy and test/top5; the logits, float32 (n, classes)."""
        return self._evaluate(batch, "test", self.test_accuracy, self.test_loss)

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Class probabilities (n, classes)."""
        return self(batch[0]).softmax(dim=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam over whatever trains."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        options = adam.options(self.adam, trained[0].device.type)
        return adam.Adam(trained, lr=self.learning_rate, **options)

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


def check_batches(samples: int, batch_size: int, image_size: int) -> None:
    """Refuse to train every layer where an epoch has a batch that gives batch norm one value per
    channel: one image, whose last feature maps are single pixels.

    Args:
        samples: of an epoch.
        batch_size: samples of each batch but the last, which holds what is left.
        image_size: pixels per side.

    Raises:
        UserError: there is such a batch.
    """
    last = samples % batch_size or batch_size
    if last == 1 and image_size <= STRIDE:
        raise UserError(
            f"batch_size = {batch_size}: of {samples} training images the last batch holds one, "
            f"and at image_size = {image_size} batch norm cannot train on one image.",
            f"Choose another batch_size, or an image_size above {STRIDE}.",
        )


def build(classes: int, seed: int, norm_layer: type[nn.BatchNorm2d] = nn.BatchNorm2d) -> ResNet:
    """ResNet50 with a head for `classes` classes, drawn from `seed`; float32 on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return resnet50(weights=None, num_classes=classes, norm_layer=norm_layer)


def _memory_format(channels_last: bool) -> torch.memory_format:
    return torch.channels_last if channels_last else torch.contiguous_format


def _accuracies(classes: int) -> dict[str, Metric | MetricCollection]:
    return {
        "accuracy": MulticlassAccuracy(classes, average="micro"),
        "top5": MulticlassAccuracy(classes, average="micro", top_k=min(TOP, classes)),
    }
