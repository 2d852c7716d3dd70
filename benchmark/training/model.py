"""A classifier of torchvision with a new head, fine-tuned by Adam at a fixed learning rate."""

from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from benchmark.common.parameters import AdamName, ModelParameters
from benchmark.training import adam, networks, weights
from benchmark.training.compilation import compile_network

CHANNELS = 3
"""Colours of an image."""
IMAGE_SIZE = 224
"""Pixels per side for which torchvision's networks are built by default."""
TOP = 5


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
    """Fine-tunes the network `model.architecture` for `classes` classes.

    Batches are images and labels, (float (n, 3, h, w), int64 (n,)); or features of a frozen
    backbone and labels, (float (n, ...), int64 (n,)), which go through the head alone. Features are
    the head's input: (n, 2048) of a ResNet50. Only vision transformers and MaxViT are built for one
    `image_size`, in pixels per side.

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
        image_size: int = IMAGE_SIZE,
    ) -> None:
        super().__init__()
        self.frozen = model.freeze_backbone
        self.learning_rate = learning_rate
        self.adam = adam
        self.network = networks.build(model.architecture, classes, seed, image_size, norm_layer)
        self._head_name = networks.head_name(self.network)
        self.origin = weights.load(self.network, model, seed, image_size)
        if model.channels_last:
            # torch's type hints lack this argument
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.frozen:
            self.network.requires_grad_(False)
            self.head.requires_grad_(True)
            self.train()
        if model.compile:
            compile_network(self.network, model.compile)
        accuracy = MetricCollection({
            "accuracy": MulticlassAccuracy(classes, average="micro"),
            "top5": MulticlassAccuracy(classes, average="micro", top_k=min(TOP, classes)),
        })  # fmt: skip
        self.val_accuracy = accuracy.clone(prefix="val/")
        self.test_accuracy = accuracy.clone(prefix="test/")
        self.val_loss, self.test_loss = MeanLoss(), MeanLoss()

    @property
    def head(self) -> nn.Linear | nn.Conv2d:
        """The layer that computes the logits."""
        layer = self.network.get_submodule(self._head_name)
        assert isinstance(layer, nn.Linear | nn.Conv2d)
        return layer

    @property
    def backbone(self) -> nn.ModuleList:
        """The network's layers except the head, and parameters that are not in a layer."""
        names = self._head_name.split(".")
        around = [self.network.get_submodule(".".join(names[:end])) for end in range(len(names))]
        layers = [layer for outer in around for layer in outer.children()]
        parameters = nn.Module()  # Lightning would iterate over the tensors of a ParameterList
        for outer in around:
            for name, parameter in outer.named_parameters(recurse=False):
                parameters.register_parameter(name, parameter)
        inner = [layer for layer in layers if layer not in [self.head, *around]]
        return nn.ModuleList([*inner, parameters])

    def features(self, images: Tensor) -> Tensor:
        """Return the head's input, (n, ...), for normalised images (n, 3, h, w)."""
        inputs: list[Tensor] = []
        hook = self.head.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
        with hook:
            self(images)
        return inputs[0]

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (n, classes) for normalised images (n, 3, h, w) or features (n, ...)."""
        inputs = inputs.to(self.head.weight.dtype)
        is_image = inputs.ndim == 4 and inputs.shape[1] == CHANNELS
        logits: Tensor = self.network(inputs) if is_image else self._classify(inputs)
        return logits

    def _classify(self, features: Tensor) -> Tensor:
        """Return logits (n, classes) for the head's inputs (n, ...).

        SqueezeNet's head is a convolution: an activation and a mean over pixels follow.
        """
        outer_name, _, last = self._head_name.rpartition(".")
        outer = self.network.get_submodule(outer_name)
        names = [name for name, _ in outer.named_children()]
        layers = [self.head]
        if isinstance(outer, nn.Sequential):
            layers = [*outer][names.index(last) :]
        for layer in layers:
            features = layer(features)
        return features.flatten(1)

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
        # A copy, because a CUDA graph's next replay overwrites its output.
        logits: Tensor = self(images).to(torch.float32, copy=True)
        mean.update(nn.functional.cross_entropy(logits, labels), len(labels))
        accuracy.update(logits, labels)
        self.log(f"{split}/loss", mean, batch_size=len(labels))
        self.log_dict(accuracy, batch_size=len(labels))
        return logits
