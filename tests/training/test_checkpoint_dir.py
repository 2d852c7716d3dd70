"""Checkpoints: damaged ones are not read, and nothing in them is executed."""

import hashlib
import io
import pickle
import resource
import tracemalloc
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


@pytest.mark.parametrize("limit", [10, 700, 5000, 100_000, 4_000_900])
def test_a_full_disk_leaves_the_checkpoint_as_it_was(checkpoint: Path, limit: int) -> None:
    """A limit of a file's size stands for a full disk; torch's writer fails at other places."""
    content, large = checkpoint.read_bytes(), {"a": torch.zeros(500_000), "b": torch.ones(500_000)}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(OSError, match="File too large") as error:
            SealedCheckpoints().save_checkpoint(large, checkpoint)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.value.filename == str(checkpoint)
    assert checkpoint.read_bytes() == content


@pytest.mark.parametrize("action", ["save", "load"])
def test_a_checkpoint_takes_no_memory_of_its_size(checkpoint: Path, action: str) -> None:
    """Python's own memory is counted: a copy of the file would be 40 MB. Tensors are torch's."""
    content = {str(number): torch.zeros(250_000) for number in range(40)}
    if action == "load":
        SealedCheckpoints().save_checkpoint(content, checkpoint)
    tracemalloc.start()
    if action == "save":
        SealedCheckpoints().save_checkpoint(content, checkpoint)
    else:
        SealedCheckpoints().load_checkpoint(checkpoint)
        assert is_undamaged(checkpoint)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000


@pytest.mark.parametrize("write", [partial(pickle.dump, protocol=2), torch.save])
def test_a_checkpoint_that_would_run_code_is_refused_unexecuted(checkpoint: Path, write) -> None:
    buffer = io.BytesIO()
    write({"state_dict": Payload()}, buffer)
    content = buffer.getvalue()
    checkpoint.write_bytes(content + hashlib.sha256(content).digest())
    assert is_undamaged(checkpoint)
    with pytest.raises(UserError, match="not written by this training"):
        SealedCheckpoints().load_checkpoint(checkpoint)
    assert not Path("executed").exists()
