"""The directory of a training's checkpoints, and checkpoint files that detect damage."""

import hashlib
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from filelock import FileLock, Timeout
from lightning_fabric.utilities.apply_func import move_data_to_device
from pytorch_lightning.plugins.io.wrapper import _WrappingCheckpointIO

from benchmark.common.files import new_file, write_text
from benchmark.distributed.process_group import broadcast, get_rank, get_world_size
from benchmark.errors.user_error import UserError

CHECKPOINTS = Path(".checkpoints")
DONE = "done"
"""File next to the checkpoints of a finished training, with the MD5 of its result."""
SEAL = hashlib.sha256().digest_size
"""Bytes of the digest at the end of each checkpoint."""
CHUNK = 2**20
"""Bytes of a checkpoint that are read at a time to digest it."""


@contextmanager
def checkpoint_dir(name: str, key: str, result: Path) -> Iterator[Path]:
    """Lock and yield a training's checkpoint directory. It stays if the block is interrupted.

    It is removed when the block succeeds. In a DVC stage it stays until dvc.lock contains the
    result: DVC removes results that are not recorded, and the training would be lost.

    Args:
        name: name of the training.
        key: digest of its inputs; directories with other keys are removed.
        result: file that the training has written when the block ends.

    Raises:
        UserError: another process has locked the directory.
    """
    parent = CHECKPOINTS / name
    parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(parent / "lock", timeout=0):
            lock = Path("dvc.lock")
            recorded = lock.read_text("utf-8") if lock.exists() else ""
            for existing in filter(Path.is_dir, parent.iterdir()):
                done = existing / DONE
                if existing.name != key or (done.exists() and done.read_text() in recorded):
                    shutil.rmtree(existing)
            (parent / key).mkdir(exist_ok=True)
            yield parent / key
            if "DVC_ROOT" in os.environ:  # DVC sets it for its stages
                md5 = hashlib.md5(result.read_bytes(), usedforsecurity=False)  # as in dvc.lock
                write_text(parent / key / DONE, md5.hexdigest())
            else:
                shutil.rmtree(parent / key)
    except Timeout:
        raise UserError(
            f"Another process is training on {name} here.", "Wait for it, or end it."
        ) from None


def remove_finished(name: str) -> None:
    """Remove the checkpoints of the training `name` if it is finished.

    A later stage calls this: that it runs shows that DVC has recorded the training.
    """
    for done in (CHECKPOINTS / name).glob(f"*/{DONE}"):
        shutil.rmtree(done.parent)


class SealedCheckpoints(_WrappingCheckpointIO):
    """Writes and reads Lightning's checkpoints with the sha256 of their content at the end.

    After a power cut a disk may have lost parts of a file, and torch reads most altered files
    without an error. Files are written and read tensor by tensor, so a checkpoint takes no memory
    of its size. The base class is a wrapper, although nothing is wrapped: Lightning's XLA strategy
    accepts a wrapper or its own plugin only.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write the checkpoint and its digest to `path` atomically."""
        on_cpu = move_data_to_device(checkpoint, torch.device("cpu"))
        if metadata := getattr(checkpoint.get("state_dict"), "_metadata", None):
            on_cpu["state_dict"]._metadata = metadata  # versions of layers, which the copy lacks
        with new_file(Path(path)) as file:
            try:
                torch.save(on_cpu, file)
            except RuntimeError as error:  # torch's writer may replace the error of a full disk
                raise error.__context__ or error from None
            file.seek(0)
            file.write(hashlib.file_digest(file, "sha256").digest())

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Return the tensors and plain values of the file `path`, on the CPU.

        All ranks must call it: rank 0 reads the file and broadcasts it, because the machines of
        other ranks may not have it.

        Raises:
            UserError: the file is damaged, or contains what could run code.
        """
        with _open(Path(path)) as file:
            try:
                if not _is_sealed(file):
                    raise ValueError
                checkpoint: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            except Exception:  # torch has many kinds
                raise UserError(
                    f"{path} is damaged, or was not written by this training.",
                    f"Remove {Path(path).parent} and start over.",
                ) from None
        return checkpoint

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove the file `path` if it exists."""
        Path(path).unlink(missing_ok=True)


def is_undamaged(path: Path) -> bool:
    """Return whether the content of a checkpoint has the digest that follows it."""
    with path.open("rb") as file:
        return _is_sealed(file)


def _open(path: Path) -> BinaryIO:
    """Open rank 0's file `path`. With several ranks, all of them get its content in memory."""
    if get_world_size() == 1:
        return path.open("rb")
    return io.BytesIO(broadcast(path.read_bytes() if get_rank() == 0 else b""))


def _is_sealed(file: BinaryIO) -> bool:
    """Return whether the last SEAL bytes are the digest of all before them; seek to the start."""
    left, digest = file.seek(0, io.SEEK_END) - SEAL, hashlib.sha256()
    file.seek(0)
    while left > 0:
        chunk = file.read(min(left, CHUNK))
        digest.update(chunk)
        left -= len(chunk)
    sealed = file.read() == digest.digest()
    file.seek(0)
    return sealed
