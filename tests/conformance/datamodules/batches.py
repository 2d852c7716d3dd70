"""DataModules with unusual batches: lists of samples, negatives, buckets and whole batches."""

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, DistributedSampler, Sampler

from tests.conformance.datamodules.conforming import Epochs
from tests.conformance.datamodules.others import Seeded, numbered


def ordered(module: Seeded, data: Any, **options: Any) -> DataLoader[Any]:
    """Batches of 4 in an order that depends on the seed and the epoch."""
    sampler = DistributedSampler(data, 1, 0, seed=module.seed)
    return DataLoader(data, sampler=sampler, **({"batch_size": 4} | options))


# Lists of samples


class _Captions(Dataset[Any]):
    """Pictures of one size; their captions change in each epoch."""

    def __len__(self) -> int:
        return 14

    def __getitem__(self, key: tuple[int, int]) -> Any:
        epoch, index = key
        return {"caption": f"picture {index}, caption {epoch}", "size": torch.tensor([8.0, 8.0])}


class Captions(Seeded):
    """Its batches are lists of samples, each with a text and a tensor."""

    def train_dataloader(self) -> Any:
        order = Epochs(14, self.seed)
        return DataLoader(_Captions(), 4, sampler=order, collate_fn=lambda samples: samples)


class _Boxes(Dataset[Any]):
    """Images with a varying number of boxes."""

    def __init__(self, start: int) -> None:
        self.start = start

    def __len__(self) -> int:
        return 14

    def __getitem__(self, index: int) -> Any:
        boxes = torch.full((index % 3 + 1, 4), float(index))
        return torch.full((3, 8, 8), self.start + index / 14), {
            "boxes": boxes,
            "name": f"{index}.png",
        }


def detection(samples: list[Any]) -> Any:
    """Collate as torchvision's detection references do: tuples of images and of targets."""
    return tuple(zip(*samples, strict=True))


class Detection(Seeded):
    """Boxes of any number for each image, in a tuple of targets."""

    def train_dataloader(self) -> Any:
        return ordered(self, _Boxes(0), collate_fn=detection)

    def val_dataloader(self) -> Any:
        return DataLoader(_Boxes(14), 5, collate_fn=detection)


# Labels that number the members of a batch


