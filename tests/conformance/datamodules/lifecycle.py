"""DataModules by what Lightning does to them: stages, objects, checkpoints and a second fit."""

from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

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
