"""The same code on a GPU, for machines that have one, compared with the CPU.

The small network has each kind of layer that ResNet50 has. Transfers, clock and counters are
tested too.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.common.parameters import load_parameters
from benchmark.common.results import ResultPaths, read_result
from benchmark.data import crops
from benchmark.data.resampling import resample
from benchmark.errors.training_errors import is_out_of_memory
from benchmark.machine import accelerators
from benchmark.machine.accelerators import find
from benchmark.pipeline import replay, throughput
from benchmark.pipeline import train as training
from benchmark.throughput import run_process
from benchmark.throughput.schema import THROUGHPUT, Throughput
from benchmark.training.schema import REPLAY, Replay, Training
from tests import REPOSITORY
from tests.support.fixtures import make_workspace
from tests.support.trainings import read_training
from tests.training.xla_process import measure_waits

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.usefixtures("small_network"),
]


@pytest.fixture
def trained(tmp_path, raw_parameters: dict[str, Any], monkeypatch) -> Callable[..., Training]:
    """Trains in a new directory: trained("gpu", data={"num_workers": 2})."""

    def train(name: str, **changes: dict[str, Any]) -> Training:
        changed = raw_parameters | {key: raw_parameters[key] | changes[key] for key in changes}
        make_workspace(Path(tempfile.mkdtemp(dir=tmp_path)), changed, monkeypatch)
        training.run(find(name), load_parameters())
        return read_training(ResultPaths(name).own)

    return train


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": {"channels_last": True}},
        {"model": {"freeze_backbone": True}, "data": {"batch_size": 3}},
        {"train": {"unfreeze_epoch": 1}},
        {"train": {"adam": "foreach"}},
        {"train": {"precision": "bf16-mixed"}},
        {"train": {"precision": "16-mixed"}},
    ],
    ids=str,
)
def test_a_gpu_trains_on_the_cpus_samples_and_the_same_bits_twice(trained, changes) -> None:
    """The second GPU training has loader workers; then its first steps are replayed."""
    with_workers = changes | {"data": changes.get("data", {}) | {"num_workers": 2}}
    on_cpu = {"train": {"precision": "32-true"}} if "16" in str(changes) else changes
    cpu, gpu = trained("cpu", **on_cpu), trained("gpu", **changes)
    again = trained("gpu", **with_workers)
    for name in ("initial_weights", "pixels", "order", "order_by_epoch"):
        assert getattr(gpu.digests, name) == getattr(cpu.digests, name), name
    assert gpu.digests.weights != gpu.digests.initial_weights
    assert gpu.test.loss == pytest.approx(cpu.test.loss, rel=0.1)
    assert again.digests == gpu.digests
    replay.run(find("gpu"), load_parameters())
    repeated = read_result(ResultPaths("gpu").own.replay, REPLAY)
    assert isinstance(repeated, Replay)
    assert repeated.bitwise


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_a_gpu_trains_a_compiled_network_to_the_same_bits_twice(trained, mode: str) -> None:
    compiled = {"model": {"compile": mode}}
    plain, first, again = trained("gpu"), trained("gpu", **compiled), trained("gpu", **compiled)
    assert first.digests == again.digests
    assert first.test.loss == pytest.approx(plain.test.loss, rel=0.1)
    replay.run(find("gpu"), load_parameters())
    repeated = read_result(ResultPaths("gpu").own.replay, REPLAY)
    assert isinstance(repeated, Replay)
    assert repeated.bitwise


def test_a_gpu_shows_the_cpus_pixels() -> None:
    accelerators.prepare("gpu")
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (64, 96, 80, 3), generator=draw, dtype=torch.uint8)
    shapes = torch.tensor([[96, 80]]).repeat(64, 1).int().numpy()
    zeros = torch.zeros(64, dtype=torch.int64).numpy()
    drawn = crops.training_windows(shapes, (96, 80), 7, zeros, torch.arange(64).numpy())
    windows, flips = map(torch.from_numpy, drawn)
    cpu = resample(images, windows, flips, 64)
    gpu = resample(images.cuda(), windows.cuda(), flips.cuda(), 64).cpu()
    torch.testing.assert_close(gpu, cpu, rtol=0, atol=1e-3)


@pytest.mark.parametrize("mode", [False, "reduce-overhead"])
def test_the_gpus_speed_is_measured(tmp_path, raw_parameters, monkeypatch, mode) -> None:
    """Every mode, the memory and, with nvidia-ml-py, the energy."""
    raw_parameters["model"]["compile"] = mode
    make_workspace(tmp_path / "workspace", raw_parameters, monkeypatch)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY), prepend=os.pathsep)
    monkeypatch.setattr(run_process, "PROCESS_MODULE", "tests.support.small_process")
    monkeypatch.setattr(throughput, "warn_if_busy", lambda: None)
    throughput.run(find("gpu"), load_parameters())
    result = read_result(ResultPaths("gpu").throughput, THROUGHPUT)
    assert isinstance(result, Throughput)
    assert result.modes.keys() >= {"trainer", "loop", "compute", "input", "baseline"}
    memory, energy = result.efficiency.peak_memory, result.efficiency.energy
    assert memory.device_bytes
    assert energy.joules_per_image is None or energy.joules_per_image.low > 0


def test_synchronise_waits_for_the_gpu() -> None:
    """After it, the result of a long chain of products is fetched at once."""
    waited, not_waited = measure_waits("gpu", 4000)
    assert waited < not_waited / 5


def test_a_gpus_lack_of_memory_is_recognised() -> None:
    with pytest.raises(torch.OutOfMemoryError) as caught:
        torch.empty(1 << 46, dtype=torch.uint8, device="cuda")
    assert is_out_of_memory(f"OutOfMemoryError: {caught.value}")
