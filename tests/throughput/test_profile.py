import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmark.common.parameters import Parameters
from benchmark.data.cache import DecodeCache
from benchmark.machine import accelerators
from benchmark.throughput import profile
from benchmark.throughput.vendor_peaks import PEAKS
from benchmark.training import networks


def test_resnet50_needs_as_many_operations_as_published(change) -> None:
    """4.09 GFLOP forward at 224 px, a multiplication with an addition as one (torchvision's table
    of its weights); backward twice that, less the gradient that the first layer's input needs not.
    """
    forward = 2 * 4.09e9
    first = 2 * 64 * 3 * 7 * 7 * 112 * 112
    counted = profile.flops_per_image(change(data={"image_size": 224}), 1000)
    assert counted == pytest.approx(3 * forward - first, rel=0.005)


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnext50_32x4d", "vit_b_16"])
def test_a_backward_pass_takes_twice_the_forward_pass(change, name: str) -> None:
    """torch alone counts a depthwise layer's backward pass once for each of its groups."""
    network = networks.without_values(name, 1000, 224)
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, 224, 224, device="meta"))
    parameters = change(data={"image_size": 224}, model={"architecture": name})
    counted = profile.flops_per_image(parameters, 1000)
    assert counted == pytest.approx(3 * counter.get_total_flops(), rel=0.02)


def test_a_frozen_backbone_has_no_backward_pass(change) -> None:
    complete = profile.flops_per_image(change(data={"image_size": 64}), 50)
    frozen = profile.flops_per_image(
        change(data={"image_size": 64}, model={"freeze_backbone": True}), 50
    )
    assert frozen == pytest.approx(complete / 3, rel=0.02)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_peak_is_the_best_rate_of_all_operations(precision: str, monkeypatch) -> None:
    """torch's own count of each operation, and made seconds: the second operation is the best."""
    rates = iter([3e9, 5e12, 4e9])
    dtypes = set()

    def made_seconds(accelerator: str, operation: Callable[[], torch.Tensor]) -> float:
        with FlopCounterMode(display=False) as counter:
            dtypes.add(operation().dtype)
        return counter.get_total_flops() / next(rates)

    monkeypatch.setattr(profile, "_seconds", made_seconds)
    peak = profile.peak("cpu", precision)
    assert peak.flops_per_second == pytest.approx(5e12)
    assert peak.of == "512 x 512 matrix product"
    assert peak.vendor_flops_per_second is None
    assert dtypes == {profile.DTYPES[precision]}


def test_seconds_are_those_of_one_call(monkeypatch) -> None:
    """Each call takes 3 ms of a made clock, but the first one, which compiles, takes a second."""
    calls = []
    clock = SimpleNamespace(perf_counter=lambda: bool(calls) + 0.003 * len(calls))
    monkeypatch.setattr(profile, "time", clock)
    assert profile._seconds("cpu", lambda: calls.append(1)) == pytest.approx(0.003)


