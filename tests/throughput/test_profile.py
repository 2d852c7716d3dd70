import os
import tempfile
import time
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from benchmark.common.parameters import Parameters
from benchmark.data.cache import DecodeCache
from benchmark.throughput import profile


def test_resnet50_needs_as_many_operations_as_published(change) -> None:
    """4.09 GFLOP forward at 224 px, a multiplication with an addition as one (torchvision's table
    of its weights); backward twice that, less the gradient that the first layer's input needs not.
    """
    forward = 2 * 4.09e9
    first = 2 * 64 * 3 * 7 * 7 * 112 * 112
    counted = profile.flops_per_image(change(data={"image_size": 224}), 1000)
    assert counted == pytest.approx(3 * forward - first, rel=0.005)


def test_a_frozen_backbone_has_no_backward_pass(change) -> None:
    complete = profile.flops_per_image(change(data={"image_size": 64}), 50)
    frozen = profile.flops_per_image(
        change(data={"image_size": 64}, model={"freeze_backbone": True}), 50
    )
    assert frozen == pytest.approx(complete / 3, rel=0.02)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_peak_is_above_any_product_of_matrices(precision: str) -> None:
    peak = profile.peak("cpu", precision)
    side = torch.ones(256, 256, dtype=profile.DTYPES[precision])
    seconds = profile._seconds("cpu", lambda: side @ side)
    assert peak.flops_per_second > 0.5 * 2 * 256**3 / seconds
    assert "matrix product" in peak.of or "convolution" in peak.of
    assert peak.vendor_flops_per_second is None


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA Nobody Knows", None),
        ("NVIDIA GeForce RTX", None),  # Lightning takes its fourth word
    ],
)
def test_what_a_vendor_promises_is_looked_up(monkeypatch, name: str, flops: float | None) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: name)
    assert profile.vendor_peak(torch.device("cuda"), torch.bfloat16) == flops


def test_of_a_tpu_only_the_promise_in_16_bits_is_known(monkeypatch) -> None:
    monkeypatch.setattr(profile, "get_available_flops", lambda *_: 275e12)
    assert profile.vendor_peak(torch.device("xla"), torch.bfloat16) == 275e12
    assert profile.vendor_peak(torch.device("xla"), torch.float32) is None


def test_memory_is_that_of_the_process_and_a_cpu_has_none_of_its_own() -> None:
    before = profile.peak_memory("cpu").host_bytes
    ballast = torch.ones(before // 4)  # four bytes each
    after = profile.peak_memory("cpu")
    assert after.host_bytes > before  # a peak: what was resident before may be gone
    assert after.device_bytes is None
    assert after.device_reason == "the host's memory is the device's"
    del ballast


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


def test_decoding_has_an_interval_and_leaves_nothing(parameters: Parameters, built) -> None:
    before = os.listdir(tempfile.gettempdir())
    rate = profile.decoding_rate(parameters.data)
    assert 0 < rate.low < rate.estimate
    assert built == [15 + 6 + 6] * profile.BUILDS
    assert os.listdir(tempfile.gettempdir()) == before
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
