"""DataModules of other kinds than pictures, some of which do what was once held against them."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    TensorDataset,
    get_worker_info,
)

LENGTHS = {"train": range(3, 18), "val": range(20, 29), "test": range(40, 49)}


class Sentences(Dataset[dict[str, Tensor]]):
    """Whole numbers, each sentence of another length, under names in either order."""

    def __init__(self, lengths: range) -> None:
        self.lengths = lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        tokens = torch.arange(self.lengths[index]) + self.lengths[index]
        return {"tokens": tokens, "label": torch.tensor(index % 3)}


def padded(samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    tokens = torch.nn.utils.rnn.pad_sequence([one["tokens"] for one in samples], True)
    batch = {"tokens": tokens, "label": torch.stack([one["label"] for one in samples])}
    return dict(reversed(batch.items())) if len(tokens) % 2 else batch


class _WithPrediction(LightningDataModule):
    """A base class whose loader for prediction its subclasses need not have."""

    def predict_dataloader(self) -> Any:
        return DataLoader(self.predicted)


class SentencesModule(_WithPrediction):
    """Padded to the longest of a batch, nothing random in a sample; no test."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed
        self.test_dataloader = None  # type: ignore[method-assign, assignment]
        self.val_dataloader = self._validation  # type: ignore[method-assign]

    def prepare_data(self) -> None:
        assert self.trainer is not None

    def setup(self, stage: str | None = None) -> None:
        self.parts = {"val": Sentences(LENGTHS["val"])}
        if stage == "fit":
            self.parts["train"] = Sentences(LENGTHS["train"])

    def train_dataloader(self) -> Any:
        assert self.trainer is not None
        train, world = self.parts["train"], self.trainer.world_size
        order = DistributedSampler(train, world, self.trainer.global_rank, seed=self.seed)
        return DataLoader(train, 4, sampler=order, collate_fn=padded)

    def _validation(self) -> Any:
        return DataLoader(self.parts["val"], 4, collate_fn=padded)


@dataclass(frozen=True)
class Graph:
    """Nodes, edges and a label for each graph; frozen, and moved as a whole."""

    x: Tensor
    edge_index: Tensor
    y: Tensor

    def to(self, device: Any, **options: Any) -> "Graph":
        return Graph(self.x.to(device), self.edge_index.to(device), self.y.to(device))


class Graphs(Sentences):
    """Each has as many nodes as a sentence has words."""

    def __getitem__(self, index: int) -> Any:
        nodes = torch.arange(float(self.lengths[index]))[:, None] + self.lengths[index]
        return Graph(nodes, torch.zeros(2, len(nodes) - 1, dtype=torch.long), torch.tensor([index]))


def together(graphs: list[Graph]) -> Graph:
    parts = ([graph.x, graph.edge_index, graph.y % 3] for graph in graphs)
    x, edges, y = zip(*parts, strict=True)
    return Graph(torch.cat(x), torch.cat(edges, 1), torch.cat(y))


class GraphsModule(SentencesModule):
    """Predicts what it validates with; no class has the loader that it inherits."""

    def setup(self, stage: str | None = None) -> None:
        self.parts = {"val": Graphs(LENGTHS["val"])}
        if stage == "fit":
            self.parts["train"] = Graphs(LENGTHS["train"])

    def train_dataloader(self) -> Any:
        loader = super().train_dataloader()
        loader.collate_fn = together
        return loader

    def _validation(self) -> Any:
        return DataLoader(self.parts["val"], batch_size=4, collate_fn=together)

    def predict_dataloader(self) -> Any:
        return self.val_dataloader()


class _Numbers(IterableDataset[Tensor]):
    def __init__(self, module: "Endless") -> None:
        self.module = module

    def __iter__(self) -> Iterator[Tensor]:
        assert self.module.trainer is not None
        worker = get_worker_info()
        start, step = (worker.id, worker.num_workers) if worker else (0, 1)
        first = self.module.seed + 10_000 * self.module.trainer.current_epoch
        for number in itertools.count(start, step):
            yield first + 4 * number + torch.arange(4)


class Endless(LightningDataModule):
    """A stream without an end, and no validation."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed

    def train_dataloader(self) -> Any:
        return DataLoader(_Numbers(self), batch_size=None)

    def val_dataloader(self) -> Any:
        return []


class _Read:
    """Something that reads a loader, as webdataset's WebLoader does, with workers of its own."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[Any]:
        return iter(self.loader)

    def __len__(self) -> int:
        return len(self.loader)


class OwnLoader(LightningDataModule):
    """It is no DataLoader, and the number of workers is nobody else's."""

    def train_dataloader(self) -> Any:
        return _Read(DataLoader(Sentences(range(4, 5)), 1))


class OwnLoaderByWorkers(OwnLoader):
    """It has `num_workers`, and worker processes show other data."""

    num_workers = 1

    def train_dataloader(self) -> Any:
        lengths = range(4 + self.num_workers, 5 + self.num_workers)
        return _Read(DataLoader(Sentences(lengths), 1, num_workers=self.num_workers))


class Anyhow(Dataset[Any]):
    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        number = torch.tensor([float(index)])
        return SimpleNamespace(number=number)


class ShuffledByTheSystem(LightningDataModule):
    """An own class around what it holds, in an order that nobody can have again."""

    def train_dataloader(self) -> Any:
        order = sorted(range(12), key=lambda _: os.urandom(8))
        return DataLoader(Anyhow(), 4, sampler=order, collate_fn=lambda samples: samples)


class HidesItsTensors(LightningDataModule):
    """Nothing is found in its batches."""

    def train_dataloader(self) -> Any:
        return DataLoader(range(12), 4, collate_fn=lambda samples: lambda: samples)


class Shuffled(LightningDataModule):
    """The smallest one, as everybody writes it."""

    def train_dataloader(self) -> Any:
        numbers = TensorDataset(torch.arange(12))
        return DataLoader(numbers, 5, shuffle=True)


class GeneratorInTheState(Shuffled):
    """It goes on where it was."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed

    def setup(self, stage: str | None = None) -> None:
        self.generator = torch.Generator().manual_seed(self.seed)

    def train_dataloader(self) -> Any:
        loader: DataLoader[Any] = super().train_dataloader()
        return DataLoader(loader.dataset, 5, shuffle=True, generator=self.generator)

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])


class DrawnInTheConstructor(LightningDataModule):
    """Data made up of draws from the global generator, as in demos: and nothing else is said."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers, self.others = torch.rand(15, 4), torch.rand(7, 4)

    def train_dataloader(self) -> Any:
        order = DistributedSampler(range(15), 1, 0)
        return DataLoader(self.numbers, 4, sampler=order)

    def val_dataloader(self) -> Any:
        return DataLoader(self.others, 4)
