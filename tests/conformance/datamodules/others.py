"""DataModules without pictures: sentences, graphs, streams and unusual loaders."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    Subset,
    TensorDataset,
    get_worker_info,
)

LENGTHS = {"train": range(3, 18), "val": range(20, 29), "test": range(40, 49)}
NUMBERS = TensorDataset(torch.arange(12))


def shuffled(data: Any, **options: Any) -> DataLoader[Any]:
    """Batches of 4 in an order that depends only on the epoch."""
    return DataLoader(data, 4, sampler=DistributedSampler(data, 1, 0), **options)


class Seeded(LightningDataModule):
    """Base class that saves the seed."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed


# Sequences and graphs


class Sentences(Dataset[Any]):
    """Sentences of different lengths."""

    def __init__(self, lengths: range) -> None:
        self.lengths = lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Any:
        tokens = torch.arange(self.lengths[index]) + self.lengths[index]
        return {"tokens": tokens, "label": torch.tensor(index % 3)}


def padded(samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """A mapping whose order of keys varies."""
    tokens = torch.nn.utils.rnn.pad_sequence([sample["tokens"] for sample in samples], True)
    batch = {"tokens": tokens, "label": torch.stack([sample["label"] for sample in samples])}
    return dict(reversed(batch.items())) if len(tokens) % 2 else batch


class _WithPrediction(LightningDataModule):
    """Base class whose predict_dataloader works only in some subclasses."""

    def predict_dataloader(self) -> Any:
        return DataLoader(self.predicted)


class SentencesModule(_WithPrediction):
    """Sentences padded to the longest of their batch, without augmentation or test."""

    dataset: type[Sentences] = Sentences
    collate: Any = staticmethod(padded)

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed
        self.test_dataloader = None  # type: ignore[method-assign, assignment]
        self.val_dataloader = self._validation  # type: ignore[method-assign]

    def prepare_data(self) -> None:
        assert self.trainer is not None

    def setup(self, stage: str | None = None) -> None:
        self.parts = {"val": self.dataset(LENGTHS["val"])}
        if stage == "fit":
            self.parts["train"] = self.dataset(LENGTHS["train"])

    def train_dataloader(self) -> Any:
        assert self.trainer is not None
        train, world = self.parts["train"], self.trainer.world_size
        order = DistributedSampler(train, world, self.trainer.global_rank, seed=self.seed)
        return DataLoader(train, 4, sampler=order, collate_fn=self.collate)

    def _validation(self) -> Any:
        return DataLoader(self.parts["val"], batch_size=4, collate_fn=self.collate)


class TwoTrainingLoaders(SentencesModule):
    """Two training loaders in each step, each padded separately."""

    def train_dataloader(self) -> Any:
        return {name: super(TwoTrainingLoaders, self).train_dataloader() for name in "ab"}


class PredictsOnRequest(SentencesModule):
    """predict_dataloader raises unless the object got data to predict."""

    predicted: Any = None

    def predict_dataloader(self) -> Any:
        assert self.predicted is not None
        return DataLoader(self.predicted)


class PredictionNeverWorks(SentencesModule):
    """Overrides predict_dataloader, which always fails."""

    def predict_dataloader(self) -> Any:
        return DataLoader(self.parts["predict"])


@dataclass(frozen=True)
class Graph:
    """One or several graphs as a frozen dataclass with a `to` method."""

    x: Tensor
    edge_index: Tensor
    y: Tensor

    def to(self, device: Any, **options: Any) -> "Graph":
        return Graph(self.x.to(device), self.edge_index.to(device), self.y.to(device))


class Graphs(Sentences):
    def __getitem__(self, index: int) -> Graph:
        nodes = torch.arange(float(self.lengths[index]))[:, None] + self.lengths[index]
        return Graph(nodes, torch.zeros(2, len(nodes) - 1, dtype=torch.long), torch.tensor([index]))


def concatenated(graphs: list[Graph]) -> Graph:
    x, edges, y = zip(*([graph.x, graph.edge_index, graph.y % 3] for graph in graphs), strict=True)
    return Graph(torch.cat(x), torch.cat(edges, 1), torch.cat(y))


class GraphsModule(SentencesModule):
    """Predicts with the validation loader, and has no test."""

    dataset = Graphs
    collate = staticmethod(concatenated)

    def predict_dataloader(self) -> Any:
        return self.val_dataloader()


class OneGraph(SentencesModule):
    """Each split is the same graph; masks in it would select the nodes."""

    collate = staticmethod(concatenated)

    def setup(self, stage: str | None = None) -> None:
        self.parts = dict.fromkeys(("train", "val"), Graphs(range(9, 10)))

    def train_dataloader(self) -> Any:
        return DataLoader(self.parts["train"], collate_fn=self.collate)


# Streams


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


class Endless(Seeded):
    """An infinite stream, without validation."""

    def train_dataloader(self) -> Any:
        return DataLoader(_Numbers(self), batch_size=None)

    def val_dataloader(self) -> Any:
        return []


class _Draws(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        return (torch.rand(3) for _ in range(12))


class StreamOfDraws(LightningDataModule):
    """Draws all samples from the global generator when they are read."""

    def train_dataloader(self) -> Any:
        return DataLoader(_Draws(), 4)

    def val_dataloader(self) -> Any:
        return DataLoader(_Draws(), 4)


class _TwelveNumbers(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        return iter(torch.arange(12))


class StreamsForAllStages(LightningDataModule):
    """setup makes the training stream for any stage; streams have no samples to compare."""

    def setup(self, stage: str | None = None) -> None:
        self.stream = _TwelveNumbers()

    def train_dataloader(self) -> Any:
        return DataLoader(self.stream, 4)

    def test_dataloader(self) -> Any:
        return DataLoader(self.stream, 4)


# Loaders and workers


class _Wrapper:
    """Iterates over a DataLoader without being one, as webdataset's WebLoader."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[Any]:
        return iter(self.loader)

    def __len__(self) -> int:
        return len(self.loader)


class LoaderOfAnotherClass(LightningDataModule):
    """Its loader is not a DataLoader, and it has no `num_workers`."""

    def train_dataloader(self) -> Any:
        return _Wrapper(DataLoader(Sentences(range(4, 5)), 1))


class LoaderDependsOnWorkers(LightningDataModule):
    """Its loader is not a DataLoader, and the data depend on `num_workers`."""

    num_workers = 1

    def train_dataloader(self) -> Any:
        lengths = range(4 + self.num_workers, 5 + self.num_workers)
        return _Wrapper(DataLoader(Sentences(lengths), 1, num_workers=self.num_workers))


class BatchSizeDependsOnWorkers(LightningDataModule):
    """The batch size depends on `num_workers`."""

    num_workers = 0

    def train_dataloader(self) -> Any:
        return DataLoader(NUMBERS, 4 + self.num_workers, num_workers=self.num_workers)


class RequiresWorkers(LightningDataModule):
    """Its loader is invalid without workers."""

    num_workers = 1

    def train_dataloader(self) -> Any:
        return DataLoader(NUMBERS, 4, num_workers=self.num_workers, persistent_workers=True)


class _SeededInWorkersOnly(Dataset[Tensor]):
    """Its generator is seeded only in worker processes."""

    generator = np.random.RandomState()

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Tensor:
        return index + torch.tensor(self.generator.uniform())


def _seed_the_dataset(worker: int) -> None:
    info = get_worker_info()
    assert info is not None
    info.dataset.generator = np.random.RandomState(info.seed % 2**32)  # type: ignore[attr-defined]


class SeededInWorkers(LightningDataModule):
    """A fit can be repeated with its one worker, but not without workers."""

    def train_dataloader(self) -> Any:
        return shuffled(_SeededInWorkersOnly(), num_workers=1, worker_init_fn=_seed_the_dataset)


class BatchesOfFunctions(LightningDataModule):
    """Batches are functions, which have no content to digest."""

    def train_dataloader(self) -> Any:
        return DataLoader(range(12), 4, collate_fn=lambda samples: lambda: samples)


# Order and draws


class _UnknownContainer(Dataset[Any]):
    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        return SimpleNamespace(number=torch.tensor([float(index)]))


class ShuffledByTheSystem(LightningDataModule):
    """Samples of a class without a known container, in an order that cannot be reproduced."""

    def train_dataloader(self) -> Any:
        order = sorted(range(12), key=lambda _: os.urandom(8))
        return DataLoader(_UnknownContainer(), 4, sampler=order, collate_fn=lambda samples: samples)


class Shuffled(LightningDataModule):
    """The usual loader: shuffle=True without a generator."""

    def train_dataloader(self) -> Any:
        return DataLoader(NUMBERS, 5, shuffle=True)


class GeneratorInTheState(Seeded):
    """Saves the state of its generator, so a resumed run continues."""

    def setup(self, stage: str | None = None) -> None:
        self.generator = torch.Generator().manual_seed(self.seed)

    def train_dataloader(self) -> Any:
        return DataLoader(NUMBERS, 5, shuffle=True, generator=self.generator)

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])


class TornDown(GeneratorInTheState):
    """teardown removes what state_dict reads."""

    def teardown(self, stage: str | None = None) -> None:
        del self.generator


class GeneratorPerLoader(Seeded):
    """Each new loader starts with a new generator."""

    def train_dataloader(self) -> Any:
        numbers = TensorDataset(torch.arange(36))  # more than workers prefetch
        generator = torch.Generator().manual_seed(self.seed)
        return DataLoader(numbers, 4, shuffle=True, generator=generator)


class SeedsLikeTheProcess(LightningDataModule):
    """Seeds with the process's seed, which leaves the generators as they were at the start."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        np.random.seed(seed)

    def train_dataloader(self) -> Any:
        return shuffled(torch.arange(15))


class _SubsetLoader(DataLoader[Any]):
    """A DataLoader that accepts only one class of dataset."""

    def __iter__(self) -> Any:
        assert isinstance(self.dataset, Subset)
        return super().__iter__()


class ChecksDatasetClass(LightningDataModule):
    """Shuffles with the global generator, in a loader that accepts only one class of dataset."""

    def train_dataloader(self) -> Any:
        return _SubsetLoader(Subset(TensorDataset(torch.arange(20)), range(12)), 5, shuffle=True)

    def val_dataloader(self) -> Any:
        return DataLoader(torch.arange(20, 30), 5)


class _Pairs(Dataset[Tensor]):
    """Each number with a partner; a generator that is never saved draws new partners each pass."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.draw()

    def draw(self) -> None:
        self.partners = torch.randperm(12, generator=self.generator)

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Tensor:
        return torch.stack([torch.tensor(index), self.partners[index]])


class _PairsLoader(DataLoader[Any]):
    def __iter__(self) -> Any:
        self.dataset.draw()  # type: ignore[attr-defined]
        return super().__iter__()


class PairsNotInTheState(Seeded):
    """A resumed run draws the pairs of the first epoch again."""

    def setup(self, stage: str | None = None) -> None:
        self.pairs = _Pairs(self.seed)

    def train_dataloader(self) -> Any:
        return _PairsLoader(self.pairs, 4, sampler=DistributedSampler(self.pairs, 1, 0))


class WithReplacement(LightningDataModule):
    """Its order repeats samples. Lightning distributes it among ranks."""

    def train_dataloader(self) -> Any:
        drawn = torch.randint(20, (20,), generator=torch.Generator().manual_seed(0)).tolist()
        return DataLoader(torch.arange(20), 5, sampler=drawn)  # type: ignore[arg-type]


# Splits and stages


class RedrawnAndOverlappingSplits(LightningDataModule):
    """Each setup draws the split, and the test contains all data."""

    def setup(self, stage: str | None = None) -> None:
        self.order = torch.randperm(30).tolist()

    def train_dataloader(self) -> Any:
        return shuffled(Subset(torch.arange(30), self.order[:20]))  # type: ignore[arg-type]

    def val_dataloader(self) -> Any:
        return DataLoader(Subset(torch.arange(30), self.order[20:]), 4)  # type: ignore[arg-type]

    def test_dataloader(self) -> Any:
        return DataLoader(torch.arange(30), 4)


class SetupPreparesIfNeeded(LightningDataModule):
    """setup calls prepare_data if Lightning did not call it."""

    numbers: Any = None

    def prepare_data(self) -> None:
        self.numbers = torch.arange(15)

    def setup(self, stage: str | None = None) -> None:
        if self.numbers is None:
            self.prepare_data()

    def train_dataloader(self) -> Any:
        return shuffled(self.numbers)


class SetupForTestNeedsFit(LightningDataModule):
    """setup("test") fails without a fit, after it has made the training data."""

    def setup(self, stage: str | None = None) -> None:
        self.numbers = torch.arange(15)
        if stage == "test" and not hasattr(self, "fitted"):
            raise ValueError("fit first")
        self.fitted = True

    def train_dataloader(self) -> Any:
        return shuffled(self.numbers)

    def test_dataloader(self) -> Any:
        return DataLoader(torch.arange(20, 30), 4)


def numbered(samples: list[Tensor]) -> tuple[Tensor, Tensor]:
    """A batch of a contrastive loss: the label of a sample is its position in the batch."""
    return torch.stack(samples) + torch.rand(1), torch.arange(len(samples))


class NumbersTheMembers(Seeded):
    """Samples change in each epoch, and labels number the members of each batch."""

    def train_dataloader(self) -> Any:
        return shuffled(torch.arange(22.0), collate_fn=numbered)

    def val_dataloader(self) -> Any:
        return DataLoader(torch.arange(30.0, 33.0), 4, collate_fn=numbered)


class LoaderOfNothing(LightningDataModule):
    """Before setup("fit"), train_dataloader makes a DataLoader without a dataset."""

    train: Any = None

    def setup(self, stage: str | None = None) -> None:
        self.test = torch.arange(20, 30)
        if stage == "fit":
            self.train = torch.arange(15)

    def train_dataloader(self) -> Any:
        return DataLoader(self.train, 4)

    def test_dataloader(self) -> Any:
        return DataLoader(self.test, 4)


class PredictsOnly(LightningDataModule):
    """Has no data to train on."""

    def predict_dataloader(self) -> Any:
        return DataLoader(NUMBERS, 4)


class Exits(LightningDataModule):
    """setup ends the process, as a script would."""

    def setup(self, stage: str | None = None) -> None:
        raise SystemExit(0)

    def train_dataloader(self) -> Any:
        return DataLoader(NUMBERS, 4)


class TestsOnAll(LightningDataModule):
    """The test contains the training data, in random order."""

    __test__ = False

    def setup(self, stage: str | None = None) -> None:
        self.numbers = torch.arange(15)

    def train_dataloader(self) -> Any:
        return shuffled(self.numbers)

    def test_dataloader(self) -> Any:
        return DataLoader(self.numbers, 4, shuffle=True)
