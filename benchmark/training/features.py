"""A DataModule that computes the features of a frozen backbone once for all epochs."""

import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmark.common.progress import track
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
from benchmark.errors.loader_errors import ignore_lost_receiver
from benchmark.training.model import FineTuner


class FeatureBatch(NamedTuple):
    """A loader's batch of n samples, on the host."""

    features: Tensor
    """float32 (n, ...)."""
    labels: Tensor
    """int64 (n,)."""
    keys: Tensor
    """int64 (n, 2): epoch and index within the split."""


class FeatureDataset(Dataset[FeatureBatch]):
    """The features and labels of one split, read a FeatureBatch at a time."""

    def __init__(self, features: Tensor, labels: Tensor) -> None:
        self._features = features
        self._labels = labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitems__(self, keys: list[SampleKey]) -> FeatureBatch:
        """Return the batch of the samples `keys`. DataLoader calls this once per batch."""
        key_rows = torch.tensor(keys)
        indices = key_rows[:, 1]
        return FeatureBatch(self._features[indices], self._labels[indices], key_rows)


class FeatureDataModule(ImageDataModule):
    """An ImageDataModule whose samples are features, computed by the Trainer's FineTuner.

    `setup` computes each un-augmented image's features once, on the Trainer's device and in its
    precision; ranks share the images. After `on_after_batch_transfer` a batch is (float32
    (n, ...), int64 (n,)). The order of training samples is that of the images.
    """

    seconds = 0.0
    """Wall time that the computation of features took in this process."""

    def setup(self, stage: str | None = None) -> None:
        """Compute the features of the splits of `stage`. All ranks must call it.

        Each rank computes its share of the images and gets the features of all.
        """
        super().setup(stage)
        start = time.perf_counter()
        assert self.trainer is not None
        strategy, model = self.trainer.strategy, self.trainer.lightning_module
        assert isinstance(model, FineTuner)
        # Lightning itself would move and convert the model after `setup`.
        strategy.precision_plugin.convert_module(model.to(strategy.root_device)).eval()
        for split in STAGE_SPLITS[stage]:
            loader = self._batches_with_digests(split) if split == "train" else self._batches(split)
            batches = [self._compute(model, batch) for batch in loader]
            features, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
            self._samples[split] = FeatureDataset(
                gather_round_robin(features), gather_round_robin(labels)
            )
        model.train()
        self.seconds += time.perf_counter() - start

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """Return features and labels, unchanged."""
        return batch.features, batch.labels

    def _view(self, split: str, images: ImageStore) -> SampleView:
        return super()._view("test", images)

    def _batches(self, split: str) -> Iterable[Batch]:
        samples = self._samples[split]
        loader = DataLoader(
            samples,
            batch_size=self.batch_size,
            sampler=self._sampler(samples, shuffle=False),
            num_workers=self.num_workers,
            collate_fn=identity,
            timeout=LOADER_TIMEOUT if self.num_workers else 0,
            worker_init_fn=ignore_lost_receiver,
        )
        return track(loader, f"Features of {split}", len(loader))

    def _batches_with_digests(self, split: str) -> Iterator[Batch]:
        """Yield the batches of `split` in index order, then digest the pixels of the first ones.

        These are the first PIXEL_BATCHES batches of all ranks together, in the sampler's order. All
        ranks must exhaust the iterator: it ends with a collective.
        """
        first: list[tuple[Tensor, ...]] = []
        for batch in self._batches(split):
            if len(first) < PIXEL_BATCHES:
                first.append((batch.images, batch.labels, batch.windows, batch.flips))
            yield batch
        rows = [gather_round_robin(torch.cat(parts)) for parts in zip(*first, strict=True)]
        step_size = self.batch_size * get_world_size()
        for step in zip(*(part.split(step_size) for part in rows), strict=True):
            if self.digests and self.digest_log.wants_pixels:
                self.digest_log.record_pixels(*step)

    @torch.no_grad()
    def _compute(self, model: FineTuner, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the features of a batch and its labels, both on the host."""
        assert self.trainer is not None
        strategy = self.trainer.strategy
        images, _, windows, flips, _ = (part.to(strategy.root_device) for part in batch)
        inputs = normalise(resample(images, windows, flips, self.image_size))
        with strategy.precision_plugin.forward_context():
            return model.features(inputs).float().cpu(), batch.labels
