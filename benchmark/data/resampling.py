"""Crop, flip and antialiased resize of a complete batch as two matrix products per image.

Row o of an interpolation matrix contains the weights with which output pixel o reads the input
pixels of one axis: out = A_y . image . A_x^T. Neighbouring output pixels read neighbouring input
pixels, so the matrix is a band: it is cut into a few blocks, and each is multiplied with the
input that it reads. Shapes never change, no loop visits single images, and matrix products are
fast on every accelerator.
"""

import math
from functools import cache

import torch
from torch import Tensor

from benchmark.data.crops import UNIT

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Mean and deviation of ImageNet pixels in [0, 1] per RGB channel, as torchvision uses them."""
BLOCKS = 4
"""More blocks multiply fewer zeros, in smaller products; 4 are the fastest on a CPU."""
CPU_CHUNK = 8
"""Images that a CPU resamples at a time, so that their floats stay in its cache. A complete batch
at once takes a fifth longer at 224 px, and sometimes 20 ms more to allocate memory."""


def resample(images: Tensor, windows: Tensor, flips: Tensor, size: int) -> Tensor:
    """Crop each image to its window, flip it and resize it.

    Args:
        images: uint8 (n, height, width, 3).
        windows: int32 (n, 2, 4), see crops.py.
        flips: bool (n,), True where the image is mirrored left to right.
        size: height and width of the result in pixels.

    Returns:
        float32 (n, 3, size, size) on the images' device, values 0 to 255.
    """
    down = interpolation(windows[:, 0], images.shape[1], size)
    across = interpolation(windows[:, 1], images.shape[2], size)
    if images.device.type != "cpu":
        return _resample(images, flips, *down, *across)
    chunks = (tensor.split(CPU_CHUNK) for tensor in (images, flips, *down, *across))
    return torch.cat([_resample(*chunk) for chunk in zip(*chunks, strict=True)])


def _resample(
    images: Tensor,
    flips: Tensor,
    rows: Tensor,
    row_weights: Tensor,
    columns: Tensor,
    column_weights: Tensor,
) -> Tensor:
    """Interpolate rows, then columns, flip where `flips` is True; return (n, 3, height, width)."""
    count, height, width, channels = images.shape
    output = _interpolate(images.reshape(count, height, width * channels), rows, row_weights)
    transposed = output.reshape(count, -1, width, channels).transpose(1, 2)
    output = _interpolate(transposed.reshape(count, width, -1), columns, column_weights)
    output = output.reshape(count, output.shape[1], -1, channels)  # x, y
    output = torch.where(flips[:, None, None, None], output.flip(1), output)
    return output.permute(0, 3, 2, 1).contiguous()


def normalise(images: Tensor) -> Tensor:
    """Subtract ImageNet's mean from pixels of 0 to 255, (n, 3, h, w), and divide by its deviation.

    It changes `images` and returns them: new memory costs a CPU more than the arithmetic.
    """
    mean, std = _statistics(images.device)
    return images.sub_(mean).div_(std)


def interpolation(axis: Tensor, source: int, target: int) -> tuple[Tensor, Tensor]:
    """Return triangle-filter weights of one axis, as Pillow's BILINEAR and torchvision's antialias.

    The triangle is as wide as an output pixel covers input pixels, and at least 1.

    Args:
        axis: int32 (n, 4) = start, length, low, high in 1/65536 input pixel.
        source: number of input pixels, at least any length.
        target: number of output pixels.

    Returns:
        Indices int64 (n, blocks, span) of the input pixels that each block of output pixels
        reads; and weights float32 (n, blocks, target / blocks, span), whose rows sum to 1.
    """
    start, length, low, high = (axis.to(torch.float32) / UNIT)[:, :, None, None].unbind(1)
    scale = length / target
    reach = scale.clamp(min=1)
    blocks = math.gcd(target, BLOCKS)
    span = _span(source, target, blocks)
    centres = start + scale * _pixel_centres(target, axis.device).reshape(blocks, -1)
    first = (centres[:, :, :1] - reach).floor().clamp(min=0, max=source - span)
    pixels = (first + _pixel_centres(span, axis.device))[:, :, None]
    weights = 1 - (pixels - centres[..., None]).abs() / reach[..., None]
    weights = weights.clamp(min=0) * ((pixels > low[..., None]) & (pixels < high[..., None]))
    return pixels[:, :, 0].long(), weights / weights.sum(dim=3, keepdim=True)


def _interpolate(images: Tensor, pixels: Tensor, weights: Tensor) -> Tensor:
    """Interpolate images (n, source, values) along `source`; return float32 (n, target, values)."""
    count, source, values = images.shape
    rows = pixels + source * torch.arange(count, device=images.device)[:, None, None]
    inputs = images.reshape(count * source, values).index_select(0, rows.flatten())
    blocks = inputs.to(torch.float32).reshape(-1, pixels.shape[2], values)
    return torch.bmm(weights.flatten(0, 1), blocks).reshape(count, -1, values)


def _span(source: int, target: int, blocks: int) -> int:
    """Return how many input pixels a block reads at most: with the complete image as window."""
    scale = source / target
    return min(source, math.ceil((target // blocks - 1) * scale + 2 * max(scale, 1)) + 1)


@cache
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return MEAN and STD for pixels of 0 to 255, (3, 1, 1) on `device`.

    They are cached, because a copy in each step would make a GPU wait.
    """
    with torch.inference_mode(False):
        mean, std = (torch.tensor(values, device=device) for values in (MEAN, STD))
        return mean.mul(255)[:, None, None], std.mul(255)[:, None, None]


def _pixel_centres(count: int, device: torch.device) -> Tensor:
    return torch.arange(count, device=device, dtype=torch.float32) + 0.5
