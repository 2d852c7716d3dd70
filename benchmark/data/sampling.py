"""The order of samples: the same for any worker count, after a resume and on any accelerator."""

from collections.abc import Iterator
from itertools import chain, islice
from typing import TypeAlias

import numpy as np
from torch.utils.data import Dataset, DistributedSampler

from benchmark.data.randomness import permutation

SampleKey: TypeAlias = tuple[int, int]
"""(epoch, index) of a sample. Persistent workers get the epoch from it."""


class EpochSampler(DistributedSampler[SampleKey]):
    """Deals sample keys round-robin to the ranks.

    At each step n ranks together get the samples that one process with an n-fold batch gets.
    In training, all ranks get equally many samples: some of the first are dealt twice if
    necessary. In evaluation (`shuffle=False`) each sample is dealt once. Lightning keeps a
    DistributedSampler and calls its `set_epoch`; it would replace another sampler.

    An iteration deals the samples of `epochs` successive epochs, each in its own order: a batch may
    then be larger than the dataset.
    """

    def __init__(
        self,
        dataset: Dataset[object],
        *,
        rank: int,
        ranks: int,
        seed: int,
        shuffle: bool,
        epochs: int = 1,
    ) -> None:
        super().__init__(dataset, num_replicas=ranks, rank=rank, seed=seed, shuffle=shuffle)
        self._length = len(dataset)  # type: ignore[arg-type]
        self._start = 0
        if not shuffle:
            self.total_size = self._length
            self.num_samples = len(range(rank, self._length, ranks))
        self._epochs = epochs
        self.num_samples *= epochs

    def __iter__(self) -> Iterator[SampleKey]:
        first, start, self._start = self.epoch * self._epochs, self._start, 0
        epochs = range(first, first + self._epochs)
        return islice(chain.from_iterable(map(self._epoch_keys, epochs)), start, None)

    def _epoch_keys(self, epoch: int) -> Iterator[SampleKey]:
        order = np.arange(self._length)
        if self.shuffle:
            order = permutation(self.seed, epoch, self._length)
        rank_indices = np.resize(order, self.total_size)[self.rank :: self.num_replicas]
        return ((epoch, int(index)) for index in rank_indices)

    def resume(self, epoch: int, samples: int) -> None:
        """Start the next iteration in `epoch`, after the first `samples` of this rank."""
        self.set_epoch(epoch)
        self._start = samples
