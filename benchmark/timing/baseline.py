"""The usual input path: torchvision's ImageFolder, PIL transforms and loader workers."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmark.common.open_files import files_left
from benchmark.common.parameters import DataParameters
from benchmark.data.datamodule import LOADER_TIMEOUT
from benchmark.data.folder import DatasetFiles, scan
from benchmark.data.resampling import MEAN, STD
from benchmark.errors.loader_errors import ignore_lost_receiver
from benchmark.machine import processors

RESERVED_FILES = 64
"""Open files that are left for everything but loaders."""
FILES_PER_WORKER = 8
"""Most open files that a worker takes in its parent: 4 for queues and its end, and one for each
tensor of the two batches that it may have prefetched."""


class ListedImages(ImageFolder):  # type: ignore[misc]
    """The training split as torchvision's ImageFolder, with the images that `scan` lists only.

    ImageFolder itself would also open hidden files such as "._x.png", and fail.
    """

    def __init__(self, files: DatasetFiles, transform: Callable[[Image.Image], Tensor]) -> None:
        self._files = files
        super().__init__(os.path.join(files.root, "train"), transform)

    def find_classes(self, directory: str) -> tuple[list[str], dict[str, int]]:
        """Return the names of the classes, and each name's label."""
        classes = [*self._files.classes]
        return classes, {name: label for label, name in enumerate(classes)}

    def make_dataset(self, directory: str, *_: Any, **__: Any) -> list[tuple[str, int]]:
        """Return path and label of each training image."""
        return training_samples(self._files)


def loader(
    data: DataParameters, pin_memory: bool, workers: int
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Return a shuffling loader of the training split's full batches, with `workers` processes.

    A batch is float32 (batch_size, 3, image_size, image_size) and int64 (batch_size,).
    """
    return DataLoader(
        dataset(data),
        batch_size=data.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        pin_memory=pin_memory,
        persistent_workers=True,
        timeout=LOADER_TIMEOUT,
        worker_init_fn=ignore_lost_receiver,
    )


def dataset(data: DataParameters) -> ListedImages:
    """Return the training split, with images that are cropped, flipped at random and normalised.

    A sample is float32 (3, image_size, image_size) and its label, an int.
    """
    steps = [
        transforms.RandomResizedCrop(data.image_size),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    return ListedImages(scan(Path(data.root)), transforms.Compose(steps))


def training_samples(files: DatasetFiles) -> list[tuple[str, int]]:
    """Return path and label of each training image."""
    split = files.splits["train"]
    return [(str(path), label) for path, label in zip(split.paths, split.labels, strict=True)]


def worker_count(loaders: int, reserved: int = 0) -> int:
    """Return the number of workers for each of `loaders` loaders: one for each processor.

    PyTorch's warnings suggest that number. It is smaller if the limit of open files is too low;
    then a warning is printed. `reserved` is the number of files that other loaders will open.
    """
    processor_count = processors.processor_count()
    allowed = (files_left() - RESERVED_FILES - reserved) // (FILES_PER_WORKER * max(1, loaders))
    if allowed >= processor_count:
        return processor_count
    print(
        f"warning: the limit of open files leaves room for {max(1, allowed)} workers in each "
        f"ImageFolder loader, not one for each of {processor_count} processors: raise it "
        "(ulimit -n 65536).",
        file=sys.stderr,
    )
    return max(1, allowed)
