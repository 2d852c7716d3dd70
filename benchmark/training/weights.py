"""Where a network's weights come from: the pinned source weights, a local file or torchvision.

Nothing is unpickled, nothing replaced by random weights, and every download's hash is checked.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torchvision.models import ResNet50_Weights

from benchmark.common.errors import UserError
from benchmark.common.files import sha256
from benchmark.common.parameters import ModelParameters


def read(model: ModelParameters) -> dict[str, Any]:
    """The state_dict that `model.weights` names, without DataParallel's prefix; not for random.

    Raises:
        UserError: it is not here, damaged, or no file of weights.
    """
    path = model.weights_file
    assert path or model.weights == "IMAGENET1K_V2"
    return _read_file(_existing(path)) if path else _download()


def fingerprint(model: ModelParameters) -> str:
    """The sha256 of the file that `model.weights` names, or that name where there is no file.

    Raises:
        UserError: there is no such file.
    """
    path = model.weights_file
    return sha256(_existing(path)) if path else model.weights


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UserError(
            f"model.weights: there is no file {str(path)!r}.",
            "Name a file, source, IMAGENET1K_V2 (needs a download) or random.",
        )
    return path


def _read_file(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = dict(torch.load(path, map_location="cpu", weights_only=True))
        return {name.removeprefix("module."): value for name, value in state.items()}
    except Exception as error:  # each reader has its own kinds
        raise UserError(
            f"model.weights: {path} cannot be read: {error}.",
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
    digest = sha256(path)
    if not digest.startswith(path.stem.rsplit("-", 1)[1]):
        raise UserError(
            f"model.weights: {path} is damaged: its sha256 begins {digest[:8]}.", "Delete it."
        )
