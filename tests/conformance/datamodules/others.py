"""DataModules of other kinds than pictures, some of which do what was once held against them."""

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
    SubsetRandomSampler,
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

    dataset = Graphs
    collate = staticmethod(together)

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


class OneGraph(SentencesModule):
    """One graph is the whole of each split, and masks in it say which nodes belong to which."""

    def setup(self, stage: str | None = None) -> None:
        self.parts = dict.fromkeys(("train", "val"), Graphs(range(9, 10)))

    def train_dataloader(self) -> Any:
        return DataLoader(self.parts["train"], collate_fn=together)

    def _validation(self) -> Any:
        return DataLoader(self.parts["val"], collate_fn=together)


class Atoms(Sentences):
    """Molecules without edges."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        places = torch.arange(float(self.lengths[index]))[:, None] + self.lengths[index]
        return {"places": places, "energy": places.sum()}


def one_list(molecules: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """All atoms, and the molecule of each."""
    places = [one["places"] for one in molecules]
    owners = torch.arange(len(places)).repeat_interleave(torch.tensor([*map(len, places)]))
    energies = torch.stack([one["energy"] for one in molecules])
    return {"places": torch.cat(places), "molecule": owners, "energy": energies}


class MoleculesModule(SentencesModule):
    """Atoms of several molecules in one list."""

    dataset = Atoms
    collate = staticmethod(one_list)


class Scene(Dataset[Tensor]):
    """One picture, of which any piece is a sample."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, piece: tuple[slice, slice]) -> Tensor:
        return torch.arange(3600.0).reshape(60, 60)[piece] / 3600


class Pieces:
    """The pieces of a grid, in an order of the epoch's own or as they come."""

    def __init__(self, rows: range, seed: int | None = None) -> None:
        self.rows, self.seed, self.epoch = rows, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[slice, slice]]:
        corners = [(y, x) for y in self.rows for x in range(0, 60, 10)]
        generator = torch.Generator().manual_seed(100 * (self.seed or 0) + self.epoch)
        order = torch.randperm(len(corners), generator=generator)
        for y, x in corners if self.seed is None else [corners[i] for i in order]:
            yield slice(y, y + 10), slice(x, x + 10)

    def __len__(self) -> int:
        return 6 * len(self.rows)


class SceneModule(LightningDataModule):
    """Trains on pieces of a scene's upper half, validates on those of the lower one."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed

    def train_dataloader(self) -> Any:
        return DataLoader(Scene(), 4, sampler=Pieces(range(0, 30, 10), self.seed))

    def val_dataloader(self) -> Any:
        return DataLoader(Scene(), 4, sampler=Pieces(range(30, 60, 10)))


class PredictsOnRequest(SentencesModule):
    """It has nothing to predict unless it is given something, and says so."""

    predicted: Any = None

    def predict_dataloader(self) -> Any:
        assert self.predicted is not None
        return DataLoader(self.predicted)


class ForgetsItsPrediction(SentencesModule):
    """The loader is its own, and it never works."""

    def predict_dataloader(self) -> Any:
        return DataLoader(self.parts["predict"])


class FewOfOneOrder(LightningDataModule):
    """Three samples, which are in the same order by chance often enough."""

    def train_dataloader(self) -> Any:
        return DataLoader(TensorDataset(torch.arange(3)), 2)


class LoadersSideBySide(SentencesModule):
    """Two of them in each step of training, padded each for itself."""

    def train_dataloader(self) -> Any:
        return {name: super(LoadersSideBySide, self).train_dataloader() for name in "ab"}


class BatchesByWorkers(Shuffled):
    """A DataLoader that asks for more than its number of workers."""

    num_workers = 0

    def train_dataloader(self) -> Any:
        numbers = TensorDataset(torch.arange(12))
        return DataLoader(numbers, 4 + self.num_workers, num_workers=self.num_workers)


class WorkersForGood(LightningDataModule):
    """Its loaders need the workers that it has."""

    num_workers = 1

    def train_dataloader(self) -> Any:
        numbers = TensorDataset(torch.arange(12))
        return DataLoader(numbers, 4, num_workers=self.num_workers, persistent_workers=True)


class GeneratorOfTheLoader(LightningDataModule):
    """A generator runs on in the loader, and starts anew with the next one."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed

    def train_dataloader(self) -> Any:
        numbers = TensorDataset(torch.arange(36))  # more than workers bring ahead
        generator = torch.Generator().manual_seed(self.seed)
        return DataLoader(numbers, 4, shuffle=True, generator=generator)


