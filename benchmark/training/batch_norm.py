"""Synchronised batch norm on CPUs: torch's SyncBatchNorm supports GPUs only."""

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

AXES = (0, 2, 3)


class AllReduce(torch.autograd.Function):
    """Sum a tensor over all ranks; all ranks must call it, and its backward pass.

    The gradient is the sum of the ranks' gradients. torch.distributed.nn.functional.all_reduce
    computes the same bits, but it is deprecated since torch 2.15 and would warn.
    """

    @staticmethod
    def forward(ctx: Any, summand: Tensor) -> Tensor:
        """Return a new tensor of the same shape and dtype."""
        total = summand.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return AllReduce.apply(gradient)


class HostSyncBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that, in training, uses the mean and variance over the samples of all ranks.

    Every rank must have the same number of samples. Evaluation is as in BatchNorm2d.
    Source: Ioffe and Szegedy, 2015, algorithm 1, with sums over the ranks.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise a float tensor (n, channels, h, w); return one of the same shape and dtype.

        In training all ranks must call it, since it reduces over them.
        """
        if not self.training:
            return super().forward(input)
        wide = input.to(torch.promote_types(input.dtype, torch.float32))
        count = wide.numel() // wide.shape[1] * dist.get_world_size()
        mean = AllReduce.apply(wide.sum(AXES)) / count
        centred = wide - mean[:, None, None]
        variance = AllReduce.apply(centred.square().sum(AXES)) / count
        self._update(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(input.dtype)

    def _update(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics, which evaluation uses."""
        assert self.momentum is not None
        for running, new in ((self.running_mean, mean), (self.running_var, variance)):
            assert running is not None
            running.lerp_(new.to(running.dtype), self.momentum)
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
