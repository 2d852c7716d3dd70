"""The order of samples: the same for any worker count, after a resume and on any accelerator."""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from torch.utils.data import Dataset, DistributedSampler

from benchmark.data.randomness import permutation

SampleKey: TypeAlias = tuple[int, int]
"""(epoch, index) of a sample: a worker that outlives epochs learns from it which one it is in."""


class EpochSampler(DistributedSampler[SampleKey]):
    """Deals keys round-robin to the ranks, so that n ranks see at step k, together, what one
    process with an n-fold batch sees at step k.

    It is a DistributedSampler because Lightning leaves those in place and tells them the epoch.
    Where the samples do not divide by the ranks, the first ones are dealt once more in training,
    whose ranks take equally many steps; in evaluation (`shuffle=False`) each is dealt once.
    """

    def __init__(
        self, dataset: Dataset[object], *, rank: int, ranks: int, seed: int, shuffle: bool
    ) -> None:
        super().__init__(dataset, num_replicas=ranks, rank=rank, seed=seed, shuffle=shuffle)
        self._length = len(dataset)  # type: ignore[arg-type]
        self._start = 0
        if not shuffle:
            self.total_size = self._length
            self.num_samples = len(range(rank, self._length, ranks))

    def __iter__(self) -> Iterator[SampleKey]:
        order = self._order()
        dealt = np.resize(order, self.total_size)[self.rank :: self.num_replicas]
        start, self._start = self._start, 0
        return ((self.epoch, int(index)) for index in dealt[start:])

    def resume(self, epoch: int, samples: int) -> None:
        """Begin the next iteration in `epoch`, after the first `samples` of this rank."""
        self.set_epoch(epoch)
        self._start = samples

    def _order(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        if self.shuffle:
            return permutation(self.seed, self.epoch, self._length)
        return np.arange(self._length)
