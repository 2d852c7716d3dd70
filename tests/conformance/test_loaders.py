"""DataLoaders and other loaders: their samples, and changes to them."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, SubsetRandomSampler

from lightning_conformance.loaders import MAX_BATCHES, dataset_size, flatten, limit_length

NUMBERS: Any = range(20)
SPLIT = SubsetRandomSampler(range(12))
PIECE = (slice(0, 10), slice(10, 20))


class Stream(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(NUMBERS)


@pytest.mark.parametrize(
    ("loaders", "size"),
    [
        (DataLoader(NUMBERS, 4, drop_last=True), 20),
        ([DataLoader(NUMBERS), {"other": DataLoader(NUMBERS)}], 40),
        (DataLoader(NUMBERS, 4, sampler=SPLIT), 12),  # the sampler is the split
        (DataLoader(NUMBERS, sampler=[PIECE]), None),  # pieces of one image
        (DataLoader(NUMBERS, sampler=[(0.5, 1.0)]), None),  # coordinates of a map
        (DataLoader(Stream()), None),
        ([DataLoader(NUMBERS), NUMBERS], None),
        ([], None),
    ],
)
def test_the_samples_behind_loaders_are_counted_if_possible(loaders: Any, size: int | None) -> None:
    assert dataset_size(loaders) == size


class Endless:
    def __iter__(self) -> Iterator[int]:
        return itertools.count()


class Itself:
    """An iterator that is its own loader, and has no length."""

    def __iter__(self) -> "Itself":
        self.left = 3
        return self

    def __next__(self) -> torch.Tensor:
        if not self.left:
            raise StopIteration
        self.left -= 1
        return torch.arange(4) + 4 * self.left


def test_a_loader_without_a_length_ends() -> None:
    loaders = [Endless(), Itself(), DataLoader(NUMBERS)]
    limit_length(loaders)
    assert [len(list(loader)) for loader in flatten(loaders)] == [MAX_BATCHES, 3, 20]
