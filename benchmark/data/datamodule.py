"""The images as a LightningDataModule.

A loader's batch is uint8 pixels with crop windows. Crop, flip and normalisation run on the device,
for the complete batch.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import LightningDataModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from benchmark.data import crops
from benchmark.data.cache import CACHES, DecodeCache, ImageStore
from benchmark.data.digest_log import DigestLog
from benchmark.data.folder import SPLITS, DatasetFiles, scan
from benchmark.data.resampling import normalise, resample
from benchmark.data.sampling import EpochSampler, SampleKey
from benchmark.distributed.process_group import gather_round_robin
from benchmark.errors.loader_errors import (
    ignore_lost_receiver,
    rearm_sigchld,
    shut_down_workers,
    worker_error,
)

LOADER_TIMEOUT = 600.0
"""Seconds without a batch after which a loader process counts as hanging."""
STAGE_SPLITS = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("test",),
    None: SPLITS,
}


class Batch(NamedTuple):
    """A loader's batch of n samples, on the host."""

    images: Tensor
    """uint8 (n, height, width, 3)."""
    labels: Tensor
    """int64 (n,)."""
    windows: Tensor
    """int32 (n, 2, 4), see crops.py."""
    flips: Tensor
    """bool (n,)."""
    keys: Tensor
    """int64 (n, 2): epoch and index within the split."""


SampleView: TypeAlias = Callable[..., tuple[NDArray[np.int32], NDArray[np.bool_]]]
"""Takes true shapes, epochs and indices of n samples by name; returns windows and flips."""


class SplitDataset(Dataset[Batch]):
    """The samples of one split, read a Batch at a time.

    `offset` is the position of the split's first image in `images`.
    """

    def __init__(
        self, images: ImageStore, offset: int, labels: Sequence[int], view: SampleView
    ) -> None:
        self._images = images
        self._offset = offset
        self._labels = np.asarray(labels, dtype=np.int64)
        self._view = view
        self.worker_positions: Tensor | None = None
        """First index of the batch that each loader process reads: int64 (processes,), shared."""

    def __len__(self) -> int:
        return len(self._labels)

    def __getitems__(self, keys: list[SampleKey]) -> Batch:
        """Return the batch of the samples `keys`. DataLoader calls this once per batch."""
        epochs, indices = np.array(keys, dtype=np.int64).T
        if (worker := get_worker_info()) and self.worker_positions is not None:
            self.worker_positions[worker.id] = int(indices[0])
        positions = indices + self._offset
        shapes = self._images.shapes[positions]
        windows, flips = self._view(shapes=shapes, epochs=epochs, indices=indices)
        pixels = self._images.take(positions)
        arrays = pixels, self._labels[indices], windows, flips, np.stack([epochs, indices], axis=1)
        return Batch(*map(torch.from_numpy, arrays))


class ResumableLoader(DataLoader[Any]):
    """A training loader that resumes mid-epoch: Lightning saves its state in checkpoints."""

    trainer: Trainer
    """The Trainer whose progress is the position in the order of samples."""

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, and the number of this rank's samples in it that are done.

        An epoch may end before its last sample: Trainer(limit_train_batches=...).
        """
        epoch: Any = self.trainer.fit_loop.epoch_progress.current
        batches = self.trainer.fit_loop.epoch_loop.batch_progress
        if epoch.started == epoch.processed:  # between two epochs, `batches` is the last epoch's
            return {"epoch": epoch.processed, "samples": 0}
        if batches.is_last_batch:
            return {"epoch": epoch.processed + 1, "samples": 0}
        assert self.batch_size is not None
        return {"epoch": epoch.processed, "samples": batches.current.ready * self.batch_size}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Start the next iteration in the epoch and after the samples that `state` names."""
        assert isinstance(self.sampler, EpochSampler)
        self.sampler.resume(**state)