class _Draws(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        for _ in range(12):
            yield torch.rand(3)


class StreamOfDraws(LightningDataModule):
    """All samples are drawn from the global generator where they are read."""

    def train_dataloader(self) -> Any:
        return DataLoader(_Draws(), 4)

    def val_dataloader(self) -> Any:
        return DataLoader(_Draws(), 4)


class _SubsetLoader(DataLoader[Any]):
    def __iter__(self) -> Any:
        assert isinstance(self.dataset, Subset)
        return super().__iter__()


class AsksForItsDataset(LightningDataModule):
    """Shuffled by the global generator, by a loader that knows one class of dataset."""

    def train_dataloader(self) -> Any:
        return _SubsetLoader(Subset(TensorDataset(torch.arange(20)), range(12)), 5, shuffle=True)

    def val_dataloader(self) -> Any:
        return DataLoader(torch.arange(20, 30), 5)


class SeedsAsTheProcess(LightningDataModule):
    """As the process was seeded, so that the generators are where they were."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        np.random.seed(seed)

    def train_dataloader(self) -> Any:
        order = DistributedSampler(range(15), 1, 0)
        return DataLoader(torch.arange(15), 4, sampler=order)


class SplitAnewAndOverlapping(LightningDataModule):
    """The split is drawn by each setup, and the test is all of the data."""

    def setup(self, stage: str | None = None) -> None:
        self.order = torch.randperm(30).tolist()

    def train_dataloader(self) -> Any:
        sampler = DistributedSampler(range(20), 1, 0)
        return DataLoader(Subset(torch.arange(30), self.order[:20]), 4, sampler=sampler)  # type: ignore[arg-type]

    def val_dataloader(self) -> Any:
        return DataLoader(Subset(torch.arange(30), self.order[20:]), 4)  # type: ignore[arg-type]

    def test_dataloader(self) -> Any:
        return DataLoader(torch.arange(30), 4)


class PreparesWhereItMust(LightningDataModule):
    """setup does not rely on what prepare_data left on another object."""

    numbers: Any = None

    def prepare_data(self) -> None:
        self.numbers = torch.arange(15)

    def setup(self, stage: str | None = None) -> None:
        if self.numbers is None:
            self.prepare_data()

    def train_dataloader(self) -> Any:
        return DataLoader(self.numbers, 4, sampler=DistributedSampler(range(15), 1, 0))


class RefusesToBeSetUpForATest(LightningDataModule):
    """Its training data are there when setup fails."""

    def setup(self, stage: str | None = None) -> None:
        self.numbers = torch.arange(15)
        if stage == "test" and not hasattr(self, "fitted"):
            raise ValueError("fit first")
        self.fitted = True

    def train_dataloader(self) -> Any:
        return DataLoader(self.numbers, 4, sampler=DistributedSampler(range(15), 1, 0))

    def test_dataloader(self) -> Any:
        return DataLoader(torch.arange(20, 30), 4)


class TestsOnAll(LightningDataModule):
    """The test is of the training data too, and is shown in any order."""

    def setup(self, stage: str | None = None) -> None:
        self.numbers = torch.arange(15)

    def train_dataloader(self) -> Any:
        return DataLoader(self.numbers, 4, sampler=DistributedSampler(range(15), 1, 0))

    def test_dataloader(self) -> Any:
        return DataLoader(self.numbers, 4, shuffle=True)


class Unlabelled(LightningDataModule):
    """Two views of each sample, and what stands in the place of a label."""

    def train_dataloader(self) -> Any:
        views = torch.arange(15.0).reshape(15, 1)
        data = TensorDataset(views, torch.full((15,), -1))
        return DataLoader(data, 4, sampler=DistributedSampler(range(15), 1, 0))


class _Restless(Dataset[Tensor]):
    """A generator that is seeded in worker processes only."""

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
    """It can be repeated with the worker that it asks for, and without it can not."""

    def train_dataloader(self) -> Any:
        order = DistributedSampler(range(12), 1, 0)
        return DataLoader(
            _Restless(), 4, sampler=order, num_workers=1, worker_init_fn=_seed_the_dataset
        )


class _Pairs(Dataset[Tensor]):
    """Each number with another, drawn anew for each pass by a generator that is never saved."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.draw()

    def draw(self) -> None:
        self.others = torch.randperm(12, generator=self.generator)

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Tensor:
        return torch.stack([torch.tensor(index), self.others[index]])


class _PairsLoader(DataLoader[Any]):
    def __iter__(self) -> Any:
        self.dataset.draw()  # type: ignore[attr-defined]
        return super().__iter__()


class PairsDrawnAnew(LightningDataModule):
    """A run that resumes draws the first epoch's pairs again."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed

    def setup(self, stage: str | None = None) -> None:
        self.pairs = _Pairs(self.seed)

    def train_dataloader(self) -> Any:
        return _PairsLoader(self.pairs, 4, sampler=DistributedSampler(self.pairs, 1, 0))


def packed(molecules: list[dict[str, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    lengths = torch.tensor([len(one["places"]) for one in molecules])
    ends = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
    return torch.cat([one["places"] for one in molecules]), 7 * torch.arange(len(lengths)), ends


class PackedModule(MoleculesModule):
    """Its samples in one list, and where each begins; what is second is of another length."""

    collate = staticmethod(packed)


class _Noisy(Dataset[Tensor]):
    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Tensor:
        return index + torch.rand(1)


class _Counted:
    """An order that is known by how often it was asked for."""

    def __init__(self) -> None:
        self.passes = 0

    def __iter__(self) -> Iterator[int]:
        self.passes += 1
        generator = torch.Generator().manual_seed(self.passes)
        yield from torch.randperm(12, generator=generator).tolist()

    def __len__(self) -> int:
        return 12


class CountsAndAsksForItsDataset(LightningDataModule):
    """What it draws is one cause, that it counts another, and its loader knows one dataset."""

    def setup(self, stage: str | None = None) -> None:
        self.order = _Counted()

    def train_dataloader(self) -> Any:
        return _SubsetLoader(Subset(_Noisy(), range(12)), 4, sampler=self.order)


class _Some(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        return iter(torch.arange(12))


class StreamsForAllStages(LightningDataModule):
    """Whatever the stage; of a stream's samples nobody knows whether they are those of another."""

    def setup(self, stage: str | None = None) -> None:
        self.some = _Some()

    def train_dataloader(self) -> Any:
        return DataLoader(self.some, 4)

    def test_dataloader(self) -> Any:
        return DataLoader(self.some, 4)


class SplitBySampler(LightningDataModule):
    """One dataset, of which each loader's sampler takes its part."""

    def train_dataloader(self) -> Any:
        return DataLoader(torch.arange(20), 4, sampler=SubsetRandomSampler(range(12)))  # type: ignore[arg-type]

    def val_dataloader(self) -> Any:
        return DataLoader(torch.arange(20), 4, sampler=SubsetRandomSampler(range(12, 20)))  # type: ignore[arg-type]


class _Itself:
    """An iterator that is its own loader, and does not know its length."""

    def __iter__(self) -> "_Itself":
        self.left = 3
        return self

    def __next__(self) -> Tensor:
        if not self.left:
            raise StopIteration
        self.left -= 1
        return torch.arange(4) + 4 * self.left


class LoaderIsItsIterator(LightningDataModule):
    """As CombinedLoader is."""

    def train_dataloader(self) -> Any:
        return _Itself()


def with_lengths(samples: list[dict[str, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    batch = padded(samples)
    return batch["tokens"], torch.tensor([len(one["tokens"]) for one in samples]), batch["label"]


class SentencesWithLengths(SentencesModule):
    """What is second is how long each is."""

    collate = staticmethod(with_lengths)


class WithReplacement(LightningDataModule):
    """An order in which samples are drawn again; Lightning shares it out among ranks."""

    def train_dataloader(self) -> Any:
        drawn = torch.randint(20, (20,), generator=torch.Generator().manual_seed(0)).tolist()
        return DataLoader(torch.arange(20), 5, sampler=drawn)  # type: ignore[arg-type]
