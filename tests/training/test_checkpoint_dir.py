"""Checkpoints: damaged ones are not read, and nothing in them is executed."""

import hashlib
import io
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.errors.user_error import UserError
from benchmark.training.checkpoint_dir import SEAL, SealedCheckpoints, is_undamaged

CONTENT = {"state_dict": {"weight": torch.arange(1000.0)}, "epoch": 3, "score": [0.5, None]}


class Payload:
    """A pickle that calls a function."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("executed"),)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An undamaged checkpoint in the working directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "last.ckpt"
    SealedCheckpoints().save_checkpoint(CONTENT, path)
    return path


def test_a_checkpoint_contains_what_was_saved(checkpoint: Path) -> None:
    loaded = SealedCheckpoints().load_checkpoint(checkpoint)
    assert is_undamaged(checkpoint)
    assert torch.equal(loaded["state_dict"]["weight"], CONTENT["state_dict"]["weight"])
    assert (loaded["epoch"], loaded["score"]) == (3, [0.5, None])
    assert [path.name for path in checkpoint.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("place", [0, SEAL, 0.5, -1])
def test_one_flipped_bit_is_noticed(checkpoint: Path, place: float) -> None:
    content = bytearray(checkpoint.read_bytes())
    content[int(place * len(content)) if 0 < place < 1 else int(place)] ^= 1
    checkpoint.write_bytes(content)
    assert_refused(checkpoint)


@pytest.mark.parametrize("length", [0, 10, SEAL, 1000])
def test_a_truncated_file_is_noticed(checkpoint: Path, length: int) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes()[:length])
    assert_refused(checkpoint)


def assert_refused(checkpoint: Path) -> None:
    assert not is_undamaged(checkpoint)
    with pytest.raises(UserError, match=r"last\.ckpt is damaged, or was not written by this tr"):
        SealedCheckpoints().load_checkpoint(checkpoint)


@pytest.mark.parametrize("write", [partial(pickle.dump, protocol=2), torch.save])
def test_a_checkpoint_that_would_run_code_is_refused_unexecuted(checkpoint: Path, write) -> None:
    buffer = io.BytesIO()
    write({"state_dict": Payload()}, buffer)
    content = buffer.getvalue()
    checkpoint.write_bytes(hashlib.sha256(content).digest() + content)
    assert is_undamaged(checkpoint)
    with pytest.raises(UserError, match="not written by this training"):
        SealedCheckpoints().load_checkpoint(checkpoint)
    assert not Path("executed").exists()
