"""The benchmark's own LightningModule, with a small network."""

from benchmark.common.parameters import ModelParameters
from benchmark.training.model import FineTuner


def make_fine_tuner(seed: int) -> FineTuner:
    """Return a FineTuner of MobileNetV3, which has batch norm and dropout, for three classes."""
    model = ModelParameters(
        architecture="mobilenet_v3_small", weights="random", freeze_backbone=False,
        channels_last=False, compile=False,
    )  # fmt: skip
    return FineTuner(3, seed, model, 1e-3)
