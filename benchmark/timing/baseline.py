"""The usual input path: torchvision's ImageFolder, PIL transforms and loader workers."""

import os

from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmark.common.parameters import DataParameters
from benchmark.data.datamodule import LOADER_TIMEOUT
from benchmark.data.resampling import MEAN, STD
from benchmark.machine import processors


def loader(data: DataParameters, pin_memory: bool) -> DataLoader[tuple[Tensor, Tensor]]:
    """Return a shuffling loader of the training split's full batches.

    A batch is float32 (batch_size, 3, image_size, image_size) and int64 (batch_size,). There is a
    worker for each core, as PyTorch's warnings suggest.
    """
    return DataLoader(
        dataset(data),
        batch_size=data.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=processors.processor_count(),
        pin_memory=pin_memory,
        persistent_workers=True,
        timeout=LOADER_TIMEOUT,
    )


def dataset(data: DataParameters) -> ImageFolder:
    """Return the training split, with images that are cropped, flipped at random and normalised.

    A sample is float32 (3, image_size, image_size) and its label, an int.
    """
    steps = [
        transforms.RandomResizedCrop(data.image_size),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    return ImageFolder(os.path.join(data.root, "train"), transforms.Compose(steps))
