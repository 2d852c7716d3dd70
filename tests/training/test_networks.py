"""One network of each family of torchvision is built, given a head and trained for a step."""

import re
from itertools import product
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torchvision import models

from benchmark.common import tensor_digests
from benchmark.errors.user_error import UserError
from benchmark.machine.accelerators import find
from benchmark.training import backbone, networks
from benchmark.training.batch_norm import HostSyncBatchNorm2d
from benchmark.training.callbacks import ResumableBackboneFinetuning, SeedMasks
from benchmark.training.fit import Fit
from tests import REPOSITORY
from tests.support.networks import CLASSES, SMALLEST_IMAGE, batch, train_one_step, tuner

FAMILIES = {
    "alexnet": ("classifier.6", 63),
    "convnext_tiny": ("classifier.2", 32),
    "densenet121": ("classifier", 32),
    "efficientnet_b0": ("classifier.1", 32),
    "googlenet": ("fc", 32),
    "inception_v3": ("fc", 75),
    "maxvit_t": ("classifier.5", 221),
    "mnasnet0_5": ("classifier.1", 32),
    "mobilenet_v2": ("classifier.1", 32),
    "mobilenet_v3_small": ("classifier.3", 32),
    "regnet_y_400mf": ("fc", 32),
    "resnet18": ("fc", 32),
    "resnext50_32x4d": ("fc", 32),
    "shufflenet_v2_x0_5": ("fc", 32),
    "squeezenet1_1": ("classifier.1", 32),
    "swin_t": ("head", 32),
    "swin_v2_t": ("head", 32),
    "vgg11": ("classifier.6", 32),
    "vit_b_32": ("heads.head", 32),
}
"""Names of a network's head, and the smallest image size with which it can be trained."""


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_is_trained_for_a_step(name: str) -> None:
    expected, size = FAMILIES[name]
    _, _, head, _, _, _ = train_one_step(name, size)
    assert head == f"`{expected}`"
    assert size == SMALLEST_IMAGE or not networks.works(name, size - 1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FAMILIES.keys() - {"alexnet", "vgg11"}))
def test_a_file_of_each_family_is_read(name: str) -> None:
    """AlexNet and VGG have heads like MobileNet's, and half a gigabyte of weights."""
    size = FAMILIES[name][1]
    network = networks.build(name, 2, 7, size)
    saved = {
        n: torch.ones((), dtype=value.dtype).expand(value.shape)
        for n, value in networks.without_values(name, 5, size).state_dict().items()
    }
    head = networks.head_name(network)
    before = tensor_digests.state_digest(network.get_submodule(head).state_dict())
    assert backbone.load(network, {"model": saved}, "a file", name) == (
        f"entry 'model'; left out: {head}"
    )
    assert tensor_digests.state_digest(network.get_submodule(head).state_dict()) == before
    loaded = network.state_dict()
    assert all(torch.equal(loaded[n], v) for n, v in saved.items() if not n.startswith(f"{head}."))


def test_auxiliary_heads_of_a_file_are_left_out() -> None:
    with torch.device("meta"):
        saved = models.googlenet(aux_logits=True, init_weights=True).state_dict()
    ones = {n: torch.ones((), dtype=v.dtype).expand(v.shape) for n, v in saved.items()}
    network = networks.build("googlenet", 2, 7, 64)
    origin = backbone.load(network, ones, "a file", "googlenet")
    assert origin == "left out: aux1, aux2, fc"


@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        ("densenet121", [(".norm1.", ".norm.1."), (".conv2.", ".conv.2.")]),
        ("vit_b_32", [(".mlp.0.", ".mlp.linear_1."), (".mlp.3.", ".mlp.linear_2.")]),
    ],
)
def test_the_older_names_of_torchvisions_own_files_are_read(
    name: str, pairs: list[tuple[str, str]]
) -> None:
    size = FAMILIES[name][1]
    network, saved = networks.build(name, 2, 7, size), networks.build(name, 2, 8, size).state_dict()
    older: dict[str, Any] = {}
    for key, value in saved.items():
        for new, old in pairs:
            key = key.replace(new, old) if "denselayer" in key or "mlp" in key else key
        older[key] = value
    assert older.keys() != saved.keys()
    backbone.load(network, older, "a file", name)
    key = next(n for n in saved if "denselayer1.conv2" in n or ".mlp.3." in n)
    assert torch.equal(network.state_dict()[key], saved[key])