@pytest.mark.parametrize(
    ("name", "precision", "flops"),
    [
        ("NVIDIA A100-SXM4-80GB", "bf16-mixed", 312e12),
        ("NVIDIA A100-SXM4-80GB", "tf32", 156e12),
        ("NVIDIA A100-SXM4-80GB", "32-true", 19.5e12),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "bf16-mixed", None),
        ("NVIDIA L4", "bf16-true", 121e12),
        ("NVIDIA L40", "bf16-mixed", 181.05e12),
        ("NVIDIA L40S", "16-mixed", 362.05e12),
        ("NVIDIA A40", "bf16-mixed", 149.7e12),
        ("NVIDIA RTX A4000", "32-true", None),
        ("NVIDIA H100 NVL", "bf16-mixed", 835.5e12),  # of one card; older sheets show a pair
        ("NVIDIA H200", "bf16-mixed", 989.5e12),
        ("NVIDIA GH200 480GB", "tf32", 494.5e12),
        ("NVIDIA B200", "bf16-mixed", 2250e12),
        ("NVIDIA GeForce RTX 5090", "bf16-mixed", 209.5e12),
        ("NVIDIA GeForce RTX 4090", "bf16-mixed", 165.2e12),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "bf16-mixed", None),
        ("NVIDIA GeForce RTX 4090 D", "bf16-mixed", None),
        ("Tesla T4", "16-mixed", 65e12),
        ("Tesla T4", "bf16-mixed", None),
        ("Tesla T4", "tf32", None),
        ("NVIDIA GeForce RTX", "32-true", None),
    ],
)
def test_a_vendors_peak_is_that_of_exactly_this_device(
    monkeypatch, name: str, precision: str, flops: float | None
) -> None:
    """Dense rates of NVIDIA's data sheets, with sums in float32."""
    monkeypatch.setattr(accelerators, "device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: name)
    assert profile.vendor_peak("gpu", precision) == flops


def test_the_peak_of_a_tpu_is_known_in_bfloat16_only(monkeypatch) -> None:
    tpu = SimpleNamespace(get_tpu_type=lambda: "v5litepod")
    monkeypatch.setitem(sys.modules, "torch_xla._internal", SimpleNamespace(tpu=tpu))
    assert profile.vendor_peak("tpu", "bf16-true") == 197e12
    assert profile.vendor_peak("tpu", "32-true") is None
    tpu.get_tpu_type = lambda: "v5"
    assert profile.vendor_peak("tpu", "bf16-true") is None


def test_every_vendors_peak_has_its_source_and_an_order() -> None:
    for name, (source, *rates) in PEAKS.items():
        assert source.startswith("https://"), name
        published = [rate for rate in rates if rate]
        assert published == sorted(published), name


@pytest.fixture
def built(monkeypatch) -> list[int]:
    """The number of images in each cache that is built."""
    counts: list[int] = []
    plain = DecodeCache.prepare

    def prepare(cache: DecodeCache) -> None:
        counts.append(len(cache.files.paths))
        plain(cache)
        assert (cache.directory / "pixels.npy").exists()

    monkeypatch.setattr(DecodeCache, "prepare", prepare)
    return counts


def test_decoding_has_an_interval_and_leaves_nothing(
    parameters: Parameters, built, tmp_path_factory, monkeypatch
) -> None:
    temporary = tmp_path_factory.mktemp("temporary")  # other tests write to the usual one
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    rate = profile.decoding_rate(parameters.data)
    assert 0 < rate.low < rate.estimate
    assert built == [15 + 6 + 6] * profile.BUILDS
    assert not list(temporary.iterdir())
    assert not Path(".cache").exists()


def test_a_cache_that_is_built_to_time_it_is_bounded(parameters: Parameters, built, monkeypatch):
    monkeypatch.setattr(profile, "IMAGES", 9)
    profile.decoding_rate(parameters.data)
    assert built[0] == 9
    monkeypatch.setattr(profile, "BYTES", 1)
    profile.decoding_rate(parameters.data)
    assert built[-1] == 3


def test_a_dataset_beyond_the_cache_is_decoded_all_the_more(change, workspace, built) -> None:
    """It is decoded in each epoch."""
    assert profile.decoding_rate(change(data={"cache_gib": 0}).data).estimate > 0


class Slow(pl.Trainer):
    """Burns 20 ms in each step and 200 ms in each epoch more than Lightning does."""

    def __init__(self, **options) -> None:
        options["callbacks"] = [Burner(), *options["callbacks"]]
        super().__init__(**options)


class Burner(pl.Callback):
    def on_train_batch_start(self, *_: object) -> None:
        burn(0.02)

    def on_train_epoch_end(self, *_: object) -> None:
        burn(0.2)


def burn(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@pytest.mark.slow
def test_what_is_added_to_steps_and_to_epochs_is_distinguished(monkeypatch) -> None:
    monkeypatch.setattr(profile, "EPOCHS", 4)
    monkeypatch.setattr(profile, "STEPS", 10)
    plain = profile.lightning_overhead("cpu", "32-true")
    monkeypatch.setattr(profile.pl, "Trainer", Slow)
    slow = profile.lightning_overhead("cpu", "32-true")
    assert plain.seconds_per_step < slow.seconds_per_step / 2
    assert plain.seconds_per_epoch < slow.seconds_per_epoch / 2
    assert slow.seconds_per_epoch > 3 * slow.seconds_per_step
