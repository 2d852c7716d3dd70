"""Where a network's weights come from: the pinned source weights, a local file or torchvision.

Nothing is unpickled, nothing replaced by random weights, and every download's hash is checked.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from torchvision.models import ResNet, ResNet50_Weights

from benchmark.common.files import sha256
from benchmark.common.parameters import SOURCE_WEIGHTS, ModelParameters
from benchmark.errors.user_error import UserError
from benchmark.training import backbone, checkpoint


def load(network: ResNet, model: ModelParameters) -> str:
    """Give `network` the backbone that `model.weights` names, unless it is random.

    Returns:
        What was found and used, in words; "" for random.

    Raises:
        UserError: it is not here, damaged, or no ResNet50.
    """
    if model.weights == "random":
        return ""
    path = model.weights_file
    if path:
        content, kind = checkpoint.read(_existing(path))
    else:
        content, kind = _download(), "torchvision"
    source = path or model.weights
    used = backbone.load(network, content, f"model.weights: {source}")
    return "; ".join(filter(None, [f"weights of {source} ({kind})", used]))


def fingerprint(model: ModelParameters) -> str:
    """The sha256 of the file that `model.weights` names, or that name where there is no file.

    Raises:
        UserError: there is no such file.
    """
    path = model.weights_file
    return sha256(_existing(path)) if path else model.weights


def _existing(path: Path) -> Path:
    if path.is_file():
        return path
    remedy = "Name a file, source, IMAGENET1K_V2 (needs a download) or random."
    if path == SOURCE_WEIGHTS:
        remedy = "It is pinned by weights.dvc. Fetch it: python -m benchmark dataset."
    raise UserError(f"model.weights: there is no file {str(path)!r}.", remedy)


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
    digest = sha256(path)
    if not digest.startswith(path.stem.rsplit("-", 1)[1]):
        raise UserError(
            f"model.weights: {path} is damaged: its sha256 begins {digest[:8]}.", "Delete it."
        )
