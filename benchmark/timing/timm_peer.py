"""The peer `timm`: its loader and a plain loop, as in timm's training script."""

from pathlib import Path
from typing import Any

import timm.data
import torch
from torch import nn

from benchmark.common.parameters import DataParameters, Parameters
from benchmark.data.folder import scan
from benchmark.data.resampling import MEAN, STD
from benchmark.machine import accelerators
from benchmark.timing.baseline import training_samples
from benchmark.timing.modes import LoaderOnly, Loop, TrainingStep


def fit(network: nn.Module, accelerator: str, parameters: Parameters, workers: int) -> Loop:
    """Return a plain loop that trains `network` on timm's loader, which normalises on the device.

    It delivers full batches, with a random crop and a flip only, as in all modes.
    """
    data, device = parameters.data, accelerators.device(accelerator)
    torch.backends.cudnn.benchmark = True  # as timm's script does
    network.to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=parameters.train.learning_rate)
    step = TrainingStep(accelerator, network, optimizer, parameters.train.precision)
    batches = loader(data, device, workers)
    return Loop(step, LoaderOnly(batches, len(batches)), device)


def loader(data: DataParameters, device: torch.device, workers: int) -> Any:
    """Return timm's loader of the training split, with `workers` processes.

    It yields normalised images, float32 (n, 3, h, w), and labels, int64 (n,), on `device`.
    """
    return timm.data.create_loader(
        # timm's own listing has hidden files, and lacks .webp and .bmp.
        timm.data.ImageDataset(data.root, reader=training_samples(scan(Path(data.root)))),
        input_size=(3, data.image_size, data.image_size),
        batch_size=data.batch_size,
        is_training=True,
        color_jitter=0.0,
        interpolation="bilinear",
        mean=MEAN,
        std=STD,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        device=device,
    )