class ImageDataModule(LightningDataModule):
    """Any dataset of <root>/{train,val,test}/<class>/<image>, seeded and cached.

    After `on_after_batch_transfer` a batch is (float32 (n, 3, image_size, image_size), int64
    (n,)): normalised images and labels. Training uses RandomResizedCrop and a horizontal flip,
    evaluation Resize + CenterCrop. Prediction runs over the test split.

    Args:
        root: the dataset's directory.
        image_size: height and width of what the model sees, in pixels.
        batch_size: samples per batch and process.
        num_workers: loader processes; 0 loads in the calling process.
        seed: seed of sample order and augmentation.
        cache_dir: folder of decode caches; it may be deleted at any time.
        cache_gib: largest decode cache in GiB; above it images are decoded for each batch.
        digests: whether `digest_log` records the order and the first pixels of training batches.
            It takes a little of each step, and does not change the training.
    """

    crop_area = crops.AREA
    """Smallest and largest fraction of an image's area that a training sample shows."""
    epochs_per_pass = 1
    """Number of epochs whose samples one iteration of the training loader yields. More than 1 is
    for measurements only: a batch may then be larger than the training split."""

    def __init__(
        self,
        root: str = "data",
        image_size: int = 64,
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
        cache_dir: str | Path = CACHES,
        cache_gib: float = 8.0,
        digests: bool = True,
    ) -> None:
        super().__init__()
        self.root = Path(root)
        self.image_size = image_size
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.cache_dir = Path(cache_dir)
        self.cache_gib = cache_gib
        self.digests = digests
        self.digest_log = DigestLog()
        self._folder: DatasetFiles | None = None
        self._samples: dict[str, Dataset[Any]] = {}
        self._loaders: dict[str, DataLoader[Any]] = {}

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names by label, available before `setup`."""
        if self._folder is None:
            self._folder = scan(self.root)
        return self._folder.classes

    def prepare_data(self) -> None:
        """Check the dataset and build its decode cache. Lightning calls this once per node.

        Raises:
            UserError: the folders are incomplete, or an image cannot be read.
        """
        self._cache(scan(self.root)).prepare()

    def setup(self, stage: str | None = None) -> None:
        """Map the decode cache for the splits of `stage`; for "fit", start a new digest log.

        Lightning calls this in every process.
        """
        self._folder = scanned = scan(self.root)
        images = self._cache(scanned).open()
        if stage == "fit":
            self.digest_log = DigestLog()  # Lightning loads a checkpoint's state after this
        for split in STAGE_SPLITS[stage]:
            offset, labels = scanned.offset(split), scanned.splits[split].labels
            self._samples[split] = SplitDataset(images, offset, labels, self._view(split, images))

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of this rank's training samples, at the Trainer's current epoch.

        The sampler gets the epoch here, because worker processes draw the first batches before
        Lightning calls `set_epoch`.
        """
        loader = self._loader("train", ResumableLoader)
        assert isinstance(loader, ResumableLoader)
        if self.trainer is not None:
            loader.trainer = self.trainer
            progress: Any = self.trainer.fit_loop.epoch_progress
            loader.load_state_dict({"epoch": progress.current.processed, "samples": 0})
        return loader

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of the validation split, in the order of the files."""
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of the test split, in the order of the files."""
        return self._loader("test")

    predict_dataloader = test_dataloader

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Add the indices of all ranks' training samples to the digest log, on the host."""
        if self._digesting():
            indices = gather_round_robin(batch.keys[:, 1])
            self.digest_log.record_order(int(batch.keys[0, 0]), indices)
        return batch

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """Crop, flip, resize and normalise on the device; return images and labels.

        Add the first training batches of all ranks to the digest log.
        """
        if self._digesting() and self.digest_log.wants_pixels:
            tensors = batch.images, batch.labels, batch.windows, batch.flips
            self.digest_log.record_pixels(*map(gather_round_robin, tensors))
        images = resample(batch.images, batch.windows, batch.flips, self.image_size)
        return normalise(images), batch.labels

    def teardown(self, stage: str | None = None) -> None:
        """Release the memory map and the loaders."""
        self._samples.clear()
        self._loaders.clear()

    def on_exception(self, exception: BaseException) -> None:
        """Release the memory map and the loaders: Lightning calls no teardown after an error.

        Raises:
            UserError: the cause is a loader process that died or hangs; the message names it.
        """
        self._samples.clear()
        loaders, self._loaders = self._loaders, {}
        worker_errors = [
            worker_error(exception, loader, partial(self._batch_of_worker, split, loader))
            for split, loader in loaders.items()
        ]
        for error in filter(None, worker_errors):
            for loader in loaders.values():
                shut_down_workers(loader)
            raise error from exception

    def _batch_of_worker(self, split: str, loader: DataLoader[Any], number: int) -> str:
        """Return words that name the first image of the batch that a loader process reads.

        `number` is that of the process. The words are empty if the image is not known.
        """
        positions = getattr(loader.dataset, "worker_positions", None)
        if positions is None or self._folder is None:
            return ""
        path = self._folder.splits[split].paths[int(positions[number])]
        return f"; its batch begins with {path}"

    def state_dict(self) -> dict[str, Any]:
        """Return the digest log. ResumableLoader saves the position in the order of samples."""
        return {"digest_log": self.digest_log.state_dict()} if self.digests else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the digest log that a checkpoint contains."""
        self.digest_log.load_state_dict(state_dict["digest_log"])

    def _digesting(self) -> bool:
        return self.digests and self.trainer is not None and bool(self.trainer.training)

    def _cache(self, files: DatasetFiles) -> DecodeCache:
        return DecodeCache(files, self.image_size, self.cache_dir, self.cache_gib)

    def _view(self, split: str, images: ImageStore) -> SampleView:
        stored = images.height, images.width
        if split == "train":
            return partial(
                crops.training_windows, stored=stored, seed=self.seed, area=self.crop_area
            )
        return partial(_evaluation_view, stored=stored, image_size=self.image_size)

    def _loader(self, split: str, kind: type[DataLoader[Any]] = DataLoader) -> DataLoader[Any]:
        rearm_sigchld()
        samples, trainer = self._samples[split], self.trainer
        if isinstance(samples, SplitDataset) and self.num_workers:
            positions = torch.zeros(self.num_workers, dtype=torch.int64)
            samples.worker_positions = positions.share_memory_()
        self._loaders[split] = loader = kind(
            samples,
            batch_size=self.batch_size,
            sampler=self._sampler(samples, shuffle=split == "train"),
            num_workers=self.num_workers,
            collate_fn=identity,
            pin_memory=trainer is not None and trainer.strategy.root_device.type == "cuda",
            persistent_workers=self.num_workers > 0,
            timeout=LOADER_TIMEOUT if self.num_workers else 0,
            worker_init_fn=ignore_lost_receiver,
        )
        return loader

    def _sampler(self, samples: Dataset[Any], shuffle: bool) -> EpochSampler:
        rank, ranks = 0, 1
        if self.trainer is not None:
            rank, ranks = self.trainer.global_rank, self.trainer.world_size
        return EpochSampler(
            samples, rank=rank, ranks=ranks, seed=self.seed, shuffle=shuffle,
            epochs=self.epochs_per_pass if shuffle else 1,
        )  # fmt: skip


def _evaluation_view(
    *,
    shapes: NDArray[np.int32],
    epochs: NDArray[np.int64],
    indices: NDArray[np.int64],
    stored: tuple[int, int],
    image_size: int,
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Return the same windows in every epoch, and no flips."""
    windows = crops.evaluation_windows(shapes, stored, image_size)
    return windows, np.zeros(len(indices), dtype=np.bool_)


def identity(batch: Any) -> Any:
    """Return `batch` as it is: a collate_fn for datasets that return complete batches."""
    return batch
