"""What a file of weights holds, read by its content and not by its suffix.

Nothing is unpickled but tensors and plain values: unpickling anything else can run code.
"""

import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file

from benchmark.errors.user_error import UserError

SAFETENSORS, ZIP, LEGACY = "safetensors", "torch's zip format", "torch's legacy format"


class Checkpoint(NamedTuple):
    """The content of a file."""

    content: Any
    """Named tensors, or what a training script has put around them; on the CPU."""
    format: str
    """SAFETENSORS, ZIP or LEGACY."""


def read(path: Path) -> Checkpoint:
    """The content of the file `path`.

    Raises:
        UserError: it is of another format, damaged, or holds more than tensors and plain values.
    """
    kind = _format(path)
    try:
        return Checkpoint(load_file(path) if kind == SAFETENSORS else _load(path), kind)
    except Exception as error:  # each reader has its own kinds
        raise _refusal(path, str(error)) from None


def _format(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(12)
    if head[8:9] == b"{":  # after the length of this JSON header
        return SAFETENSORS
    if head.startswith(b"PK\x03\x04"):
        return ZIP
    if head.startswith(b"\x80"):  # of every pickle
        return LEGACY
    raise UserError(
        f"model.weights: {path} cannot be read: it is neither safetensors nor written by "
        f"torch.save, it begins {repr(head)[1:]}.",
        "Name a file of weights.",
    )


def _load(path: Path) -> Any:
    with warnings.catch_warnings(action="ignore"):  # what matters follows as an error
        return torch.load(path, map_location="cpu", weights_only=True)


def _refusal(path: Path, complaint: str) -> UserError:
    """In one line, and without torch's advice to unpickle whatever the file holds."""
    if found := re.search(r"GLOBAL (\S+)", complaint):
        return UserError(
            f"model.weights: {path} holds more than tensors, {found[1]}, and unpickling that can "
            "run code.",
            "docs/weights.md says how to take the weights out.",
        )
    words = " ".join(complaint.rpartition("WeightsUnpickler error:")[2].split())
    reason = words.partition(" Check the documentation")[0].rstrip(".")
    return UserError(
        f"model.weights: {path} cannot be read: "
        f"{'it is a TorchScript program' if 'TorchScript' in reason else reason}.",
        "Name a whole file of safetensors, or a state_dict written by torch.save.",
    )
