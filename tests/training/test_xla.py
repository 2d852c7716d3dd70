"""The TPU's code on XLA's CPU backend, compared with the CPU in this process.

XLA has other processes: its runtime must start before a process's first backward pass.
"""

import json
import os
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file
from torch import nn

from benchmark.common.files import read_json
from benchmark.common.parameters import load_parameters
from benchmark.common.results import read_result
from benchmark.machine.accelerators import find
from benchmark.pipeline import train as training
from benchmark.throughput import run_process
from benchmark.throughput.measurements import ProcessRates
from benchmark.throughput.schema import Measurement, ProcessIndex
from benchmark.training.schema import TRAINING, Training
from tests import REPOSITORY
from tests.data.ranks import Noting
from tests.support.fixtures import make_workspace, small_content, write_images
from tests.support.forked_python import python
from tests.support.mean import Mean
from tests.training import xla_devices
from tests.training.xla_process import batch_norm

pytestmark = [
    pytest.mark.skipif(
        find_spec("torch_xla") is None, reason="torch_xla is not installed (Linux x86_64 only)"
    ),
    pytest.mark.usefixtures("small_network"),
]
QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
"""XLA makes the same graphs without LLVM's optimisation, which would take most of the time."""
WEIGHTS = "models/*/own/weights.safetensors"
FROZEN = {"model": {"freeze_backbone": True}, "data": {"batch_size": 3}}
WORKLOADS: dict[str, dict[str, Any]] = {
    "plain": {},
    "workers": {"data": {"num_workers": 2}},
    "frozen": FROZEN,
    "mixed": FROZEN | {"train": {"precision": "bf16-mixed"}},
}


def run(*arguments: str | Path, **variables: str) -> None:
    """Run a program in a process of its own."""
    done = subprocess.run(
        [python(), "-m", *map(str, arguments)], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "XLA_FLAGS": QUICK} | variables,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def make(root: Path, workload: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the workspace of a training of two epochs, and enter it."""
    content = small_content()
    content["train"]["max_epochs"] = 2
    for name, values in WORKLOADS[workload].items():
        content[name] |= values
    return make_workspace(root / workload, content, monkeypatch)


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The directory of each workload's training on XLA; "workers" has a process of its own."""
    root = tmp_path_factory.mktemp("xla")
    with pytest.MonkeyPatch.context() as patch:
        roots = {workload: make(root, workload, patch) for workload in WORKLOADS}
        patch.chdir(root)
    run("tests.training.xla_process", roots["workers"])
    run("tests.training.xla_process", *(roots[name] for name in roots if name != "workers"))
    return roots


@pytest.fixture
def xla(directories: dict[str, Path]) -> dict[str, Training]:
    """The trainings on XLA by workload."""
    return {name: read_training(root) for name, root in directories.items()}


@pytest.fixture
def cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Training]:
    """Trains a workload on the CPU."""

    def train(workload: str) -> Training:
        make(tmp_path, workload, monkeypatch)
        training.run(find("cpu"), load_parameters())
        return read_training(Path())

    return train


def read_training(root: Path) -> Training:
    (path,) = (root / "reports/train").glob("*/own.json")
    written = read_result(path, TRAINING)
    assert isinstance(written, Training)
    return written


def assert_same_inputs(cpu: Training, xla: Training) -> None:
    assert xla.accelerator == "xla:cpu"
    for name in ("initial_weights", "pixels", "order", "order_by_epoch"):
        assert getattr(xla.digests, name) == getattr(cpu.digests, name), name
    assert xla.test.loss == pytest.approx(cpu.test.loss, rel=0.1)


def test_xla_trains_on_the_cpus_samples_and_the_same_bits_twice(cpu, xla) -> None:
    """The second training on XLA has loader workers, and a process of its own."""
    assert_same_inputs(cpu("plain"), xla["plain"])
    assert xla["plain"].digests.initial_weights != xla["plain"].digests.weights
    assert xla["workers"].digests == xla["plain"].digests


