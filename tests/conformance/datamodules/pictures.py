"""A small DataModule that keeps every rule; the broken DataModules derive from it."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmark.data.datamodule import ResumableLoader
from benchmark.data.sampling import EpochSampler, SampleKey

CLASSES = 3
SIZES = {"train": 15, "val": 9, "test": 9}


class Pictures(Dataset[tuple[Tensor, int]]):
    """Noise; training adds a random brightness."""

    def __init__(self, pixels: np.ndarray[Any, Any], seed: int | None) -> None:
        self.pixels = pixels
        self.seed = seed

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, key: SampleKey) -> tuple[Tensor, int]:
        epoch, index = key
        pixels = self.pixels[index] / np.float32(255)
        if self.seed is not None:
            pixels = pixels + self.noise(epoch, index)
        return torch.from_numpy(pixels), self.label(index)

    def noise(self, epoch: int, index: int) -> Any:
        return np.random.default_rng((self.seed, epoch, index)).random(dtype=np.float32)

    def label(self, index: int) -> int:
        return index * CLASSES // len(self)


class PicturesModule(LightningDataModule):
    """prepare_data writes one file, setup reads it."""

    dataset = Pictures
    sizes: ClassVar = SIZES

    def __init__(self, folder: str, seed: int = 0) -> None:
        super().__init__()
        self.file = Path(folder) / "pictures.npy"
        self.seed = seed
        self.splits: dict[str, Pictures] = {}

    def prepare_data(self) -> None:
        if not self.file.exists():
            count, random = sum(self.sizes.values()), np.random.default_rng(0)
            np.save(self.file, random.integers(0, 256, (count, 3, 8, 8), dtype=np.uint8))

    def setup(self, stage: str | None = None) -> None:
        needed = {"fit": ("train", "val"), "validate": ("val",), None: tuple(self.sizes)}
        everything = self.read()
        for split in needed.get(stage, ("test",)):
            self.make(split, everything[split])

    def read(self) -> dict[str, np.ndarray[Any, Any]]:
        ends = np.cumsum([*self.sizes.values()])[:-1]
        return dict(zip(self.sizes, np.split(np.load(self.file), ends), strict=True))

    def make(self, split: str, pixels: np.ndarray[Any, Any]) -> None:
        self.splits[split] = self.dataset(pixels, self.seed if split == "train" else None)

    def loader(self, split: str, **options: Any) -> DataLoader[Any]:
        sampler = self.sampler(split)
        return DataLoader(self.splits[split], batch_size=4, sampler=sampler, **options)

    def sampler(self, split: str) -> EpochSampler:
        rank, ranks = 0, 1
        if self.trainer is not None:
            rank, ranks = self.trainer.global_rank, self.trainer.world_size
        dataset, shuffle = self.splits[split], split == "train"
        return EpochSampler(dataset, rank=rank, ranks=ranks, seed=self.seed, shuffle=shuffle)

    def train_dataloader(self) -> Any:
        return self.loader("train")

    def val_dataloader(self) -> Any:
        return self.loader("val")

    def test_dataloader(self) -> Any:
        return self.loader("test")

    def predict_dataloader(self) -> Any:
        return self.loader("test")


class EvenPictures(PicturesModule):
    """Two ranks evaluate equally many pictures."""

    sizes: ClassVar = {"train": 15, "val": 10, "test": 10}


class ResumablePictures(EvenPictures):
    """Its training loader goes on within an epoch."""

    def train_dataloader(self) -> Any:
        loader = ResumableLoader(self.splits["train"], batch_size=4, sampler=self.sampler("train"))
        assert self.trainer is not None
        loader.trainer = self.trainer
        return loader


class SeveralLoaders(EvenPictures):
    """Training takes a batch of each of two loaders, validation one after the other."""

    def train_dataloader(self) -> Any:
        return {"first": self.loader("train"), "second": self.loader("val")}

    def val_dataloader(self) -> Any:
        return [self.loader("val"), self.loader("test")]

    def setup(self, stage: str | None = None) -> None:
        super().setup(None)