def answers(samples: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Each question has 3 passages; the label is the position of the right one."""
    questions, _ = numbered(samples)
    return questions, torch.arange(len(samples)) * 3


def views(samples: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Two views of each sample; the label is the position of the other view."""
    images, numbers = numbered(samples)
    return torch.cat([images, -images]), torch.cat([numbers + len(images), numbers])


class Answers(Seeded):
    """Dense retrieval: samples change in each epoch, labels are positions in the batch."""

    collate = staticmethod(answers)

    def train_dataloader(self) -> Any:
        return ordered(self, torch.arange(22.0), collate_fn=self.collate)

    def val_dataloader(self) -> Any:
        return DataLoader(torch.arange(30.0, 33.0), 4, collate_fn=self.collate)  # type: ignore[arg-type]


class Views(Answers):
    """Contrastive learning: labels are positions in a batch of twice as many rows."""

    collate = staticmethod(views)


# Tensors of other lengths


def with_negatives(samples: list[Tensor]) -> dict[str, Tensor]:
    """Each question has 3 passages; all questions of a batch share 7 negatives."""
    questions = torch.stack(samples)
    return {
        "questions": questions,
        "passages": questions.repeat_interleave(3),
        "negatives": torch.arange(7.0),
    }


class Negatives(Seeded):
    """Tensors of one row, three rows, and no row for each sample."""

    def train_dataloader(self) -> Any:
        return ordered(self, torch.arange(22.0), collate_fn=with_negatives)


class NegativesInFullBatches(Seeded):
    """All batches have one size: a tensor that lost a row can't be told from shared rows."""

    def train_dataloader(self) -> Any:
        return ordered(self, torch.arange(20.0), collate_fn=with_negatives)


class LostRows(Seeded):
    """Labels of all samples but one."""

    def train_dataloader(self) -> Any:
        return ordered(
            self, torch.arange(22.0), collate_fn=lambda s: (torch.stack(s), torch.stack(s[1:]))
        )


# Batches of evaluation


class _Buckets(Sampler[list[int]]):
    """Batches of samples of similar length; the last of each bucket is smaller."""

    def __iter__(self) -> Iterator[list[int]]:
        return iter([[0, 1, 2, 3], [4, 5], [6, 7, 8, 9], [10]])

    def __len__(self) -> int:
        return 4


class BucketedTest(Seeded):
    """Tests in buckets of similar length, whose batches differ in size."""

    def train_dataloader(self) -> Any:
        return ordered(self, torch.arange(22.0))

    def test_dataloader(self) -> Any:
        return DataLoader(torch.arange(30.0, 41.0), batch_sampler=_Buckets())  # type: ignore[arg-type]


def _with_mask(samples: list[Tensor]) -> dict[str, Tensor]:
    return {"x": torch.stack(samples), "mask": torch.ones(len(samples), 5, dtype=torch.bool)}


class MaskInTest(Seeded):
    """The test has a mask that training does not have."""

    def train_dataloader(self) -> Any:
        return ordered(self, torch.arange(22.0))

    def test_dataloader(self) -> Any:
        return DataLoader(torch.arange(30.0, 41.0), 4, collate_fn=_with_mask)  # type: ignore[arg-type]


# Whole batches


class _WholeBatches(Dataset[Tensor]):
    """Each element is a batch of 4 rows, the last one of 2."""

    def __init__(self, start: int, rows: int) -> None:
        self.start, self.rows = start, rows

    def __len__(self) -> int:
        return -(-self.rows // 4)

    def __getitem__(self, index: int) -> Tensor:
        return self.start + torch.arange(4 * index, min(4 * index + 4, self.rows))


class WholeBatches(Seeded):
    """The dataset returns whole batches, which the loader passes on."""

    loaders: ClassVar[dict[str, Any]] = {"batch_size": None}

    def train_dataloader(self) -> Any:
        return ordered(self, _WholeBatches(0, 38), **self.loaders)

    def val_dataloader(self) -> Any:
        return DataLoader(_WholeBatches(100, 14), **self.loaders)


class WholeBatchesUnpacked(WholeBatches):
    """A loader of one element for each batch, whose collate_fn unpacks it."""

    loaders: ClassVar[dict[str, Any]] = {
        "batch_size": 1,
        "collate_fn": lambda samples: samples[0],
    }


class WholeBatchesOfTwoLoaders(WholeBatchesUnpacked):
    """Two loaders of whole batches in each step."""

    def train_dataloader(self) -> Any:
        return [WholeBatchesUnpacked.train_dataloader(self) for _ in range(2)]


class _Rows(Dataset[Tensor]):
    """Returns a whole batch for a list of indices."""

    def __init__(self, start: int, rows: int) -> None:
        self.start, self.rows = start, rows

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, indices: list[int]) -> Tensor:
        return self.start + torch.tensor(indices)


class _ListsOfIndices(BatchSampler):
    def set_epoch(self, epoch: int) -> None:
        self.sampler.set_epoch(epoch)  # type: ignore[attr-defined]


class WholeBatchesByIndices(Seeded):
    """A sampler yields lists of indices, and the dataset returns a whole batch for each."""

    def batches(self, data: Any, **options: Any) -> Any:
        order = DistributedSampler(data, 1, 0, seed=self.seed, **options)
        lists = _ListsOfIndices(order, 4, False)
        return DataLoader(data, 1, sampler=lists, collate_fn=lambda samples: samples[0])

    def train_dataloader(self) -> Any:
        return self.batches(_Rows(0, 38))

    def val_dataloader(self) -> Any:
        return self.batches(_Rows(100, 14), shuffle=False)
