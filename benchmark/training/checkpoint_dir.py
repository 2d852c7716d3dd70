"""Where a training lies until it is done: checkpoints that are whole, or are not read."""

import hashlib
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from lightning_fabric.utilities.apply_func import move_data_to_device
from pytorch_lightning.plugins.io.wrapper import _WrappingCheckpointIO

from benchmark.common.files import write_bytes, write_text
from benchmark.distributed.process_group import broadcast, get_rank
from benchmark.errors.user_error import UserError

SCRATCH = Path(".checkpoints")
DONE = "done"
"""A file beside the checkpoints of a training that is: the MD5 of its result, as DVC has it."""
SEAL = hashlib.sha256().digest_size
"""Bytes of the digest that each checkpoint begins with."""


@contextmanager
def scratch(name: str, key: str, result: Path) -> Iterator[Path]:
    """A directory that outlives an interruption, for one process at a time; gone on success. Where
    DVC runs the training, it is kept until DVC has recorded the result: DVC removes one that it
    does not know of, and the training would be lost.

    Args:
        name: of the training.
        key: of what it begins from.
        result: its file; written when the block ends.
    """
    home = SCRATCH / name
    home.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(home / "lock", timeout=0):
            for stale in home.iterdir():
                if stale.is_dir() and (stale.name != key or _is_recorded(stale)):
                    shutil.rmtree(stale)
            (home / key).mkdir(exist_ok=True)
            yield home / key
            if "DVC_ROOT" in os.environ:  # DVC sets it for its stages
                write_text(home / key / DONE, _md5(result))
            else:
                shutil.rmtree(home / key)
    except Timeout:
        raise UserError(
            f"Another process is training on {name} here.", "Wait for it, or end it."
        ) from None


def forget(name: str) -> None:
    """Remove what is left of a training that is recorded: another stage builds on it."""
    for done in (SCRATCH / name).glob(f"*/{DONE}"):
        shutil.rmtree(done.parent)


def _is_recorded(directory: Path) -> bool:
    """Whether its training is done, and DVC's lock file holds the digest of the result."""
    done, lock = directory / DONE, Path("dvc.lock")
    return done.exists() and lock.exists() and done.read_text() in lock.read_text("utf-8")


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


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
        """The content of a whole file, on the CPU; nothing but tensors and plain values. The first
        rank reads it: other machines may have none.

        Raises:
            UserError: it is damaged, or holds what could run code.
        """
        content = broadcast(Path(path).read_bytes() if get_rank() == 0 else b"")
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
