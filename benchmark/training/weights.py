"""Set a network's weights: the pinned source weights, a local file, a download or random ones.

Missing weights are an error, never replaced by random ones. Every download's hash is checked.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.models import ResNet, WeightsEnum, get_model_weights

from benchmark.common.files import sha256
from benchmark.common.parameters import SOURCE_WEIGHTS, ModelParameters
from benchmark.common.progress import is_terminal
from benchmark.errors.user_error import UserError
from benchmark.training import backbone, weights_file
from benchmark.training.initial_weights import draw_backbone
from benchmark.training.networks import check_architecture


def load(network: nn.Module, model: ModelParameters, seed: int, image_size: int) -> str:
    """Load the backbone that `model.weights` names into `network`; draw a ResNet's for "random".

    For "random", other networks keep the weights that torchvision gave them. `image_size` is that
    for which the network was built.

    Returns:
        Words that say which weights were used; empty for random ones.

    Raises:
        UserError: the weights are missing, damaged, or those of another network.
    """
    if model.weights == "random":
        if isinstance(network, ResNet):
            draw_backbone(network, seed)
        return ""
    if path := model.weights_file:
        source, (content, kind) = str(path), weights_file.read(_require_file(path))
    else:
        weights = _named(model)
        _check_image_size(model.architecture, weights, image_size)
        source, content, kind = weights.name, _download(weights), "torchvision"
    used = backbone.load(network, content, f"model.weights: {source}", model.architecture)
    return "; ".join(filter(None, [f"weights of {source} ({kind})", used]))


def fingerprint(model: ModelParameters) -> str:
    """Return what identifies the initial weights: their file's sha256, or the name of weights that
    have no file (`random`, `IMAGENET1K_V2`; never `DEFAULT`, which is another name of one of them).

    Raises:
        UserError: the file does not exist, or torchvision has no such weights.
    """
    if path := model.weights_file:
        return sha256(_require_file(path))
    return model.weights if model.weights == "random" else str(_named(model).name)


def _require_file(path: Path) -> Path:
    """Return `path` if it is a file, else raise UserError."""
    if path.is_file():
        return path
    remedy = "Name a file, source, DEFAULT (needs a download) or random."
    if path == SOURCE_WEIGHTS:
        remedy = "It is pinned by weights.dvc. Fetch it: python -m benchmark dataset."
    raise UserError(f"model.weights: there is no file {str(path)!r}.", remedy)


def _named(model: ModelParameters) -> WeightsEnum:
    """Return torchvision's weights `model.weights`; DEFAULT is another name of the newest.

    Raises:
        UserError: torchvision has no such weights for the network.
    """
    check_architecture(model.architecture)
    weights = get_model_weights(model.architecture).__members__
    if model.weights not in weights:
        raise UserError(
            f"model.weights: torchvision has no weights {model.weights} of {model.architecture}.",
            f"Name {', '.join(weights)}, a file or random.",
        )
    return weights[model.weights]


def _check_image_size(architecture: str, weights: WeightsEnum, image_size: int) -> None:
    """Raise UserError if a vision transformer's weights are for images of another size."""
    expected, _ = weights.meta["min_size"]
    if architecture.startswith("vit_") and image_size != expected:
        raise UserError(
            f"model.weights: {weights.name} of {architecture} are for data.image_size = "
            f"{expected}, not {image_size}.",
            "Set that size, or choose other weights or another network.",
        )


def _download(weights: WeightsEnum) -> dict[str, Any]:
    """Return torchvision's weights from torch's hub cache or the network; check their hash.

    Raises:
        UserError: the hash differs, or the weights cannot be downloaded.
    """
    cached = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[1]
    if cached.exists():  # torch.hub checks downloads, but not its cache
        digest = sha256(cached)
        if not digest.startswith(cached.stem.rsplit("-", 1)[1]):  # name-0123abcd.pth
            raise UserError(
                f"model.weights: {cached} is damaged: its sha256 begins {digest[:8]}.", "Delete it."
            )
    options = {"map_location": "cpu", "weights_only": True, "progress": is_terminal(sys.stderr)}
    try:
        return dict(weights.get_state_dict(check_hash=True, **options))
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"model.weights: {weights.name} cannot be downloaded: {error}.",
            "Connect to the network once, or name a local file or random.",
        ) from None
