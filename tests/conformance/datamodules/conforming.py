"""DataModules that keep the contract, in three other styles."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    Sampler,
    Subset,
    get_worker_info,
    random_split,
)

CLASSES = ("ant", "bee", "cat")
COUNT = 30


class Files(Dataset[dict[str, Any]]):
    """Image files by class, as mappings."""

    def __init__(self, root: Path) -> None:
        self.paths = sorted(root.glob("*/*.png"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        path = self.paths[index]
        image = np.asarray(Image.open(path), dtype=np.float32).transpose(2, 0, 1) / 255
        return {"image": image, "label": CLASSES.index(path.parent.name), "index": index}


class OnTheDevice(LightningDataModule):
    """Files, a split with its own generator, torch's sampler, and augmentation on the device."""

    def __init__(self, folder: str, seed: int = 0) -> None:
        super().__init__()
        self.root = Path(folder) / "files"
        self.seed = seed

    def prepare_data(self) -> None:
        random = np.random.default_rng(0)
        for number in range(COUNT):
            path = self.root / CLASSES[number % 3] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            if not path.exists():
                Image.fromarray(noise).save(path)

    def setup(self, stage: str) -> None:
        generator = torch.Generator().manual_seed(0)
        parts = random_split(Files(self.root), [14, 8, 8], generator=generator)
        if stage == "fit":
            self.train = parts[0]
        if stage in ("fit", "validate"):
            self.val = parts[1]
        else:
            self.test = parts[2]

    def train_dataloader(self) -> DataLoader[Any]:
        ranks, rank = self.trainer.world_size, self.trainer.global_rank
        sampler = DistributedSampler(self.train, ranks, rank, seed=self.seed)
        return DataLoader(self.train, batch_size=4, sampler=sampler, drop_last=True)

    def val_dataloader(self) -> list[DataLoader[Any]]:
        halves = [Subset(self.val, range(4)), Subset(self.val, range(4, 8))]
        return [DataLoader(half, batch_size=4) for half in halves]

    def test_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.test, batch_size=4)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        if self.trainer.training:
            for image, index in zip(batch["image"], batch["index"].tolist(), strict=True):
                seed = hash((self.seed, self.trainer.current_epoch, index))
                image += torch.rand((), generator=torch.Generator().manual_seed(seed))
        return batch


class Item(NamedTuple):
    """A batch with names."""

    image: Tensor
    target: Tensor
    number: Tensor


class Epochs(Sampler[tuple[int, int]]):
    """Lightning calls set_epoch on any sampler that has it."""

    def __init__(self, length: int, seed: int) -> None:
        self.length = length
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        return ((self.epoch, int(index)) for index in order)


def in_memory(seed: int = 0) -> LightningDataModule:
    """No prepare_data and no predict; collate_fn makes the samples."""
    pixels = torch.rand(15, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    class InMemory(LightningDataModule):
        def setup(self, stage: str | None = None) -> None:
            self.train = _Tickets()

        def train_dataloader(self) -> DataLoader[Any]:
            sampler = Epochs(15, seed)
            return DataLoader(self.train, batch_size=4, sampler=sampler, collate_fn=augmented)

        def val_dataloader(self) -> DataLoader[Any]:
            keys = [(0, index) for index in range(15)]
            return DataLoader(keys, batch_size=8, collate_fn=plain)

        def transfer_batch_to_device(self, batch: Item, device: Any, dataloader_idx: int) -> Item:
            return Item(*(tensor.to(device) for tensor in batch))

        def __reduce__(self) -> Any:
            return in_memory, (seed,)

    def plain(keys: list[tuple[int, int]]) -> Item:
        numbers = torch.tensor([index for _, index in keys])
        return Item(pixels[numbers], numbers % 3, numbers)

    def augmented(keys: list[tuple[int, int]]) -> Item:
        item = plain(keys)
        moved = [np.random.default_rng((seed, *key)).integers(8) for key in keys]
        images = [torch.roll(x, int(by), 2) for x, by in zip(item.image, moved, strict=True)]
        return item._replace(image=torch.stack(images))

    return InMemory()


class _Tickets(Dataset[Any]):
    def __len__(self) -> int:
        return 15

    def __getitem__(self, key: Any) -> Any:
        return key


class Batches(IterableDataset[tuple[Tensor, Tensor]]):
    """A stream of batches; worker k of w yields every w-th one, which keeps the order."""

    def __init__(self, module: "Stream", split: int, length: int) -> None:
        self.module = module
        self.split = split
        self.length = length

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        trainer = self.module.trainer
        worker = get_worker_info()
        epoch = trainer.current_epoch if self.split == 0 else 0
        random = np.random.default_rng((self.module.seed * (self.split == 0), self.split, epoch))
        order = random.permutation(self.length)
        even = -(-self.length // trainer.world_size) * trainer.world_size
        order = np.resize(order, even)[trainer.global_rank :: trainer.world_size]
        batches = [order[start : start + 4] for start in range(0, len(order), 4)]
        for indices in batches[worker.id if worker else 0 :: worker.num_workers if worker else 1]:
            yield self.batch(epoch, indices)

    def batch(self, epoch: int, indices: Any) -> tuple[Tensor, Tensor]:
        seeds = [(self.split, index, epoch) for index in indices]
        images = [np.random.default_rng(seed).random((3, 8, 8), np.float32) for seed in seeds]
        return torch.from_numpy(np.stack(images)), torch.from_numpy(indices % 3)


class Stream(LightningDataModule):
    """Data without a length, from an IterableDataset."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(Batches(self, 0, 15), batch_size=None)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(Batches(self, 1, 9), batch_size=None)

    def predict_dataloader(self) -> DataLoader[Any]:
        return DataLoader(Batches(self, 2, 9), batch_size=None)
