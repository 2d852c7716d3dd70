"""Build classifiers of torchvision or timm by name, find their heads, and check image sizes."""

from bisect import bisect_left
from difflib import get_close_matches
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torchvision import models
from torchvision.models import get_model_builder, list_models
from torchvision.ops import StochasticDepth

from benchmark.common.parameters import DEFAULT_ARCHITECTURE, LARGEST_IMAGE, TIMM
from benchmark.errors.user_error import UserError
from benchmark.training.initial_weights import draw_head

STRIDE = 32
"""Pixels per side of an image for each pixel of ResNet50's last feature maps."""
BUILT_FOR_ONE_SIZE = ("vit_", "maxvit_")
"""Prefixes of torchvision's networks whose weights or partitions depend on the image size."""
NOT_BUILT = (RuntimeError, ValueError, AssertionError, TypeError)
"""Errors of networks that cannot be built for an image size, or cannot process it."""
INITIALISERS = ("normal_", "uniform_", "erfinv_", "mul_", "add_", "clamp_", "zero_", "fill_")
"""In-place methods of tensors with which torchvision initialises weights."""


def build(
    architecture: str,
    classes: int,
    seed: int,
    image_size: int,
    norm_layer: type[nn.BatchNorm2d] = nn.BatchNorm2d,
) -> nn.Module:
    """Return a network on the CPU for `classes` classes, with a random float32 head from `seed`.

    torchvision or timm initialises the other weights from `seed`. Some of their bits depend on the
    kind of processor. `norm_layer` replaces the class of each BatchNorm2d; it must not have other
    buffers.

    Raises:
        UserError: there is no such classifier, or it cannot be built for this image size.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network = _make(architecture, classes, image_size)
        except NOT_BUILT:
            check_image_size(architecture, image_size, 2)
            raise
    for layer in network.modules():
        if type(layer) is nn.BatchNorm2d:
            layer.__class__ = norm_layer
    draw_head(network, head_name(network), seed)
    return network


def head_name(network: nn.Module) -> str:
    """Return the name of the layer that computes the logits: the last Linear or Conv2d.

    timm's networks name it themselves.
    """
    layers = network.named_modules()
    if get_classifier := getattr(network, "get_classifier", None):
        return next(name for name, layer in layers if layer is get_classifier())
    *_, name = (name for name, layer in layers if isinstance(layer, nn.Linear | nn.Conv2d))
    return name


def draws_masks(network: nn.Module) -> bool:
    """Return whether a layer draws random numbers in training: dropout or stochastic depth."""
    return any(
        (isinstance(layer, nn.modules.dropout._DropoutNd | StochasticDepth) and layer.p > 0)
        or getattr(layer, "drop_prob", None)  # timm's DropPath
        or getattr(layer, "drop_rate", None)  # of calls of nn.functional.dropout
        for layer in network.modules()
    )


def without_values(architecture: str, classes: int, image_size: int) -> nn.Module:
    """Return a network on the meta device: it has shapes and no numbers.

    Raises:
        UserError: there is no such classifier.
    """
    with _WithoutInitialisation():  # built on the CPU: RegNet's constructor reads tensors
        network = _make(architecture, classes, image_size)
    return network.to("meta")


def check_architecture(architecture: str) -> None:
    """Raise UserError if there is no classifier of this name."""
    if architecture.startswith(TIMM):
        names, reason = _timm(architecture).names(), "timm has no network of this name"
    else:
        names, reason = list_models(module=models), "torchvision has no network of this name"
        if architecture in list_models():
            reason = "torchvision's network of this name is not a classifier in float32"
    if architecture in names:
        return
    similar = get_close_matches(architecture, names, cutoff=0.4)
    raise UserError(
        f"model.architecture = {architecture}: {reason}.",
        "docs/networks.md says where all names are listed."
        if not similar
        else f"Similar names: {', '.join(similar)}; docs/networks.md says where all are listed.",
    )


def check_image_size(
    architecture: str, image_size: int, samples: int, *, training: bool = True
) -> None:
    """Raise if the network cannot process images of this size.

    Args:
        architecture: name of the network.
        image_size: pixels per side.
        samples: number of images in the batch.
        training: whether batch norm uses the batch's own statistics.

    Raises:
        UserError: it cannot; names the next larger size that works.
    """
    if not works(architecture, image_size, samples, training=training):
        larger = next_size(architecture, image_size, samples, training=training)
        raise UserError(
            f"data.image_size = {image_size}: {architecture} cannot process images of this size.",
            f"The next larger size that it can is {larger}." if larger else "Choose another.",
        )


def check_batch_norm(architecture: str, samples: int, batch_size: int, image_size: int) -> None:
    """Raise if the network cannot train on the last batch of an epoch.

    Batch norm cannot train on one value per channel: one image whose feature maps are single
    pixels.

    Args:
        architecture: name of the network.
        samples: number of samples in an epoch.
        batch_size: samples of each batch; the last batch has the rest.
        image_size: pixels per side.

    Raises:
        UserError: the last batch has one image, and batch norm needs more; or the image size does
            not work with any batch.
    """
    check_image_size(architecture, image_size, 2)
    last = samples % batch_size or batch_size
    if last == 1 and not works(architecture, image_size, 1):
        larger = next_size(architecture, image_size, 1)
        raise UserError(
            f"batch_size = {batch_size}: of {samples} training images the last batch has one, "
            f"and at image_size = {image_size} batch norm cannot train on one image.",
            f"Choose another batch_size, or image_size = {larger}.",
        )


def works(architecture: str, image_size: int, samples: int, *, training: bool = True) -> bool:
    """Return whether the network can process a batch. Arguments as in `check_image_size`.

    ResNet50 needs more than one value per channel for batch norm, and nothing else. Others are
    tried on the meta device, where nothing is computed.
    """
    if architecture == DEFAULT_ARCHITECTURE:
        return samples > 1 or image_size > STRIDE or not training
    check_architecture(architecture)
    try:
        network = without_values(architecture, 2, image_size).train(training)
        with torch.no_grad():
            network(torch.empty(samples, 3, image_size, image_size, device="meta"))
    except UserError:  # a ValueError; does not depend on the size
        raise
    except NOT_BUILT:
        return False
    return True


def next_size(
    architecture: str, image_size: int, samples: int, *, training: bool = True
) -> int | None:
    """Return the smallest larger size with which `works` is true; None if there is none.

    All sizes above the smallest one work, except for networks that are built for one size.
    """
    sizes = range(image_size + 1, LARGEST_IMAGE + 1)

    def fits(size: int) -> bool:
        return works(architecture, size, samples, training=training)

    if _is_built_for_one_size(architecture):
        return next(filter(fits, sizes), None)
    index = bisect_left(sizes, True, key=fits)
    return sizes[index] if index < len(sizes) else None


def _make(architecture: str, classes: int, image_size: int) -> nn.Module:
    """Return a network on the CPU, initialised by its library from torch's global generator.

    Raises:
        UserError: there is no such classifier.
    """
    check_architecture(architecture)
    if architecture.startswith(TIMM):
        network: nn.Module = _timm(architecture).build(architecture, classes, image_size)
    else:
        options = _options(architecture, image_size)
        network = get_model_builder(architecture)(weights=None, num_classes=classes, **options)
    return network


def _timm(architecture: str) -> ModuleType:
    """Return the module that builds timm's networks; raise UserError if timm is not installed."""
    if not find_spec("timm"):
        raise UserError(
            f"model.architecture = {architecture}: timm is not installed.",
            "Install it: make .venv/peers.",
        )
    from benchmark.training import timm_networks  # here, because it imports timm

    return timm_networks


def _is_built_for_one_size(architecture: str) -> bool:
    if architecture.startswith(TIMM):
        return bool(_timm(architecture).is_built_for_one_size(architecture))
    return architecture.startswith(BUILT_FOR_ONE_SIZE)


def _options(architecture: str, image_size: int) -> dict[str, Any]:
    """Return the arguments that some of torchvision's networks need.

    GoogLeNet and Inception are built without auxiliary heads, and transform the colours of their
    inputs as torchvision does for its own weights.
    """
    if architecture.startswith("vit_"):
        return {"image_size": image_size}
    if architecture.startswith("maxvit_"):
        return {"input_size": (image_size, image_size)}
    if architecture in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": True, "transform_input": True}
    return {}


class _WithoutInitialisation(TorchFunctionMode):
    """Leaves the values of new tensors undefined, which saves the time and the memory."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            tensor: Tensor = kwargs["tensor"]
            return tensor
        return args[0] if func.__name__ in INITIALISERS else func(*args, **kwargs)
