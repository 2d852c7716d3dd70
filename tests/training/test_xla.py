"""The TPU's code on XLA's CPU backend, compared with the CPU in this process.

Each test of it has a process of its own: XLA's runtime must start before the first backward pass.
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

from benchmark.common.files import read_json
from benchmark.common.parameters import load_parameters
from benchmark.common.results import ResultPaths, read_result
from benchmark.machine.accelerators import find
from benchmark.pipeline import throughput
from benchmark.pipeline import train as training
from benchmark.throughput import run_process
from benchmark.throughput.measurements import ProcessRates
from benchmark.throughput.schema import THROUGHPUT, Block, Measurement, Throughput
from benchmark.training.schema import TRAINING, Training
from tests import REPOSITORY
from tests.data.ranks import Noting
from tests.support.fixtures import make_workspace, write_images
from tests.support.forked_python import python
from tests.support.mean import Mean
from tests.training import xla_devices

pytestmark = [
    pytest.mark.skipif(
        find_spec("torch_xla") is None, reason="torch_xla is not installed (Linux x86_64 only)"
    ),
    pytest.mark.usefixtures("small_network"),
]
QUICK = "--xla_backend_optimization_level=0"
"""XLA makes the same graphs without LLVM's optimisation, which would take most of the time."""


def stage(root: Path, *arguments: str) -> None:
    """Run a stage with the small network."""
    command = [python(), "-m", "tests.support.small", *arguments]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "XLA_FLAGS": QUICK}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def trained(tmp_path, raw_parameters: dict[str, Any], monkeypatch) -> Callable[..., Training]:
    """Trains in a new directory, with XLA in a new process: trained("xla", seed=8)."""

    def train(name: str, **changes: dict[str, Any]) -> Training:
        changed = raw_parameters | {key: raw_parameters[key] | changes[key] for key in changes}
        root = make_workspace(tmp_path / f"{name} {changes}", changed, monkeypatch)
        if name == "cpu":
            training.run(find("cpu"), load_parameters())
        else:
            stage(root, "train", name)
        written = read_result(root / ResultPaths(name).own.result, TRAINING)
        assert isinstance(written, Training)
        return written

    return train


def assert_shown_the_same(cpu: Training, xla: Training) -> None:
    assert xla.accelerator == "xla:cpu"
    for name in ("initial_weights", "pixels", "order", "order_by_epoch"):
        assert getattr(xla.digests, name) == getattr(cpu.digests, name), name
    assert xla.test.loss == pytest.approx(cpu.test.loss, rel=0.1)


def test_xla_trains_on_the_cpus_samples_and_the_same_bits_twice(trained) -> None:
    """The second training on XLA has loader workers."""
    cpu, xla, again = trained("cpu"), trained("xla"), trained("xla", data={"num_workers": 2})
    assert_shown_the_same(cpu, xla)
    assert xla.digests.initial_weights != xla.digests.weights
    assert again.digests == xla.digests


def test_xla_trains_a_head_on_the_cpus_samples(trained) -> None:
    """The second training on XLA has a mixed precision that Lightning does not have."""
    frozen = {"model": {"freeze_backbone": True}, "data": {"batch_size": 3}}
    cpu, xla = trained("cpu", **frozen), trained("xla", **frozen)
    mixed = trained("xla", **frozen, train={"precision": "bf16-mixed"})
    assert_shown_the_same(cpu, xla)
    assert_shown_the_same(cpu, mixed)
    assert len({xla.digests.initial_weights, xla.digests.weights, mixed.digests.weights}) == 3


@pytest.mark.usefixtures("forked_processes")
def test_throughput_ignores_steps_that_compile(tmp_path, raw_parameters, monkeypatch) -> None:
    """Steps that compile after the warm-up count in no rate."""
    raw_parameters["throughput"]["modes"] = ["compute", "trainer"]
    root = make_workspace(tmp_path / "workspace", raw_parameters, monkeypatch)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("XLA_FLAGS", QUICK)
    monkeypatch.setattr(run_process, "PROCESS_MODULE", "tests.support.small_process")
    monkeypatch.setattr(throughput, "warn_if_busy", lambda: None)
    throughput.run(find("xla"), load_parameters())
    result = read_result(root / ResultPaths("xla").throughput, THROUGHPUT)
    assert isinstance(result, Throughput)
    assert result.accelerator == "xla:cpu"
    assert result.trainer.compile_seconds > 0
    assert result.ratios.keys() == {"trainer_over_compute"}
    for process in result.processes:
        clean = [block.seconds for block in blocks(process) if not block.compilations]
        images = 4 * process.steps["trainer"]
        assert (
            images / max(clean) <= ProcessRates(process, 4).rate("trainer") <= images / min(clean)
        )
    memory = result.efficiency.peak_memory
    assert memory.device_bytes is None
    assert memory.device_reason == "this XLA backend does not report it"


def blocks(process: Measurement) -> list[Block]:
    return [turn[name] for turn in process.rounds for name in ("trainer", "trainer_aa")]


def test_two_devices_prepare_once_and_set_up_twice(tmp_path: Path) -> None:
    """Two devices train as one process with both batches does: XLA sums the gradients."""
    write_images(tmp_path / "data")
    alone = Noting(str(tmp_path / "data"), 32, 8, seed=7, cache_dir=str(tmp_path))
    pl.seed_everything(7, verbose=False)
    model = Mean()
    pl.Trainer(accelerator="cpu", **xla_devices.FIT).fit(model, datamodule=alone)
    command = [python(), "-m", "tests.training.xla_devices", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)} | xla_devices.VARIABLES
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    hooks = [name for name, *_ in json.loads((tmp_path / "calls.json").read_text())]
    assert (hooks.count("prepare_data"), hooks.count("setup")) == (1, 2)
    one, other = (read_json(tmp_path / f"seen.{number}.json") for number in range(2))
    assert (one["device"], other["device"]) == ("xla:0", "xla:1")
    for first, second, together in zip(one["keys"], other["keys"], alone.keys, strict=True):
        assert (first, second) == (together[::2], together[1::2])
    assert one["weights"] == other["weights"]
    for weight, expected in zip(one["weights"], model.state_dict().values(), strict=True):
        torch.testing.assert_close(torch.tensor(weight), expected)


def test_synchronise_waits_for_the_device(tmp_path: Path) -> None:
    """After it, the result of a long chain of products is fetched at once."""
    program = """
import time, torch
from benchmark.machine import accelerators
accelerators.prepare("xla")
device = accelerators.device("xla")

def chain(x):
    for _ in range(30):
        x = x @ x / 500
    return x

x = torch.rand(1000, 1000, device=device)
chain(x).sum().item()  # compiles
chain(x + 1).cpu()
times = []
for first in (accelerators.synchronise, lambda name: None):
    y = chain(x + 1)
    first("xla")
    start = time.perf_counter()
    y.cpu()
    times.append(time.perf_counter() - start)
waited, not_waited = times
assert waited < not_waited / 5, times
"""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [python(), "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
