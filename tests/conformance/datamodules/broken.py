"""DataModules that break the contract, each by one common mistake."""

import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info, random_split

from benchmark.data.sampling import EpochSampler, SampleKey
from tests.conformance.datamodules.pictures import SIZES, Pictures, PicturesModule


class StateSetInPrepareData(PicturesModule):
    def prepare_data(self) -> None:
        super().prepare_data()
        self.mean = np.load(self.file).mean()

    def setup(self, stage: str | None = None) -> None:
        assert self.mean > 0
        super().setup(stage)


class DefaultChangedInPrepareData(PicturesModule):
    shift = 0

    def prepare_data(self) -> None:
        super().prepare_data()
        self.shift = 1

    def read(self) -> dict[str, Any]:
        return {name: pixels + self.shift for name, pixels in super().read().items()}


class SplitWithoutGenerator(PicturesModule):
    def read(self) -> dict[str, Any]:
        everything = np.load(self.file)
        parts = random_split(range(len(everything)), list(SIZES.values()))
        indices = dict(zip(SIZES, parts, strict=True))
        return {split: everything[list(part)] for split, part in indices.items()}


class IgnoredStage(PicturesModule):
    def setup(self, stage: str | None = None) -> None:
        super().setup(None)


class TestNeedsFit(PicturesModule):
    __test__ = False

    def setup(self, stage: str | None = None) -> None:
        if stage == "fit":
            super().setup(None)


class SetupWithoutStage(PicturesModule):
    def setup(self) -> None:  # type: ignore[override]
        super().setup(None)


class SetupFails(PicturesModule):
    def setup(self, stage: str | None = None) -> None:
        raise ValueError("no such folder")


class PrepareDataOnlyOnce(PicturesModule):
    def prepare_data(self) -> None:
        (self.file.parent / "extracted").mkdir()
        super().prepare_data()


class PrepareDataAppends(PicturesModule):
    def prepare_data(self) -> None:
        super().prepare_data()
        everything = np.load(self.file)
        np.save(self.file, np.concatenate([everything[:3], everything]))

    def read(self) -> dict[str, Any]:
        everything = np.load(self.file)
        return {"train": everything[:-18], "val": everything[-18:-9], "test": everything[-9:]}


class PrepareDataCalledInSetup(PicturesModule):
    def setup(self, stage: str | None = None) -> None:
        self.prepare_data()
        super().setup(stage)


class SplitDrawnWithTheLoader(PicturesModule):
    def val_dataloader(self) -> Any:
        dataset = self.splits["val"]
        dataset.pixels = dataset.pixels[torch.randperm(len(dataset)).numpy()]
        return super().val_dataloader()


class _Rebuilding:
    """Makes a new loader for each pass."""

    def __init__(self, module: PicturesModule) -> None:
        self.module = module

    def __iter__(self) -> Iterator[Any]:
        return iter(self.module.loader("train"))

    def __len__(self) -> int:
        return len(self.module.loader("train"))


class LoaderRebuiltAtEachAccess(PicturesModule):
    def train_dataloader(self) -> Any:
        return _Rebuilding(self)


class _Counting(EpochSampler):
    def set_epoch(self, epoch: int) -> None:
        """Ignore the epoch, because __iter__ counts epochs."""

    def __iter__(self) -> Iterator[SampleKey]:
        self.epoch += 1
        return super().__iter__()


class CountsEpochsItself(PicturesModule):
    """Counts epochs as long as the object lives."""

    def __init__(self, folder: str, seed: int = 0) -> None:
        super().__init__(folder, seed)
        self.counting: EpochSampler | None = None

    def sampler(self, split: str) -> EpochSampler:
        if split != "train":
            return super().sampler(split)
        options = {"rank": 0, "ranks": 1, "seed": self.seed, "shuffle": True}
        self.counting = self.counting or _Counting(self.splits[split], **options)
        return self.counting


class FileStaysOpenAfterError(PicturesModule):
    """teardown undoes what setup did, and on_exception does not."""

    drift = 0

    def setup(self, stage: str | None = None) -> None:
        self.drift += 1
        super().setup(stage)

    def teardown(self, stage: str | None = None) -> None:
        self.drift -= 1

    def read(self) -> dict[str, Any]:
        return {name: pixels + (self.drift - 1) for name, pixels in super().read().items()}


class LambdaInInit(PicturesModule):
    def __init__(self, folder: str, seed: int = 0) -> None:
        super().__init__(folder, seed)
        self.transform = lambda pixels: pixels


class PathInState(PicturesModule):
    def state_dict(self) -> dict[str, Any]:
        return {"file": self.file}


