"""Build timm's classifiers by name. Importing this module imports timm, an optional package."""

from collections.abc import Callable
from typing import Any

import timm
from torch import nn

from benchmark.common.parameters import TIMM
from benchmark.errors.user_error import UserError


def names() -> list[str]:
    """Return the names of all of timm's networks as values of `model.architecture`, without tags.

    A tag, the part after a dot, names pretrained weights.
    """
    return [f"{TIMM}{name}" for name in timm.list_models()]


def is_built_for_one_size(architecture: str) -> bool:
    """Return whether the network needs the image size when it is built."""
    return bool(timm.get_pretrained_cfg(architecture.removeprefix(TIMM)).fixed_input_size)


def build(architecture: str, classes: int, image_size: int) -> nn.Module:
    """Return a network on the CPU, initialised by timm from torch's global generator.

    Raises:
        UserError: its head is not one Linear or Conv2d layer.
    """
    options = {"img_size": image_size} if is_built_for_one_size(architecture) else {}
    name = architecture.removeprefix(TIMM)
    network: nn.Module = timm.create_model(name, num_classes=classes, **options)
    get_classifier: Callable[[], Any] = network.get_classifier  # type: ignore[assignment]
    if not isinstance(get_classifier(), nn.Linear | nn.Conv2d):
        raise UserError(
            f"model.architecture = {architecture}: its head is not one Linear or Conv2d layer.",
            "Choose another network.",
        )
    return network
