"""ResNet50's backbone is recognised by the real names and shapes."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision import models

from benchmark.errors.user_error import UserError
from benchmark.training import backbone


@pytest.fixture(scope="module")
def network() -> models.ResNet:
    return models.resnet50(num_classes=2)


def state_of(name: str) -> dict[str, Tensor]:
    """Return a state dict of ones with the names and shapes of a network."""
    with torch.device("meta"):
        state = models.get_model(name).state_dict()
    return {n: torch.ones((), dtype=value.dtype).expand(value.shape) for n, value in state.items()}


def test_resnet50_fits(network: models.ResNet) -> None:
    assert backbone.load(network, state_of("resnet50"), "a file", "resnet50") == "left out: fc"
    ones = (value for name, value in network.state_dict().items() if not name.startswith("fc."))
    assert all(bool((value == 1).all()) for value in ones)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("resnet18", "missing"),
        ("resnet101", "layer3.6.conv1.weight is unknown, and 305 more"),  # and all of ResNet50's
        ("wide_resnet50_2", r"layer1.0.conv1.weight has shape \(128, 64, 1, 1\)"),
        ("resnext50_32x4d", r"layer1.0.conv1.weight has shape \(128, 64, 1, 1\)"),
        ("vit_b_16", "no tensor of it has a name of resnet50's"),
    ],
)
def test_its_relatives_do_not(network: models.ResNet, name: str, complaint: str) -> None:
    with pytest.raises(UserError, match=f"a file.*{complaint}"):
        backbone.load(network, state_of(name), "a file", "resnet50")


def test_a_detectors_backbone_fits(network: models.ResNet) -> None:
    """A detector has frozen batch norm without counters, and a feature pyramid to leave out."""
    body = {n: v for n, v in state_of("resnet50").items() if "fc." not in n and "num_" not in n}
    pyramid = {"backbone.fpn.layer_blocks.0.weight": torch.ones(1), "rpn.weight": torch.ones(1)}
    detector: dict[str, Any] = {f"backbone.body.{n}": v for n, v in body.items()} | pyramid
    assert backbone.load(network, detector, "a file", "resnet50") == (
        "prefix 'backbone.body.'; left out: backbone, rpn; set to 0: num_batches_tracked"
    )


@pytest.mark.parametrize("bare", [False, True])
def test_two_encoders_are_two_candidates(network: models.ResNet, bare: bool) -> None:
    """Momentum contrast writes two encoders; one of them may lack the prefix."""
    query = state_of("resnet50")
    key = {name: value + 1 for name, value in query.items()}
    prefixes = ("", "module.encoder_k.") if bare else ("encoder_q.", "encoder_k.")
    both = {prefixes[0] + n: v for n, v in query.items()} | {
        prefixes[1] + n: v for n, v in key.items()
    }
    with pytest.raises(
        UserError, match=f"different weights.*{'the top' if bare else 'encoder_q'}.*encoder_k"
    ):
        backbone.load(network, both, "a file", "resnet50")