class FilesFromASet(PicturesModule):
    """The order of its files depends on how this process hashes strings."""

    class dataset(Pictures):
        def __getitem__(self, key: SampleKey) -> tuple[Tensor, int]:
            epoch, index = key
            names = [f"{number}.png" for number in range(len(self))]
            return super().__getitem__((epoch, names.index(list(set(names))[index])))


class ClassesInListingOrder(PicturesModule):
    class dataset(Pictures):
        names: list[str]

        def label(self, index: int) -> int:
            return self.names.index("abc"[super().label(index)])

    def prepare_data(self) -> None:
        super().prepare_data()
        for name in "abc":
            (self.file.parent / "classes" / name).mkdir(parents=True, exist_ok=True)

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        names = os.listdir(self.file.parent / "classes")
        for pictures in self.splits.values():
            pictures.names = names  # type: ignore[attr-defined]


class AllSamplesOnEachRank(PicturesModule):
    def sampler(self, split: str) -> EpochSampler:
        return EpochSampler(
            self.splits[split], rank=0, ranks=1, seed=self.seed, shuffle=split == "train"
        )


class OtherSizeInEvaluation(PicturesModule):
    class dataset(Pictures):
        def __getitem__(self, key: SampleKey) -> tuple[Tensor, int]:
            pixels, label = super().__getitem__(key)
            return pixels if self.seed is not None else pixels[:, 1:, 1:], label


