"""Where a training lies until it is done: checkpoints that are whole, or are not read."""

import hashlib
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from lightning_fabric.utilities.apply_func import move_data_to_device
from pytorch_lightning.plugins.io.wrapper import _WrappingCheckpointIO

from benchmark.common.errors import UserError
from benchmark.common.files import write_bytes

SCRATCH = Path(".checkpoints")
SEAL = hashlib.sha256().digest_size
"""Bytes of the digest that each checkpoint begins with."""


@contextmanager
def scratch(name: str, key: str) -> Iterator[Path]:
    """A directory that outlives an interruption, for one process at a time; gone on success."""
    home = SCRATCH / name
    home.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(home / "lock", timeout=0):
            for stale in home.iterdir():
                if stale.is_dir() and stale.name != key:
                    shutil.rmtree(stale)
            (home / key).mkdir(exist_ok=True)
            yield home / key
            shutil.rmtree(home / key)
    except Timeout:
        raise UserError(
            f"Another process is training on {name} here.", "Wait for it, or end it."
        ) from None


class SealedCheckpoints(_WrappingCheckpointIO):
    """Lightning's checkpoints, each behind the sha256 of its content.

    A disk may have lost what was written before a power cut, and torch reads most of what is
    changed without a word. (It wraps none: Lightning's XLA strategy takes a wrapper or its own.)
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a file that is whole or not there."""
        buffer = io.BytesIO()
        torch.save(move_data_to_device(checkpoint, torch.device("cpu")), buffer)
        write_bytes(Path(path), hashlib.sha256(buffer.getbuffer()).digest(), buffer.getbuffer())

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """The content of a whole file, on the CPU; nothing but tensors and plain values.

        Raises:
            UserError: it is damaged, or holds what could run code.
        """
        content = Path(path).read_bytes()
        try:
            unsealed = io.BytesIO(_unsealed(content))
            found: dict[str, Any] = torch.load(unsealed, map_location="cpu", weights_only=True)
        except Exception:  # torch has many kinds
            raise UserError(
                f"{path} is damaged, or was not written by this training.",
                f"Remove {Path(path).parent} and train anew.",
            ) from None
        return found

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove the file."""
        Path(path).unlink(missing_ok=True)


def is_whole(path: Path) -> bool:
    """Whether a checkpoint is as it was written."""
    try:
        return bool(_unsealed(path.read_bytes()))
    except ValueError:
        return False


def _unsealed(content: bytes) -> bytes:
    if hashlib.sha256(memoryview(content)[SEAL:]).digest() != content[:SEAL]:
        raise ValueError
    return content[SEAL:]
