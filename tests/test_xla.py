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


@pytest.fixture
def trained(tmp_path: Path, raw_parameters: dict[str, Any], monkeypatch) -> tuple[Any, Any]:
    """The same run on the CPU and on XLA's."""
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


def test_blocks_with_compilations_do_not_count(tmp_path, raw_parameters, monkeypatch) -> None:
    raw_parameters["throughput"] |= {"warmup_steps": 1, "blocks": 6, "steps_per_block": 2}
    root = make_workspace(tmp_path / "workspace", raw_parameters, monkeypatch)
    stage(root, "throughput", "xla")
    result = read_json(root / Results("xla").throughput)
    assert result["accelerator"] == "xla:cpu"
    compiled = [block for block in result["blocks"] if block["compilations"]]
    rates = [b["images"] / b["seconds"] for b in result["blocks"] if not b["compilations"]]
    assert compiled
    assert rates
    rate = result["modes"]["trainer"]["images_per_second"]
    assert min(rates) <= rate["low"] <= rate["median"] <= rate["high"] <= max(rates)
