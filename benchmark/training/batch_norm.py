"""Batch norm with torch's running statistics where torch has none: XLA, and several CPUs.

Running variances are unbiased, n / (n - 1) times the variance that normalises the batch.
"""

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


class OwnStatistics(nn.BatchNorm2d):
    """BatchNorm2d whose subclasses update the running statistics, which evaluation uses."""

    def _update(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Update the running statistics by those of a batch.

        Args:
            mean: the batch's means, (channels,).
            variance: its biased variances, (channels,).
            count: how many values each of them is of.
        """
        assert self.momentum is not None
        unbiased = variance * count / (count - 1)
        for running, new in ((self.running_mean, mean), (self.running_var, unbiased)):
            assert running is not None
            running.lerp_(new.to(running.dtype), self.momentum)
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1


class XLABatchNorm2d(OwnStatistics):
    """BatchNorm2d for XLA, whose own kernel keeps biased variances (torch_xla 2.9.0)."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise a float tensor (n, channels, h, w); return one of the same shape and dtype."""
        if not self.training:
            return super().forward(input)
        assert self.running_mean is not None
        # With a momentum of 1, XLA replaces these by the statistics of the batch.
        mean, variance = torch.zeros_like(self.running_mean), torch.ones_like(self.running_mean)
        output = nn.functional.batch_norm(
            input, mean, variance, self.weight, self.bias, True, 1.0, self.eps
        )
        self._update(mean, variance, input.numel() // input.shape[1])
        return output


class HostSyncBatchNorm2d(OwnStatistics):
    """Batch norm over the samples of all ranks on CPUs: torch's SyncBatchNorm is for GPUs only.

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
        self._update(mean.detach(), variance.detach(), count)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(input.dtype)
