"""torchvision's ResNet50 with a new head, fine-tuned by Adam at a fixed learning rate."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule
from safetensors.torch import load_file
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy
from torchvision.models import ResNet, ResNet50_Weights, resnet50

from benchmark.errors import UserError
from benchmark.parameters import ModelParameters

TOP = 5


class FineTuner(LightningModule):
    """ResNet50 for `classes` classes; batches are (float (n, 3, h, w), int64 (n,)).

    Every weight that is not loaded is drawn on the CPU from `seed`, so that each accelerator
    starts from the same bits.

    Raises:
        UserError: the weights named in `model` cannot be had.
    """

    def __init__(
        self, classes: int, seed: int, model: ModelParameters, learning_rate: float
    ) -> None:
        super().__init__()
        self.frozen = model.freeze_backbone
        self.learning_rate = learning_rate
        self.network = build(classes, seed, model.weights)
        self.network.to(memory_format=_memory_format(model.channels_last))
        if self.frozen:
            self.network.requires_grad_(False)
            self.network.fc.requires_grad_(True)
        if model.compile:
            self.network.compile()
        accuracy = MetricCollection(_accuracies(classes))
        self.val_accuracy = accuracy.clone(prefix="val/")
        self.test_accuracy = accuracy.clone(prefix="test/")

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of normalised images (n, 3, h, w)."""
        head = self.network.fc.weight
        logits: Tensor = self.network(images.to(head.dtype))
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
        self._evaluate(batch, "val", self.val_accuracy)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log test/loss, test/accuracy and test/top5."""
        self._evaluate(batch, "test", self.test_accuracy)

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Class probabilities (n, classes)."""
        return self(batch[0]).softmax(dim=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam over whatever trains."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return torch.optim.Adam(trained, lr=self.learning_rate)

    def _evaluate(
        self, batch: tuple[Tensor, Tensor], split: str, accuracy: MetricCollection
    ) -> None:
        images, labels = batch
        logits = self(images).float()
        loss = nn.functional.cross_entropy(logits, labels)
        accuracy.update(logits, labels)
        self.log(f"{split}/loss", loss, batch_size=len(labels), sync_dist=True)
        self.log_dict(accuracy, batch_size=len(labels))


def build(classes: int, seed: int, weights: str) -> ResNet:
    """ResNet50 with a head for `classes` classes, float32 on the CPU.

    `weights` is `random`, `IMAGENET1K_V2`, or the path of a state_dict (safetensors or
    torch.save), whose head, if it has one, is left out.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = resnet50(weights=None, num_classes=classes)
    if weights != "random":
        _load_backbone(network, _read_weights(weights), weights)
    return network


def _load_backbone(network: ResNet, state: dict[str, Any], source: str) -> None:
    backbone = {name: value for name, value in state.items() if not name.startswith("fc.")}
    expected = {name: v for name, v in network.state_dict().items() if not name.startswith("fc.")}
    wrong = sorted(expected.keys() ^ backbone.keys()) + sorted(
        name for name, value in backbone.items() if name in expected
        and value.shape != expected[name].shape
    )  # fmt: skip
    if wrong:
        raise UserError(
            f"{source} does not hold ResNet50 weights: {len(wrong)} entries such as "
            f"{wrong[0]!r} are missing, unknown or of another shape.",
            "Name a state_dict of torchvision's resnet50.",
        )
    network.load_state_dict(backbone, strict=False)


def _read_weights(weights: str) -> dict[str, Any]:
    if weights == "IMAGENET1K_V2":
        return _download()
    path = Path(weights)
    if not path.is_file():
        raise UserError(
            f"model.weights: there is no file {weights!r}.",
            "Name a file, IMAGENET1K_V2 (needs a download) or random.",
        )
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = dict(torch.load(path, map_location="cpu", weights_only=True))
        return {name.removeprefix("module."): value for name, value in state.items()}
    except Exception as error:  # each reader has its own kinds
        raise UserError(
            f"model.weights: {weights} cannot be read: {error}.",
            "Name a safetensors file, or a state_dict written by torch.save.",
        ) from None


def _download() -> dict[str, Any]:
    """torchvision's weights, from torch's hub cache or the network, hash checked in both cases."""
    weights = ResNet50_Weights.IMAGENET1K_V2
    cached = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[1]
    if cached.exists():
        _check_hash(cached)  # torch.hub checks what it downloads and trusts what it finds
    options = {"map_location": "cpu", "weights_only": True, "progress": sys.stderr.isatty()}
    try:
        return dict(weights.get_state_dict(check_hash=True, **options))
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"model.weights: IMAGENET1K_V2 cannot be downloaded: {error}.",
            "Connect to the network once, or name a local file or random.",
        ) from None


def _check_hash(path: Path) -> None:
    """A file of torch's hub bears the first digits of its sha256: name-0123abcd.pth."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(path.stem.rsplit("-", 1)[1]):
        raise UserError(
            f"model.weights: {path} is damaged: its sha256 begins {digest[:8]}.", "Delete it."
        )


def _memory_format(channels_last: bool) -> torch.memory_format:
    return torch.channels_last if channels_last else torch.contiguous_format


def _accuracies(classes: int) -> dict[str, Metric | MetricCollection]:
    return {
        "accuracy": MulticlassAccuracy(classes, average="micro"),
        "top5": MulticlassAccuracy(classes, average="micro", top_k=min(TOP, classes)),
    }