def _loses_a_label(samples: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    images, labels = zip(*samples, strict=True)
    return torch.stack(images), torch.tensor(labels[1:])


class LabelsOfOtherLength(PicturesModule):
    def train_dataloader(self) -> Any:
        return self.loader("train", collate_fn=_loses_a_label)


class _Bins:
    """Batches of 1, 3, 4, ... samples."""

    def __init__(self, sampler: EpochSampler) -> None:
        self.sampler = sampler

    def __iter__(self) -> Iterator[list[SampleKey]]:
        rest = list(self.sampler)
        for size in (1, 3, *[4] * len(rest)):
            batch, rest = rest[:size], rest[size:]
            if batch:
                yield batch

    def __len__(self) -> int:
        return 5


class BatchesOfAnySize(PicturesModule):
    def train_dataloader(self) -> Any:
        return DataLoader(self.splits["train"], batch_sampler=_Bins(self.sampler("train")))


class RawPixels(PicturesModule):
    class dataset(Pictures):
        def __getitem__(self, key: SampleKey) -> tuple[Tensor, int]:
            pixels, label = super().__getitem__(key)
            return pixels * 255, label


class DividedByZero(PicturesModule):
    class dataset(Pictures):
        """Normalises by the standard deviation of the image, which is 0 for a blank one."""

        def __getitem__(self, key: SampleKey) -> tuple[Tensor, int]:
            pixels, label = super().__getitem__(key)
            pixels = torch.ones(3, 8, 8) if key[1] == 0 and self.seed is not None else pixels
            return (pixels - pixels.mean()) / pixels.std(), label


class LabelsFromOne(PicturesModule):
    class dataset(Pictures):
        def label(self, index: int) -> int:
            return super().label(index) + 1


class DropLastLosesAClass(PicturesModule):
    """9 samples, sorted by class, in batches of 5: the last class is dropped."""

    def val_dataloader(self) -> Any:
        return DataLoader(self.splits["val"], 5, sampler=self.sampler("val"), drop_last=True)


class _WithReplacement(EpochSampler):
    def __iter__(self) -> Iterator[SampleKey]:
        keys = list(super().__iter__())
        return iter([*keys[:-1], keys[0]])


class SampledWithReplacement(PicturesModule):
    def sampler(self, split: str) -> EpochSampler:
        kind = _WithReplacement if split == "train" else EpochSampler
        options = {"rank": 0, "ranks": 1, "seed": self.seed, "shuffle": split == "train"}
        return kind(self.splits[split], **options)


class SeededByTheClock(PicturesModule):
    class dataset(Pictures):
        def noise(self, epoch: int, index: int) -> Any:
            return np.random.default_rng(time.perf_counter_ns()).random(dtype=np.float32)


class SeedForgotten(PicturesModule):
    def __init__(self, folder: str, seed: int = 0) -> None:
        super().__init__(folder)


class SameAugmentationEachEpoch(PicturesModule):
    class dataset(Pictures):
        def noise(self, epoch: int, index: int) -> Any:
            return super().noise(0, index)


class ValidationShuffles(PicturesModule):
    def val_dataloader(self) -> Any:
        keys = [(0, index) for index in range(len(self.splits["val"]))]
        return DataLoader(_Listed(self.splits["val"], keys), 4, shuffle=True)


class _Listed(Dataset[Any]):
    """The index is an integer, as in most datasets."""

    def __init__(self, pictures: Pictures, keys: list[SampleKey]) -> None:
        self.pictures = pictures
        self.keys = keys

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Any:
        return self.pictures[self.keys[index]]


class _GlobalNoise(Pictures):
    def noise(self, epoch: int, index: int) -> Any:
        return np.float32(np.random.random())


class ShuffledWithWorkerAugmentation(PicturesModule):
    """The most common code: shuffle=True, and a transform that draws random numbers."""

    dataset = _GlobalNoise

    def train_dataloader(self) -> Any:
        keys = [(0, index) for index in range(len(self.splits["train"]))]
        return DataLoader(_Listed(self.splits["train"], keys), 4, shuffle=True)


class ChangedByReading(PicturesModule):
    class dataset(Pictures):
        """Makes a sample darker with each access, in the process that reads it."""

        def __getitem__(self, key: SampleKey) -> tuple[Tensor, int]:
            self.pixels[key[1]] //= 2
            return super().__getitem__(key)


class ValidationAdvancesSampler(PicturesModule):
    """The sanity check and each validation count as epochs of the training sampler."""

    def val_dataloader(self) -> Any:
        self.seed += 1
        return super().val_dataloader()


class SplitGeneratorNotReset(PicturesModule):
    """Its generator is made once for all setups."""

    def __init__(self, folder: str, seed: int = 0) -> None:
        super().__init__(folder, seed)
        self.generator = torch.Generator().manual_seed(0)

    def read(self) -> dict[str, Any]:
        everything = np.load(self.file)
        order = torch.randperm(len(everything), generator=self.generator).numpy()
        ends = np.cumsum([*SIZES.values()])[:-1]
        return dict(zip(SIZES, np.split(everything[order], ends), strict=True))


class SeedsTheGlobalGenerator(PicturesModule):
    class dataset(Pictures):
        """Seeds the global generator before each draw."""

        def noise(self, epoch: int, index: int) -> Any:
            np.random.seed(1000 * epoch + index + 1_000_000 * (self.seed or 0))
            return np.float32(np.random.random())


class AugmentedByWorker(PicturesModule):
    class dataset(Pictures):
        def noise(self, epoch: int, index: int) -> Any:
            worker = get_worker_info()
            return super().noise(epoch, index) + np.float32(worker.id if worker else 0)


class _CountedPictures(Pictures):
    """Noise that depends on how many pictures of validation were read before."""

    read = 0

    def __getitem__(self, key: SampleKey) -> tuple[Tensor, int]:
        _CountedPictures.read += self.seed is None
        return super().__getitem__(key)

    def noise(self, epoch: int, index: int) -> Any:
        return super().noise(_CountedPictures.read + epoch, index)


class ValidationIsCounted(PicturesModule):
    dataset = _CountedPictures

    def setup(self, stage: str | None = None) -> None:
        _CountedPictures.read = 0
        super().setup(stage)


class SeedsLoadersInCallOrder(PicturesModule):
    """Seeds its loaders in the order in which Lightning asks for them."""

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        self.order: list[str] = []

    def loader(self, split: str, **options: Any) -> DataLoader[Any]:
        if split not in self.order:
            self.order.append(split)
        self.splits[split].seed = self.seed + self.order.index(split) if split == "train" else None
        return super().loader(split, **options)


class TestLacksAClass(PicturesModule):
    __test__ = False

    class dataset(Pictures):
        def label(self, index: int) -> int:
            return super().label(index) if self.seed is not None else 0


class TestOverlapsValidation(PicturesModule):
    __test__ = False

    def read(self) -> dict[str, Any]:
        parts = super().read()
        parts["test"][:3] = parts["val"][:3]
        return parts


class _InOrder(EpochSampler):
    def __iter__(self) -> Iterator[SampleKey]:
        return ((0, index) for index in range(len(self)))


class NotShuffledNotLabelled(PicturesModule):
    def sampler(self, split: str) -> EpochSampler:
        return _InOrder(self.splits[split], rank=0, ranks=1, seed=self.seed, shuffle=False)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch[0]


class GeneratorNotInTheState(PicturesModule):
    """shuffle=True with its own generator, which a resumed run seeds again."""

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        self.generator = torch.Generator().manual_seed(self.seed)
        if stage == "fit":
            self.splits["train"].seed = None  # nothing is random in a sample

    def train_dataloader(self) -> Any:
        dataset = self.splits["train"]
        keys = [(0, index) for index in range(len(dataset))]
        return DataLoader(_Listed(dataset, keys), 4, shuffle=True, generator=self.generator)


class CountsAndDraws(CountsEpochsItself):
    """Breaks two independent rules."""

    dataset = _GlobalNoise
