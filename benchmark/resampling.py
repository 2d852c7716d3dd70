"""Crop, flip and antialiased resize of a whole batch as two matrix products per image.

Row o of an interpolation matrix holds the weights with which output pixel o reads the input
pixels of one axis: out = A_y . image . A_x^T. The shapes never change, there is no loop over
samples, and matrix products are what every accelerator does best.
"""

from functools import cache

import torch
from torch import Tensor

from benchmark.crops import UNIT

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of ImageNet's pixels in [0, 1], per RGB channel: what torchvision's weights were trained on."""


def resample(images: Tensor, windows: Tensor, flips: Tensor, size: int) -> Tensor:
    """Show each image through its window.

    Args:
        images: uint8 (n, height, width, 3).
        windows: int32 (n, 2, 4), see crops.py.
        flips: bool (n,), True where the image is mirrored left to right.
        size: height and width of the result in pixels.

    Returns:
        float32 (n, 3, size, size) on the images' device, values 0 to 255.
    """
    count, height, width, channels = images.shape
    rows = interpolation(windows[:, 0], height, size)
    columns = interpolation(windows[:, 1], width, size)
    columns = torch.where(flips[:, None, None], columns.flip(1), columns)
    tall = torch.bmm(rows, images.to(torch.float32).reshape(count, height, width * channels))
    planes = tall.reshape(count, size, width, channels).permute(0, 3, 1, 2)
    planes = planes.reshape(count, channels * size, width)
    return torch.bmm(planes, columns.transpose(1, 2)).reshape(count, channels, size, size)


def normalise(images: Tensor) -> Tensor:
    """Pixels of 0 to 255, (n, 3, h, w), less ImageNet's mean, over its standard deviation."""
    mean, std = _statistics(images.device)
    return (images - mean) / std


def interpolation(axis: Tensor, source: int, target: int) -> Tensor:
    """Triangle-filter weights of one axis, as Pillow's BILINEAR and torchvision's antialias.

    The triangle is as wide as an output pixel covers input pixels, and at least 1.

    Args:
        axis: int32 (n, 4) = start, length, low, high in 1/65536 input pixel.
        source: number of input pixels.
        target: number of output pixels.

    Returns:
        float32 (n, target, source); each row sums to 1.
    """
    start, length, low, high = (axis.to(torch.float32) / UNIT)[:, :, None, None].unbind(1)
    scale = length / target
    centre = start + scale * (_pixel_centres(target, axis.device)[:, None])
    pixel = _pixel_centres(source, axis.device)
    weights = (1 - (pixel - centre).abs() / scale.clamp(min=1)).clamp(min=0)
    weights = weights * ((pixel > low) & (pixel < high))
    return weights / weights.sum(dim=2, keepdim=True)


@cache
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """MEAN and STD for pixels of 0 to 255. Kept: a copy to a GPU in each step would wait for it."""
    with torch.inference_mode(False):
        mean, std = (torch.tensor(values, device=device) for values in (MEAN, STD))
        return mean.mul(255)[:, None, None], std.mul(255)[:, None, None]


def _pixel_centres(count: int, device: torch.device) -> Tensor:
    return torch.arange(count, device=device, dtype=torch.float32) + 0.5