def test_xla_trains_a_head_on_the_cpus_samples(cpu, xla) -> None:
    """The second training on XLA has a mixed precision that Lightning does not have."""
    on_cpu = cpu("frozen")
    for workload in ("frozen", "mixed"):
        assert_same_inputs(on_cpu, xla[workload])
    frozen, mixed = xla["frozen"].digests, xla["mixed"].digests
    assert len({frozen.initial_weights, frozen.weights, mixed.weights}) == 3


def test_running_statistics_are_the_cpus(cpu, directories: dict[str, Path]) -> None:
    """XLA's own batch norm keeps biased variances: those of 4 values would be 3/4 as large."""
    layer = read_json(directories["plain"] / "batch_norm.json")
    for name, expected in batch_norm(nn.BatchNorm2d(3)).items():
        torch.testing.assert_close(torch.tensor(layer[name]), torch.tensor(expected), msg=name)
    cpu("plain")
    weights = [next(root.glob(WEIGHTS)) for root in (Path(), directories["plain"])]
    on_cpu, on_xla = map(load_file, weights)
    for name in on_cpu:
        if "running" in name:
            torch.testing.assert_close(on_xla[name], on_cpu[name], rtol=3e-4, atol=1e-5, msg=name)


def test_masks_are_those_of_the_seed(directories: dict[str, Path]) -> None:
    first, second, third = read_json(directories["plain"] / "masks.json")
    assert first == third != second


def test_synchronise_waits_for_the_device(directories: dict[str, Path]) -> None:
    """After it, the result of a long chain of products is fetched at once."""
    waited, not_waited = read_json(directories["plain"] / "waits.json")
    assert waited < not_waited / 5


@pytest.mark.usefixtures("forked_processes")
def test_steps_that_compile_count_in_no_rate(tmp_path, raw_parameters, monkeypatch) -> None:
    """Steps compile after the warm-up too."""
    raw_parameters["throughput"]["modes"] = ["compute", "trainer"]
    make_workspace(tmp_path / "workspace", raw_parameters, monkeypatch)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("XLA_FLAGS", QUICK)
    monkeypatch.setattr(run_process, "PROCESS_MODULE", "tests.support.small_process")
    process = run_process.measure(find("xla"), load_parameters(), ProcessIndex(0, 0))
    assert isinstance(process, Measurement)
    assert process.compile_seconds > 0
    blocks = [turn[name] for turn in process.rounds for name in ("trainer", "trainer_aa")]
    clean = [block.seconds for block in blocks if not block.compilations]
    images, rate = 4 * process.steps["trainer"], ProcessRates(process, 4).rate("trainer")
    assert images / max(clean) <= rate <= images / min(clean)
    assert process.memory.device_bytes is None
    assert process.memory.device_reason == "this XLA backend does not report it"


def test_two_devices_prepare_once_and_set_up_twice(tmp_path: Path) -> None:
    """Two devices train as one process with both batches does: XLA sums the gradients."""
    write_images(tmp_path / "data")
    alone = Noting(str(tmp_path / "data"), 32, 8, seed=7, cache_dir=str(tmp_path))
    pl.seed_everything(7, verbose=False)
    model = Mean()
    pl.Trainer(accelerator="cpu", **xla_devices.FIT).fit(model, datamodule=alone)
    run("tests.training.xla_devices", tmp_path, **xla_devices.VARIABLES)

    hooks = [name for name, *_ in json.loads((tmp_path / "calls.json").read_text())]
    assert (hooks.count("prepare_data"), hooks.count("setup")) == (1, 2)
    one, other = (read_json(tmp_path / f"seen.{number}.json") for number in range(2))
    assert (one["device"], other["device"]) == ("xla:0", "xla:1")
    for first, second, together in zip(one["keys"], other["keys"], alone.keys, strict=True):
        assert (first, second) == (together[::2], together[1::2])
    assert one["weights"] == other["weights"]
    for weight, expected in zip(one["weights"], model.state_dict().values(), strict=True):
        torch.testing.assert_close(torch.tensor(weight), expected)
