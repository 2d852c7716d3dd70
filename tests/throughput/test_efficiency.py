import pytest
import torch

from benchmark.throughput import efficiency


def test_resnet50_needs_as_many_operations_as_published(change) -> None:
    """4.09 GFLOP forward at 224 px, a multiplication with an addition as one (torchvision's table
    of its weights); backward twice that, less the gradient that the first layer's input needs not.
    """
    forward = 2 * 4.09e9
    first = 2 * 64 * 3 * 7 * 7 * 112 * 112
    counted = efficiency.flops_per_image(change(data={"image_size": 224}), 1000)
    assert counted == pytest.approx(3 * forward - first, rel=0.005)


def test_a_frozen_backbone_has_no_backward_pass(change) -> None:
    whole = efficiency.flops_per_image(change(data={"image_size": 64}), 50)
    frozen = efficiency.flops_per_image(
        change(data={"image_size": 64}, model={"freeze_backbone": True}), 50
    )
    assert frozen == pytest.approx(whole / 3, rel=0.02)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_peak_is_above_any_product_of_matrices(precision: str) -> None:
    peak = efficiency.peak("cpu", precision)
    side = torch.ones(256, 256, dtype=efficiency.DTYPES[precision])
    seconds = efficiency._seconds("cpu", lambda: side @ side)
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
    assert efficiency.vendor_peak(torch.device("cuda"), torch.bfloat16) == flops


def test_of_a_tpu_only_the_promise_in_16_bits_is_known(monkeypatch) -> None:
    monkeypatch.setattr(efficiency, "get_available_flops", lambda *_: 275e12)
    assert efficiency.vendor_peak(torch.device("xla"), torch.bfloat16) == 275e12
    assert efficiency.vendor_peak(torch.device("xla"), torch.float32) is None


def test_memory_is_that_of_the_process_and_a_cpu_has_none_of_its_own() -> None:
    before = efficiency.peak_memory("cpu").host_bytes
    ballast = torch.ones(before // 4)  # four bytes each
    after = efficiency.peak_memory("cpu")
    assert after.host_bytes > before  # a peak: what was resident before may be gone
    assert after.device_bytes is None
    assert after.device_reason == "the host's memory is the device's"
    del ballast
