"""Set a network's weights: the pinned source weights, a local file, a download or random ones.

Missing weights are an error, never replaced by random ones. Every download's hash is checked.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from torchvision.models import ResNet, ResNet50_Weights

from benchmark.common.files import sha256
from benchmark.common.parameters import SOURCE_WEIGHTS, ModelParameters
from benchmark.common.progress import is_terminal
from benchmark.errors.user_error import UserError
from benchmark.training import backbone, weights_file
from benchmark.training.initial_weights import draw_backbone


def load(network: ResNet, model: ModelParameters, seed: int) -> str:
    """Load the backbone that `model.weights` names into `network`; draw it for "random".

    Returns:
        Words that say which weights were used; empty for random ones.

    Raises:
        UserError: the weights are missing, damaged, or not those of a ResNet50.
    """
    if model.weights == "random":
        draw_backbone(network, seed)
        return ""
    path = model.weights_file
    content, kind = weights_file.read(_require_file(path)) if path else (_download(), "torchvision")
    source = path or model.weights
    used = backbone.load(network, content, f"model.weights: {source}")
    return "; ".join(filter(None, [f"weights of {source} ({kind})", used]))


def fingerprint(model: ModelParameters) -> str:
    """Return what identifies the initial weights: their file's sha256, or the name of weights that
    have no file (`random`, `IMAGENET1K_V2`).

    Raises:
        UserError: the file does not exist.
    """
    path = model.weights_file
    return sha256(_require_file(path)) if path else model.weights


def _require_file(path: Path) -> Path:
    """Return `path` if it is a file, else raise UserError."""
    if path.is_file():
        return path
    remedy = "Name a file, source, IMAGENET1K_V2 (needs a download) or random."
    if path == SOURCE_WEIGHTS:
        remedy = "It is pinned by weights.dvc. Fetch it: python -m benchmark dataset."
    raise UserError(f"model.weights: there is no file {str(path)!r}.", remedy)


def _download() -> dict[str, Any]:
    """Return torchvision's weights from torch's hub cache or the network; check their hash.

    Raises:
        UserError: the hash differs, or the weights cannot be downloaded.
    """
    weights = ResNet50_Weights.IMAGENET1K_V2
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
            f"model.weights: IMAGENET1K_V2 cannot be downloaded: {error}.",
            "Connect to the network once, or name a local file or random.",
        ) from None
