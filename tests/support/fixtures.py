"""Small datasets and workspaces, made for each test: none needs data/ or a network."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from pytorch_lightning.utilities import rank_zero_only

from benchmark.common import results
from benchmark.common.parameters import (
    ACCELERATORS,
    Parameters,
    load_parameters,
    parse_parameters,
)
from benchmark.common.results import ResultPaths, write_result
from tests import PARAMETERS
from tests.support import made_results
from tests.support.forked_python import offer_xla, python

# Lightning looks for a TPU whenever a Trainer is made, also in child processes.
offer_xla(False)
os.environ["PJRT_DEVICE"] = "CPU"


def use_one_thread() -> None:
    """Use one thread in this process and in the processes that the tests start.

    The networks are small: several threads would mostly wait. OMP_WAIT_POLICY is set, so that the
    suite does not measure other work to choose it.
    """
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["OMP_WAIT_POLICY"] = "passive"


def write_images(
    root: Path,
    classes: int = 3,
    sizes: dict[str, int] | None = None,
    shape: tuple[int, int] = (40, 40),
) -> Path:
    """A dataset of noise: `sizes` images per class in each split, named after their content."""
    sizes = sizes or {"train": 5, "val": 2, "test": 2}
    random = np.random.default_rng(0)
    for split, count in sizes.items():
        for label in range(classes):
            folder = root / split / f"class {label}"
            folder.mkdir(parents=True)
            for number in range(count):
                noise = random.integers(0, 256, (*shape, 3), dtype=np.uint8)
                Image.fromarray(noise).save(folder / f"{number:03}.png")
    return root


def add_system_files(root: Path) -> None:
    """Add files and a folder that macOS and Windows leave in a dataset; none is an image."""
    for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
        for name in (".DS_Store", "._000.png", "Thumbs.db", "desktop.ini"):
            (folder / name).write_bytes(b"\0\5\x16\7")
    for split in ("train", "val", "test"):
        (root / split / ".AppleDouble").mkdir()
        (root / split / ".AppleDouble/000.png").write_bytes(b"\0\5\x16\7")


LAUNCHERS = {
    "slurm": {
        "SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "job", "SLURM_NTASKS": "2", "SLURM_PROCID": "1",
        "SLURM_LOCALID": "1", "SLURM_NODEID": "0",
    },
    "torchrun": {
        "RANK": "1", "LOCAL_RANK": "1", "GROUP_RANK": "0", "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1",
        "TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_USE_AGENT_STORE": "True",
    },
    "lsf": {
        "LSB_JOBID": "1", "LSB_DJOB_RANKFILE": "/dev/null", "JSM_NAMESPACE_LOCAL_RANK": "1",
        "JSM_NAMESPACE_SIZE": "2", "JSM_NAMESPACE_RANK": "1",
    },
}  # fmt: skip
"""Environment variables that a launcher of two processes sets for rank 1."""


def launch(launcher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process rank 1 of 2 under `launcher`, also for Lightning."""
    for name, value in LAUNCHERS[launcher].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", 1)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A dataset of 3 classes with 5 / 2 / 2 images each, 40 x 40 pixels."""
    return write_images(tmp_path / "data")


def small_content() -> dict[str, Any]:
    """Content of tests/params.yaml, with smaller numbers."""
    content: dict[str, Any] = yaml.safe_load(PARAMETERS.read_text())
    content["accelerators"] = ["cpu"]
    content["controls"] = []
    content["model"] |= {"weights": "random", "channels_last": False}
    content["data"] |= {"image_size": 32, "batch_size": 4}
    content["train"] |= {"max_epochs": 3, "patience": 3}
    content["throughput"] |= {
        "repeats": 2, "rounds": 2, "block_seconds": 0.02, "budget_seconds": 0,
        "curve_seconds": 0,
    }  # fmt: skip
    return content


@pytest.fixture
def raw_parameters() -> dict[str, Any]:
    """Content of `small_content`, for the test to change."""
    return small_content()


@pytest.fixture
def workspace(
    tmp_path: Path, raw_parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A directory in which the stages after `dataset` and `environment` can run."""
    return make_workspace(tmp_path / "workspace", raw_parameters, monkeypatch)


def make_workspace(root: Path, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images, params.yaml and the results of the first stages, with `root` as the directory."""
    write_images(root / "data")
    (root / "params.yaml").write_text(yaml.safe_dump(content))
    write_result(root / results.DATASET, made_results.DATASET)
    write_result(root / results.WEIGHTS, made_results.WEIGHTS)
    for name in ACCELERATORS:
        write_result(root / ResultPaths(name).environment, made_results.environment(name))
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def parameters(workspace: Path) -> Parameters:
    """The workspace's parameters."""
    return load_parameters()


@pytest.fixture
def change(raw_parameters: dict[str, Any]) -> Callable[..., Parameters]:
    """Parameters with some values changed: change(train={"max_epochs": 1}, seed=3)."""

    def changed(**sections: Any) -> Parameters:
        content = dict(raw_parameters)
        for name, value in sections.items():
            content[name] = content[name] | value if isinstance(value, dict) else value
        return parse_parameters(content, "test")

    return changed


@pytest.fixture
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces ResNet50 by a small ResNet."""
    from tests.support import small

    monkeypatch.setattr("benchmark.training.networks.get_model_builder", small.builder)


@pytest.fixture
def forked_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forks the suite's processes from a process that has loaded torch."""
    monkeypatch.setattr(sys, "executable", python())


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides the machine's GPU, if it has one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
