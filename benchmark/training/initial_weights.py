"""Draw a head, and a ResNet's other weights, with the same bits on every machine.

torch's own initialisation has other bits on processors without AVX2.
"""

import math

import torch
from torch import nn
from torchvision.models import ResNet

from benchmark.data.randomness import normals


@torch.no_grad()
def draw_backbone(network: ResNet, seed: int) -> None:
    """Draw the weights of all convolutions in place, from the distribution that torchvision uses.

    It is normal, with mean 0 and variance 2 / fan_out. Source: He et al., 2015.
    """
    for number, layer in enumerate(_convolutions(network)):
        weight = layer.weight
        fan_out = weight.shape[0] * weight[0, 0].numel()
        values = torch.from_numpy(normals(seed, number, weight.numel()))
        weight.copy_(values.view(weight.shape) * math.sqrt(2 / fan_out))


@torch.no_grad()
def draw_head(network: nn.Module, name: str, seed: int) -> None:
    """Draw the layer `name` in place, with the bits that torch gives ResNet's on AVX2.

    Its weights and biases are uniform in +- 1 / sqrt(inputs), as torch initialises every Linear and
    Conv2d. torch draws a ResNet's after the weights of all convolutions, from one generator.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.rand(sum(c.weight.numel() for c in _convolutions(network)), generator=generator)
    gain = nn.init.calculate_gain("leaky_relu", math.sqrt(5))
    weight = network.get_parameter(f"{name}.weight")
    inputs = math.sqrt(weight[0].numel())
    bounds = {"weight": math.sqrt(3) * (gain / inputs), "bias": 1 / inputs}
    for kind, parameter in network.get_submodule(name).named_parameters():
        bound = bounds[kind]
        uniform = torch.rand(parameter.shape, generator=generator).double()
        bound32 = torch.tensor(bound).double()  # rounded to 32 bits
        # Exact in 64 bits, then rounded once: a fused multiply-add, as AVX2 has.
        parameter.copy_(uniform * (2 * bound32) - bound32)


def _convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
