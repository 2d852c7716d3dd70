"""Read a file of weights by its content; the suffix of its name does not matter.

Only tensors and plain values are unpickled: unpickling anything else can run code.
"""

import re
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from benchmark.errors.user_error import UserError

SAFETENSORS, ZIP, LEGACY = "safetensors", "torch's zip format", "torch's legacy format"


def read(path: Path) -> tuple[Any, str]:
    """Read the file `path`; return its content, on the CPU, and SAFETENSORS, ZIP or LEGACY.

    The content is named tensors, alone or within what a training script saved.

    Raises:
        UserError: the file has another format, is damaged, or contains more than tensors and
            plain values.
    """
    kind = _format(path)
    try:
        if kind == SAFETENSORS:
            return load_file(path), kind
        # An opened file: since torch 2.14, torch.load looks at the suffix of a path.
        with warnings.catch_warnings(action="ignore"), path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True), kind
    except Exception as error:  # each reader has its own exceptions
        raise _refusal(path, str(error)) from None


def _format(path: Path) -> str:
    """Return SAFETENSORS, ZIP or LEGACY by the first bytes of a file, or raise UserError."""
    with path.open("rb") as file:
        head = file.read(12)
    if head[8:9] == b"{":  # a JSON header follows its length
        return SAFETENSORS
    if head.startswith(b"PK\x03\x04"):
        return ZIP
    if head.startswith(b"\x80"):  # the first byte of every pickle
        return LEGACY
    raise UserError(
        f"model.weights: {path} cannot be read: it is neither safetensors nor written by "
        f"torch.save, it begins {repr(head)[1:]}.",
        "Name a file of weights.",
    )


def _refusal(path: Path, message: str) -> UserError:
    """Return the reader's error in one line, without torch's advice to unpickle everything."""
    if unsafe := re.search(r"GLOBAL (\S+)", message):
        return UserError(
            f"model.weights: {path} contains more than tensors, {unsafe[1]}, and unpickling that "
            "can run code.",
            "docs/weights.md says how to take the weights out.",
        )
    words = " ".join(message.rpartition("WeightsUnpickler error:")[2].split())
    reason = words.partition(" Check the documentation")[0].rstrip(".")
    if "TorchScript" in reason:
        reason = "it is a TorchScript program"
    return UserError(
        f"model.weights: {path} cannot be read: {reason}.",
        "Name a complete file of safetensors, or a state_dict written by torch.save.",
    )
