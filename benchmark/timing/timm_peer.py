"""timm's loader and a plain loop, as timm's training script has them."""

import timm.data
import torch
from torch import Tensor, nn

from benchmark.common.parameters import Parameters
from benchmark.data.resampling import MEAN, STD
from benchmark.machine import accelerators, processors
from benchmark.timing.modes import LoaderOnly, Loop, TrainingStep


def fit(network: nn.Module, accelerator: str, parameters: Parameters) -> Loop:
    """Ready to train `network`: the loader normalises on the device, and brings a batch ahead."""
    device = accelerators.device(accelerator)
    torch.backends.cudnn.benchmark = True  # as timm's script does
    network.to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=parameters.train.learning_rate)
    step = TrainingStep(accelerator, network, optimizer, parameters.train.precision)
    loader = _loader(parameters, device)
    return Loop(step, LoaderOnly(loader, len(loader)), device, _as_it_is)


def _loader(parameters: Parameters, device: torch.device) -> timm.data.loader.PrefetchLoader:
    """Whole batches; a crop and a flip are all of timm's augmentation that the others have too."""
    data = parameters.data
    return timm.data.create_loader(
        timm.data.create_dataset("", root=data.root, split="train"),
        input_size=(3, data.image_size, data.image_size),
        batch_size=data.batch_size,
        is_training=True,
        color_jitter=0.0,
        interpolation="bilinear",
        mean=MEAN,
        std=STD,
        num_workers=processors.cores(),
        pin_memory=device.type == "cuda",
        device=device,
    )


def _as_it_is(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return images, labels