def test_a_file_of_another_network_names_both() -> None:
    network = networks.build("mobilenet_v3_small", 2, 7, 64)
    saved = networks.build("mobilenet_v2", 2, 7, 64).state_dict()
    with pytest.raises(UserError, match="a file does not contain mobilenet_v3_small's weights: "):
        backbone.load(network, saved, "a file", "mobilenet_v3_small")


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("resnet5O", 64, r"no network of this name. Similar names: resnet50, .*docs/networks"),
        ("quantized", 64, r"no network of this name"),
        ("deeplabv3_resnet50", 224, r"not a classifier in float32. Similar names: "),
        ("quantized_resnet50", 224, r"not a classifier in float32. Similar names: .*resnet50"),
        ("alexnet", 32, r"data.image_size = 32: alexnet cannot .* size that it can is 63\."),
        ("vit_b_16", 100, r"vit_b_16 cannot process .* next larger size that it can is 112\."),
        ("maxvit_t", 64, r"maxvit_t cannot process images of this size.*size that it can is 221"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_line(name: str, size: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        networks.check_batch_norm(name, 8, 4, size)
    if size < 224:
        with pytest.raises(UserError, match=message):
            networks.check_image_size(name, size, 2, training=False)
    if name != "alexnet":  # which is built for every size
        with pytest.raises(UserError, match=message):
            tuner(name, size)


@pytest.mark.parametrize(("name", "size"), [("resnet18", 32), ("vgg11_bn", 32), ("vit_b_32", 32)])
def test_one_image_is_refused_exactly_where_batch_norm_cannot_train_on_it(
    name: str, size: int
) -> None:
    """VGG's last batch norm has four pixels, and a vision transformer has none."""
    if name == "resnet18":
        with pytest.raises(UserError, match=r"last batch has one.*or image_size = 33"):
            networks.check_batch_norm(name, 5, 4, size)
    else:
        networks.check_batch_norm(name, 5, 4, size)


@pytest.mark.parametrize("name", ["densenet121", "shufflenet_v2_x0_5", "efficientnet_b0"])
def test_batch_norm_is_replaced_and_keeps_its_constants(name: str) -> None:
    """Two of these have no argument for it; the third has a momentum of its own elsewhere."""
    plain = networks.build(name, 2, 7, 64)
    replaced = networks.build(name, 2, 7, 64, HostSyncBatchNorm2d)
    count = 0
    for one, other in zip(plain.modules(), replaced.modules(), strict=True):
        if isinstance(one, nn.BatchNorm2d):
            assert type(other) is HostSyncBatchNorm2d
            assert (one.eps, one.momentum) == (other.eps, other.momentum)
            count += 1
    assert count
    assert tensor_digests.state_digest(plain.state_dict()) == tensor_digests.state_digest(
        replaced.state_dict()
    )


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "vit_b_32", "squeezenet1_1"])
def test_only_the_head_is_trained_before_the_backbone_is_unfrozen(name: str) -> None:
    model = tuner(name, 32)
    tuning = ResumableBackboneFinetuning(1, 1e-5)
    tuning.freeze_before_training(model)
    head = networks.head_name(model.network)
    trained = {n for n, p in model.network.named_parameters() if p.requires_grad}
    assert trained == {f"{head}.weight", f"{head}.bias"}
    tuning.make_trainable(model.backbone)
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "squeezenet1_1"])
def test_a_frozen_network_draws_no_masks(name: str) -> None:
    model = tuner(name, 32, freeze_backbone=True)
    features = model.features(batch(32)[0])
    assert torch.equal(model(features), model(features))
    assert torch.equal(model(features), model(batch(32)[0]))


def test_random_weights_are_those_of_the_seed() -> None:
    one, other = (tuner("mobilenet_v3_small", 32).network.state_dict() for _ in range(2))
    assert tensor_digests.state_digest(one) == tensor_digests.state_digest(other)
    assert tensor_digests.state_digest(one) != tensor_digests.state_digest(
        networks.build("mobilenet_v3_small", CLASSES, 8, 32).state_dict()
    )


@pytest.mark.parametrize(
    ("name", "draws"), [("resnet50", False), ("densenet121", False), ("vit_b_16", False)]
    + [(name, True) for name in ("alexnet", "convnext_tiny", "efficientnet_b0", "swin_t")],
)  # fmt: skip
def test_networks_with_random_layers_are_recognised(name: str, draws: bool) -> None:
    assert networks.draws_masks(networks.without_values(name, 2, 224)) == draws


def test_dropout_without_a_layer_is_recognised() -> None:
    with torch.device("meta"):
        assert networks.draws_masks(models.densenet121(drop_rate=0.1))
        assert not networks.draws_masks(models.densenet121())


class Position:
    """What SeedMasks reads of a Trainer."""

    def __init__(self, step: int, rank: int) -> None:
        self.global_step, self.global_rank = step, rank


def test_masks_are_a_function_of_seed_step_and_rank() -> None:
    masks = set()
    for seed, step, rank in product((7, 8), (0, 1), (0, 1)):
        drawn = []
        for _ in range(2):
            torch.rand(3)
            SeedMasks("cpu", seed).on_train_batch_start(Position(step, rank))  # type: ignore[arg-type]
            drawn.append(tuple(torch.nn.functional.dropout(torch.ones(64)).tolist()))
        assert drawn[0] == drawn[1]
        masks.add(drawn[0])
    assert len(masks) == 8


def test_a_network_without_random_layers_has_no_seeds(parameters, small_network) -> None:
    def callbacks(fit: Fit) -> list[type[pl.Callback]]:
        return [type(callback) for callback in fit.trainer.callbacks]  # type: ignore[attr-defined]

    model = parameters.model.model_copy(update={"architecture": "squeezenet1_1"})
    other = parameters.model_copy(update={"model": model})
    assert SeedMasks not in callbacks(Fit(find("cpu"), parameters, None))
    assert SeedMasks in callbacks(Fit(find("cpu"), other, None))


def test_the_page_has_a_row_for_each_network() -> None:
    """`python -m tests.soak.networks --write` adds a network that is new in torchvision."""
    page = (REPOSITORY / "docs/networks.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == models.list_models(module=models)
