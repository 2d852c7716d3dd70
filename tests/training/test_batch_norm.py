"""Synchronised batch norm on one rank of a CPU; test_ranks.py tests several ranks."""

from collections.abc import Iterator

import pytest
import torch
from torch import distributed as dist
from torch import nn

from benchmark.training.batch_norm import HostSyncBatchNorm2d


@pytest.fixture(autouse=True)
def group() -> Iterator[None]:
    """Join a process group of this process alone."""
    store = dist.HashStore()
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def pair(dtype: torch.dtype) -> tuple[nn.BatchNorm2d, nn.BatchNorm2d]:
    """Return torch's layer and ours, with the same weights."""
    theirs = nn.BatchNorm2d(3).to(dtype)
    nn.init.uniform_(theirs.weight)
    nn.init.uniform_(theirs.bias)
    ours = HostSyncBatchNorm2d(3).to(dtype)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_rank_computes_what_torchs_does(dtype: torch.dtype) -> None:
    """Outputs, gradients and running statistics are equal."""
    torch.manual_seed(0)
    layers, images = pair(dtype), torch.randn(4, 3, 5, 5, dtype=dtype) * 3 + 7
    inputs = [images.clone().requires_grad_() for _ in layers]
    outputs = [layer(tensor) for layer, tensor in zip(layers, inputs, strict=True)]
    for output in outputs:
        (output**3).sum().backward()
    torch.testing.assert_close(*outputs)
    torch.testing.assert_close(*(tensor.grad for tensor in inputs), rtol=1e-4, atol=1e-4)
    for theirs, ours in zip(*(layer.parameters() for layer in layers), strict=True):
        torch.testing.assert_close(theirs.grad, ours.grad, rtol=1e-5, atol=1e-4)
    for name, value in layers[0].state_dict().items():
        torch.testing.assert_close(layers[1].state_dict()[name], value)


def test_evaluation_is_torchs_own() -> None:
    theirs, ours = (layer.eval() for layer in pair(torch.float32))
    images = torch.randn(4, 3, 5, 5)
    assert torch.equal(theirs(images), ours(images))


def test_half_precision_is_summed_in_32_bits() -> None:
    _, ours = pair(torch.float32)
    images = torch.full((64, 3, 32, 32), 1.0) + torch.randn(64, 3, 32, 32) * 0.1
    single, half = ours(images), ours(images.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), single, rtol=0.05, atol=0.1)
