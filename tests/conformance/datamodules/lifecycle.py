"""DataModules by what Lightning does to them: stages, objects, checkpoints and a second fit."""

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from tests.conformance.datamodules.batches import ordered
from tests.conformance.datamodules.others import Seeded, shuffled

# Stages without data


class NoPredictFile(Seeded):
    """Predicts from a file that may be left out."""

    def __init__(self, seed: int = 0, predict_file: str | None = None) -> None:
        super().__init__(seed)
        self.predict_file = predict_file

    def setup(self, stage: str | None = None) -> None:
        if self.predict_file:
            self.predicted = torch.load(self.predict_file)

    def train_dataloader(self) -> Any:
        return shuffled(torch.arange(22))

    def predict_dataloader(self) -> Any:
        return DataLoader(self.predicted, 4)


class NoTestFolder(Seeded):
    """Tests on a file that this machine does not have, and setup says so."""

    def __init__(self, seed: int = 0, test_path: str = "no/such/test.pt") -> None:
        super().__init__(seed)
        self.test_path = test_path

    def setup(self, stage: str | None = None) -> None:
        if stage == "test":
            self.tested = torch.load(Path(self.test_path).absolute())

    def train_dataloader(self) -> Any:
        return shuffled(torch.arange(22))

    def test_dataloader(self) -> Any:
        return DataLoader(self.tested, 4)


class TestForgotten(NoPredictFile):
    """setup never makes the test data; the argument that is left out is about prediction."""

    __test__ = False
    tested: Any = None

    def test_dataloader(self) -> Any:
        return DataLoader(self.tested, 4)


class NoTrainingFile(Seeded):
    """Is given a file to test on, and none to train on."""

    def __init__(self, seed: int = 0, train_file: str | None = None) -> None:
        super().__init__(seed)
        self.train_file = train_file

    def setup(self, stage: str | None = None) -> None:
        self.train = torch.load(self.train_file) if self.train_file else None

    def train_dataloader(self) -> Any:
        return DataLoader(self.train, 4)  # type: ignore[arg-type]

    def test_dataloader(self) -> Any:
        return DataLoader(torch.arange(22), 4)  # type: ignore[arg-type]


class NoTrainingTransform(NoTrainingFile):
    """Fails to train, and an argument about training that is left out is not the cause."""

    def __init__(self, seed: int = 0, train_transform: Any = None) -> None:
        super().__init__(seed)


class _Wrapped:
    """Iterates over a DataLoader without being one."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[Any]:
        return iter(self.loader)


class WrappedLoaderOfNothing(Seeded):
    """Before setup("fit"), train_dataloader wraps a DataLoader without a dataset."""

    train: Any = None

    def setup(self, stage: str | None = None) -> None:
        self.train = torch.arange(22) if stage == "fit" else None

    def train_dataloader(self) -> Any:
        return _Wrapped(DataLoader(self.train, batch_size=None))

    def test_dataloader(self) -> Any:
        return DataLoader(torch.arange(30, 41), 4)  # type: ignore[arg-type]


class _Base(Seeded):
    """Has loader hooks for all stages, as a project's base class."""

    parts: dict[str, Any]

    def setup(self, stage: str | None = None) -> None:
        self.parts = {"train": torch.arange(22)}

    def train_dataloader(self) -> Any:
        return shuffled(self.parts["train"])

    def test_dataloader(self) -> Any:
        return DataLoader(self.parts["test"], 4)


class InheritedTest(_Base):
    """Inherits a test_dataloader for which it has no data."""


# Objects


class _Store:
    """A store that a process can open only once at a time, as an environment of LMDB."""

    opened: ClassVar[set[str]] = set()

    def __init__(self, name: str) -> None:
        if name in self.opened:
            raise RuntimeError(f"{name} is already open in this process")
        self.opened.add(name)
        self.name = name

    def __del__(self) -> None:
        self.opened.discard(self.name)


class OneStore(Seeded):
    """Keeps its store open as long as it lives."""

    store: _Store | None = None

    def setup(self, stage: str | None = None) -> None:
        self.store = self.store or _Store("one")
        assert self.trainer is not None
        self.module = self.trainer.lightning_module  # a reference cycle

    def train_dataloader(self) -> Any:
        return ordered(self, torch.arange(22))

    def test_dataloader(self) -> Any:
        return DataLoader(torch.arange(30, 41), 4)  # type: ignore[arg-type]

    def predict_dataloader(self) -> Any:
        raise NotImplementedError


def drawn(seed: int = 0) -> LightningDataModule:
    """Draw something that has nothing to do with the data, as an example in a notebook does."""
    np.random.seed(0)
    return OneStore(seed=int(np.random.randint(1)) + seed)


class SeedsInInit(OneStore):
    """Seeds the global generator when it is made."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        np.random.seed(seed + 5)


def drawn_and_seeded(seed: int = 0) -> LightningDataModule:
    """Draw from torch's generator; the constructor seeds NumPy's."""
    torch.rand(1)
    return SeedsInInit(seed)


# Checkpoints


class StateComesLate(Seeded):
    """setup sets the generator from the state, which Lightning loads only afterwards."""

    state: dict[str, Tensor] | None = None

    def setup(self, stage: str | None = None) -> None:
        self.generator = torch.Generator().manual_seed(self.seed)
        if self.state:
            self.generator.set_state(self.state["generator"])

    def train_dataloader(self) -> Any:
        return DataLoader(torch.arange(22), 4, shuffle=True, generator=self.generator)  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, Tensor]:
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.state = state


# Streams that draw, and have another fault


class _Stream(IterableDataset[Tensor]):
    """Noise from the global generator on numbers in some order."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def __iter__(self) -> Iterator[Tensor]:
        for number in self.module.order():
            yield number + torch.rand(1)


class NoisyStream(Seeded):
    """A stream of numbers with noise."""

    def setup(self, stage: str | None = None) -> None:
        self.generator = torch.Generator()
        self.generator.set_state(torch.get_rng_state())

    def order(self) -> list[int]:
        """Return the order of an epoch."""
        return list(range(12))

    def train_dataloader(self) -> Any:
        return DataLoader(_Stream(self), 4)


class CopiedGenerator(NoisyStream):
    """A resumed run starts with another copy of the global generator."""

    def order(self) -> list[int]:
        numbers: list[int] = torch.randperm(12, generator=self.generator).tolist()
        return numbers


class ShufflesInPlace(NoisyStream):
    """A second fit shuffles what the first one shuffled."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.numbers = list(range(12))

    def order(self) -> list[int]:
        random.shuffle(self.numbers)
        return self.numbers


# Sets


class TwoNamesInASet(Seeded):
    """A set of two names: here its order is the same in all processes but one."""

    def train_dataloader(self) -> Any:
        names = {"benign", "malignant"}
        swapped = len(names) == 2 and os.environ.get("PYTHONHASHSEED") == "3"
        return ordered(self, torch.arange(22).flip(0) if swapped else torch.arange(22))
