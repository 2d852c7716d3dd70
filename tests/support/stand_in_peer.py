"""A stand-in for timm_peer.py: a plain loop over ImageFolder, which does not need timm."""

import torch
from torch import nn

from benchmark.common.parameters import Parameters
from benchmark.timing import baseline
from benchmark.timing.modes import LoaderOnly, Loop, TrainingStep


def fit(network: nn.Module, accelerator: str, parameters: Parameters, workers: int) -> Loop:
    """Prepare to train `network`."""
    optimizer = torch.optim.Adam(network.parameters(), lr=parameters.train.learning_rate)
    step = TrainingStep(accelerator, network, optimizer, parameters.train.precision)
    loader = baseline.loader(parameters.data, pin_memory=False, workers=workers)
    return Loop(step, LoaderOnly(loader, len(loader)), torch.device("cpu"))
