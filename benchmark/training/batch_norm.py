"""Batch norm over the samples of all ranks, for those on a CPU: torch's own wants a GPU."""

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.nn.functional import all_reduce

AXES = (0, 2, 3)


class HostSyncBatchNorm2d(nn.BatchNorm2d):
    """In training, the mean and variance are those of all ranks' samples, of which each rank has
    equally many; in evaluation as usual.

    Source: Ioffe and Szegedy, 2015, algorithm 1, with sums over the ranks.
    """

    def forward(self, input: Tensor) -> Tensor:
        """float (n, channels, h, w), of the same shape and dtype."""
        if not self.training:
            return super().forward(input)
        wide = input.to(torch.promote_types(input.dtype, torch.float32))
        count = wide.numel() // wide.shape[1] * dist.get_world_size()
        mean = all_reduce(wide.sum(AXES)) / count
        centred = wide - mean[:, None, None]
        variance = all_reduce(centred.square().sum(AXES)) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(input.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """For evaluation: a moving mean of what the batches had."""
        assert self.momentum is not None
        for running, found in ((self.running_mean, mean), (self.running_var, variance)):
            assert running is not None
            running.lerp_(found.to(running.dtype), self.momentum)
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
