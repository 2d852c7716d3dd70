"""The TPU's code on XLA's CPU backend, each in a process of its own: its runtime must be up
before the first backward pass."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmark.files import read_json
from benchmark.results import Results
from benchmark.samples import Sample
from tests.conftest import REPOSITORY, make_workspace

pytestmark = pytest.mark.skipif(
    find_spec("torch_xla") is None, reason="torch_xla is not installed (Linux x86_64 only)"
)


def stage(root: Path, *arguments: str) -> None:
    """Run a stage with the small network."""
    command = [sys.executable, "-m", "tests.small", *arguments]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(params=[False, True], ids=["all layers", "frozen"])
def trained(tmp_path: Path, raw_parameters: dict[str, Any], monkeypatch, request) -> Any:
    """The same run on the CPU and on XLA's: (cpu, xla)."""
    raw_parameters["model"]["freeze_backbone"] = request.param
    root = make_workspace(tmp_path / "workspace", raw_parameters, monkeypatch)
    for name in ("cpu", "xla"):
        stage(root, "train", name)
    return tuple(read_json(root / Results(name).training) for name in ("cpu", "xla"))


def test_xla_trains_from_the_same_weights_on_the_same_samples(trained: tuple[Any, Any]) -> None:
    cpu, xla = trained
    assert xla["status"] == "ok"
    assert xla["accelerator"] == "xla:cpu"
    for name in ("initial_weights", "pixels", "order", "order_by_epoch"):
        assert xla["digests"][name] == cpu["digests"][name], name
    assert xla["test"]["loss"] == pytest.approx(cpu["test"]["loss"], rel=0.1)


def test_xla_trains_the_same_bits_twice(tmp_path, raw_parameters, monkeypatch) -> None:
    """In two directories and processes, with the loader's workers and without."""
    digests = []
    for workers in (0, 2):
        raw_parameters["data"]["num_workers"] = workers
        root = make_workspace(tmp_path / f"{workers} workers", raw_parameters, monkeypatch)
        stage(root, "train", "xla")
        digests.append(read_json(root / Results("xla").training)["digests"])
    assert digests[0]["weights"] != digests[0]["initial_weights"]
    assert digests[0] == digests[1]


def test_throughput_knows_what_was_compiled(tmp_path, raw_parameters, monkeypatch) -> None:
    """In the warm-up; whatever is compiled later is in no rate."""
    raw_parameters["throughput"]["modes"] = ["compute", "loop", "trainer"]
    root = make_workspace(tmp_path / "workspace", raw_parameters, monkeypatch)
    stage(root, "throughput", "xla")
    result = read_json(root / Results("xla").throughput)
    assert result["accelerator"] == "xla:cpu"
    assert result["trainer"]["compile_seconds"] > 0
    assert result["ratios"].keys() == {"trainer_over_loop", "trainer_over_compute"}
    for found in result["samples"]:
        clean = [block["seconds"] for block in blocks(found) if not block["compilations"]]
        images = 4 * found["steps"]["trainer"]
        assert images / max(clean) <= Sample(found, 4).rate("trainer") <= images / min(clean)
    memory = result["efficiency"]["peak_memory"]
    assert memory["device_bytes"] == "unavailable: this XLA backend does not say"


def blocks(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [turn[name] for turn in found["rounds"] for name in ("trainer", "trainer_again")]


def test_synchronise_waits_for_the_device(tmp_path: Path) -> None:
    """After it, fetching the result of a long chain of products takes no time worth naming."""
    program = """
import time, torch
from benchmark import accelerators
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
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
