"""Train torchvision's classifiers for one step, each at the smallest size that it can process."""

import torch
from torch import Tensor

from benchmark.common.parameters import ModelParameters
from benchmark.training import networks
from benchmark.training.model import FineTuner

CLASSES = 7
SMALLEST_IMAGE = 32
"""Smallest `data.image_size`."""


def tuner(architecture: str, image_size: int, classes: int = CLASSES, **options: bool) -> FineTuner:
    """Return a FineTuner with random weights."""
    model = {"freeze_backbone": False, "channels_last": False, "compile": False} | options
    parameters = ModelParameters(architecture=architecture, weights="random", **model)
    return FineTuner(classes, 7, parameters, 1e-4, image_size=image_size)


def batch(image_size: int, samples: int = 2) -> tuple[Tensor, Tensor]:
    """Return images and labels, always the same."""
    random = torch.Generator().manual_seed(0)
    images = torch.randn(samples, 3, image_size, image_size, generator=random)
    return images, torch.arange(samples) % CLASSES


def smallest_size(architecture: str) -> int:
    """Return the smallest image size with which two images can be trained."""
    if networks.works(architecture, SMALLEST_IMAGE, 2):
        return SMALLEST_IMAGE
    size = networks.next_size(architecture, SMALLEST_IMAGE, 2)
    assert size, architecture
    return size


def train_one_step(architecture: str, size: int) -> list[str]:
    """Train one step and check it. Return the network's row of the table in docs/networks.md.

    `size` is the smallest image size of the network.

    Every weight gets a finite gradient, the head has an output for each class, and a head on its
    stored input computes the same logits as the complete network.
    """
    model, images = tuner(architecture, size), batch(size)
    optimizer = model.configure_optimizers()
    model.training_step(images, 0).backward()
    wrong = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.isfinite().all()
    ]
    assert not wrong, wrong
    optimizer.step()
    model.eval()
    with torch.no_grad():
        features, logits = model.features(images[0]), model(images[0])
        assert torch.equal(model(features), logits)
    assert logits.shape == (2, CLASSES)
    backbone, head = (sum(p.numel() for p in m.parameters()) for m in (model.backbone, model.head))
    assert backbone + head == sum(p.numel() for p in model.network.parameters())
    shape = " x ".join(map(str, features.shape[1:]))
    name = networks.head_name(model.network)
    masks = "yes" if networks.draws_masks(model.network) else "no"
    return [f"`{architecture}`", f"{backbone / 1e6:,.1f}", f"`{name}`", shape, f"{size}", masks]
