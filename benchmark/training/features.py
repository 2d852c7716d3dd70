"""A frozen backbone's features in place of the images: computed once, then read by every epoch."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmark.data.cache import ImageStore
from benchmark.data.datamodule import (
    LOADER_TIMEOUT,
    STAGE_SPLITS,
    Batch,
    ImageDataModule,
    SampleView,
    identity,
)
from benchmark.data.digest_log import PIXEL_BATCHES
from benchmark.data.resampling import normalise, resample
from benchmark.data.sampling import SampleKey
from benchmark.distributed.process_group import gather_round_robin, get_world_size
from benchmark.training.model import FineTuner


class FeatureBatch(NamedTuple):
    """What a loader yields: n samples, on the host."""

    features: Tensor
    """float32 (n, 2048)."""
    labels: Tensor
    """int64 (n,)."""
    keys: Tensor
    """int64 (n, 2): epoch and index within the split."""


class FeatureDataset(Dataset[FeatureBatch]):
    """The samples of one split; `keys` in, a whole batch out."""

    def __init__(self, features: Tensor, labels: Tensor) -> None:
        self._features = features
        self._labels = labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitems__(self, keys: list[SampleKey]) -> FeatureBatch:
        """Pick the samples of `keys`. DataLoader calls this once per batch."""
        numbers = torch.tensor(keys)
        indices = numbers[:, 1]
        return FeatureBatch(self._features[indices], self._labels[indices], numbers)


class FeatureDataModule(ImageDataModule):
    """An ImageDataModule whose samples are what the Trainer's FineTuner makes of them.

    `setup` computes the features, each image's once and un-augmented, on the Trainer's device
    and in its precision; several devices share the images. After `on_after_batch_transfer` a batch
    is (float32 (n, 2048), int64 (n,)). The order of training samples is that of the images.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seconds = 0.0
        """Wall time that the features took."""

    def setup(self, stage: str | None = None) -> None:
        """In every process: compute the features of the splits that `stage` needs."""
        super().setup(stage)
        start, model = time.perf_counter(), self._model()
        model.eval()
        for split in STAGE_SPLITS[stage]:
            shown = self._recorded(split) if split == "train" else self._batches(split)
            batches = [self._compute(model, batch) for batch in shown]
            parts = (torch.cat(found) for found in zip(*batches, strict=True))
            self._samples[split] = FeatureDataset(*map(gather_round_robin, parts))
        model.train()
        self.seconds += time.perf_counter() - start

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """Nothing is left to do."""
        return batch.features, batch.labels

    def _view(self, split: str, images: ImageStore) -> SampleView:
        return super()._view("test", images)

    def _model(self) -> FineTuner:
        """On its device and in its precision, which Lightning sees to only after `setup`."""
        assert self.trainer is not None
        strategy, model = self.trainer.strategy, self.trainer.lightning_module
        assert isinstance(model, FineTuner)
        strategy.precision_plugin.convert_module(model.to(strategy.root_device))
        return model

    def _batches(self, split: str) -> Iterable[Batch]:
        samples = self._samples[split]
        loader = DataLoader(
            samples,
            batch_size=self.batch_size,
            sampler=self._sampler(samples, shuffle=False),
            num_workers=self.num_workers,
            collate_fn=identity,
            timeout=LOADER_TIMEOUT if self.num_workers else 0,
        )
        return track(loader, f"Features of {split}", disable=not sys.stderr.isatty())

    def _recorded(self, split: str) -> Iterator[Batch]:
        """The same, and at the end the digest of what was shown first, by all ranks together."""
        first: list[tuple[Tensor, ...]] = []
        for batch in self._batches(split):
            if len(first) < PIXEL_BATCHES:
                first.append((batch.images, batch.labels, batch.windows, batch.flips))
            yield batch
        rows = [gather_round_robin(torch.cat(parts)) for parts in zip(*first, strict=True)]
        for shown in zip(
            *(part.split(self.batch_size * get_world_size()) for part in rows), strict=True
        ):
            if self.digests and self.digest_log.wants_pixels:
                self.digest_log.record_pixels(*shown)

    @torch.no_grad()
    def _compute(self, model: FineTuner, batch: Batch) -> tuple[Tensor, Tensor]:
        """Features and labels of a batch, on the host."""
        assert self.trainer is not None
        strategy = self.trainer.strategy
        images, _, windows, flips, _ = (part.to(strategy.root_device) for part in batch)
        shown = normalise(resample(images, windows, flips, self.image_size))
        with strategy.precision_plugin.forward_context():
            return model.features(shown).float().cpu(), batch.labels
