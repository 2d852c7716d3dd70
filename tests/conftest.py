"""Small datasets and workspaces: every test makes its own, none needs data/ or a network."""

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import settings
from PIL import Image
from pytorch_lightning.utilities import rank_zero_only

from benchmark.common import results
from benchmark.common.errors import UserError
from benchmark.common.parameters import (
    ACCELERATORS,
    Parameters,
    load_parameters,
    parse_parameters,
)
from benchmark.common.results import Results, write_result
from benchmark.common.sockets import make_room_for_sockets
from benchmark.machine import accelerators
from benchmark.machine.lock import lock_file, opened
from tests import PARAMETERS, made_results
from tests.forked_python import python

# The same examples on each run, and no clock: the machine may be busy. New ones, and many, for
# `pytest --hypothesis-profile=soak -m fuzz`: pytest loads the profile that is asked for after this.
settings.register_profile("suite", derandomize=True, deadline=None, max_examples=50)
settings.register_profile("soak", deadline=None, max_examples=5_000, print_blob=True)
settings.load_profile("suite")

# The networks are small: more threads would wait for one another, here and in other processes.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"

# Lightning looks for a TPU whenever a Trainer is made; the runtime is told that there is none.
os.environ["PJRT_DEVICE"] = "CPU"


BENCH = Path(__file__).parent / "throughput/bench"
"""Tests that measure: `make bench`."""
BESIDE = pytest.StashKey[bool]()
"""Whether somebody measures while the tests run."""
SHORT = 40
"""Bytes of a temporary directory that leave room for a test's own directory and a socket in it."""


def leave_the_job() -> None:
    """The tests may run within a job of several processes, of which they are none."""
    several = ("SLURM_", "TORCHELASTIC_", "JSM_", "LSB_", "MASTER_")
    counts = ("RANK", "LOCAL_RANK", "GROUP_RANK", "NODE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    for name in [n for n in os.environ if n.startswith(several) or n in counts]:
        del os.environ[name]
    rank_zero_only.rank = 0  # as Lightning has read when it was imported


def use_own_settings(directory: Path, measures: bool) -> Callable[[], None]:
    """No variable of git and no settings of git's or DVC's user reach a test; what undoes it.

    In a hook of git, they would have the tests' git commit to the user's repository. Settings may
    demand signatures, run hooks or name a shared cache. The measuring lock is the tests' own, so
    that none waits for a measurement that runs elsewhere, unless this session `measures`.
    """
    patch = pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        if name != "GIT_EXEC_PATH":  # where git itself lies
            patch.delenv(name)
    settings = directory / "gitconfig"
    settings.write_text("[safe]\n\tdirectory = *\n")  # a container's checkout may be another user's
    patch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    if not measures:
        patch.setenv("BENCHMARK_LOCK_DIRECTORY", str(directory))
    for name in ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR"):
        patch.setenv(name, str(directory / "dvc"))
    return patch.undo


def short_directory() -> Path | None:
    """/tmp where the temporary directory's path is long: below it lie those of all tests, whose
    processes need sockets there, and paths in messages that are to stay on one line."""
    given = tempfile.gettempdir()
    too_long = len(os.fsencode(given)) > SHORT and os.access("/tmp", os.W_OK)
    return Path("/tmp") if too_long else None


def pytest_configure(config: pytest.Config) -> None:
    """A temporary directory for this session and its processes, before anything reads where it
    is."""
    if "PYTEST_CURRENT_TEST" not in os.environ:  # a session within a test is the test's affair
        leave_the_job()
    before = os.environ.get("TMPDIR"), tempfile.tempdir
    directory = tempfile.mkdtemp(prefix="b-", dir=short_directory())
    os.environ["TMPDIR"] = tempfile.tempdir = directory
    make_room_for_sockets()
    named = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    measures = any(path == BENCH or BENCH in path.parents for path in named)
    config.stash[BESIDE] = not measures and is_held(lock_file())
    config.add_cleanup(use_own_settings(Path(directory), measures))

    def restore() -> None:
        """A session may be a part of another: the kit's tests run the kit in their own process."""
        os.environ.pop("TMPDIR")
        os.environ |= {"TMPDIR": before[0]} if before[0] is not None else {}
        tempfile.tempdir = before[1]
        shutil.rmtree(directory, ignore_errors=True)

    config.add_cleanup(restore)


def is_held(path: Path) -> bool:
    """Whether some process holds a lock."""
    try:
        with opened(path) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (OSError, UserError):  # nobody's: whoever measures says so
        return False
    return False


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Tests beside `make repro` pass, and spoil what it measures."""
    if not config.stash[BESIDE]:
        return []
    return [
        "A measurement is running on this machine. These tests disturb it, and its speed will be "
        "called unstable: end one of the two."
    ]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The measurements are asked for by their folder; without it, all would be skipped. The
    longest files come first: none is left for one worker while the others have nothing to do."""
    items.sort(key=lambda item: BENCH.parent not in item.path.parents)
    only = config.getoption("benchmark_only", False)
    if only and not any("benchmark" in getattr(item, "fixturenames", ()) for item in items):
        raise pytest.UsageError(
            "No measurement is among these tests. Name their folder: "
            "pytest tests/throughput/bench --benchmark-only"
        )


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
"""What a launcher of two processes sets for the second of them."""


def launch(launcher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process one of two in a job, of which Lightning has read the rank."""
    for name, value in LAUNCHERS[launcher].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", 1)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A dataset of 3 classes with 5 / 2 / 2 images each, 40 x 40 pixels."""
    return write_images(tmp_path / "data")


def small_content() -> dict[str, Any]:
    """The tests' own parameters, made small."""
    content: dict[str, Any] = yaml.safe_load(PARAMETERS.read_text())
    content["accelerators"] = ["cpu"]
    content["controls"] = []
    content["model"] |= {"weights": "random", "channels_last": False}
    content["data"] |= {"image_size": 32, "batch_size": 4}
    content["train"] |= {"max_epochs": 3, "patience": 3}
    content["throughput"] |= {
        "repeats": 2, "rounds": 2, "block_seconds": 0.02, "budget_seconds": 0,
    }  # fmt: skip
    return content


@pytest.fixture
def raw_parameters() -> dict[str, Any]:
    """What `small_content` gives, to be changed."""
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
        write_result(root / Results(name).environment, made_results.environment(name))
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
    """Puts a small ResNet in ResNet50's place."""
    from tests import small

    monkeypatch.setattr("benchmark.training.model.resnet50", small.resnet)


@pytest.fixture
def forked_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the suite starts is forked from a process that has loaded torch."""
    monkeypatch.setattr(sys, "executable", python())


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides the machine's GPU, if it has one."""
    absent = accelerators.Accelerator("gpu", "", "no CUDA or MPS device found")
    monkeypatch.setattr(accelerators, "_find_gpu", lambda: absent)
