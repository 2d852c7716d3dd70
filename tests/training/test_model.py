import os
import subprocess
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torchvision.models import resnet50

from benchmark.common import tensor_digests
from benchmark.common.parameters import AdamName, ModelParameters
from benchmark.errors.user_error import UserError
from benchmark.training import adam
from benchmark.training.model import FineTuner, MeanLoss
from benchmark.training.networks import build, check_batch_norm
from tests import REPOSITORY
from tests.support.forked_python import python

PLAIN = {"weights": "random", "freeze_backbone": False, "channels_last": False, "compile": False}
RANDOM = ModelParameters(**PLAIN)
HEAD = "35253458300883281dabe58786368928157664d1b85983824108dc2a32a538f2"
"""Digest of the head for 50 classes and seed 7, as of the bundled dataset's training."""


def tuner(classes: int = 3, seed: int = 7, **options: Any) -> FineTuner:
    return FineTuner(classes, seed, ModelParameters(**PLAIN | options), 1e-4)


def batch(size: int = 2, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    images = torch.randn(size, 3, 64, 64, generator=random)
    return images, torch.randint(classes, (size,), generator=random)


def test_it_is_torchvisions_resnet50_with_another_head() -> None:
    ours, theirs = build("resnet50", 7, 0, 224), resnet50(num_classes=7)
    shapes = [{name: v.shape for name, v in net.state_dict().items()} for net in (ours, theirs)]
    assert shapes[0] == shapes[1]


def initial_digest(seed: int = 7) -> str:
    """Return the digest of random weights and a new head."""
    return tensor_digests.state_digest(tuner(seed=seed).network.state_dict())


def test_weights_are_a_function_of_the_seed_alone() -> None:
    first = initial_digest()
    torch.rand(5)
    before = torch.get_rng_state()
    assert initial_digest() == first
    assert torch.equal(torch.get_rng_state(), before)
    assert initial_digest(seed=8) != first


def test_random_weights_have_the_same_bits_on_an_older_processor() -> None:
    """torch's normal numbers have other bits without AVX2, as on an ARM Mac."""
    program = (
        "import torch; assert torch.backends.cpu.get_cpu_capability() == 'DEFAULT'\n"
        "from tests.training.test_model import initial_digest; print(initial_digest())"
    )
    done = subprocess.run(
        [python(), "-c", program], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "ATEN_CPU_CAPABILITY": "default"},
    )  # fmt: skip
    assert done.stdout.strip() == initial_digest()


def test_random_weights_have_the_distribution_of_torchvisions_resnet50() -> None:
    """kaiming_normal_ with mode="fan_out" for convolutions, 1 and 0 for batch norm."""
    ours, theirs = tuner().network, resnet50(num_classes=3)
    modules = zip(ours.named_modules(), theirs.modules(), strict=True)
    for (name, module), other in modules:
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            count, std = module.weight.numel(), (2 / fan_out) ** 0.5
            assert module.weight.mean().abs() < 5 * std / count**0.5, name
            for weight in (module.weight, other.weight):
                assert weight.std().item() == pytest.approx(std, rel=5 / (2 * count) ** 0.5), name
        elif isinstance(module, nn.BatchNorm2d):
            state = other.state_dict()
            assert all(torch.equal(v, state[n]) for n, v in module.state_dict().items()), name
    convolutions = [m.weight.flatten()[:4096] for m in ours.modules() if isinstance(m, nn.Conv2d)]
    assert len({tensor_digests.state_digest({"": weights}) for weights in convolutions}) == 53


def test_a_new_head_is_torchs_and_stays_what_it_was() -> None:
    """Trainings from loaded weights can be repeated only while it does."""
    head = tuner(50).network.fc.state_dict()
    assert tensor_digests.state_digest(head) == HEAD
    torch.manual_seed(7)
    torch.testing.assert_close(head, resnet50(num_classes=50).fc.state_dict(), rtol=0, atol=2e-9)


@pytest.mark.parametrize(
    ("name", "device", "flags"),
    [
        ("auto", "cpu", (True, False)),
        ("auto", "cuda", (True, False)),
        ("auto", "mps", (True, False)),
        ("auto", "xla", (False, False)),
        ("fused", "cpu", (True, False)),
        ("foreach", "cpu", (False, True)),
        ("for-loop", "cpu", (False, False)),
    ],
)
def test_auto_selects_the_fastest_adam_of_a_device_type(
    name: AdamName, device: str, flags: tuple[bool, bool]
) -> None:
    options = adam.options(name, device)
    assert (options["fused"], options["foreach"]) == flags


@pytest.mark.parametrize("size", [32, 33])
def test_batches_of_one_are_refused_exactly_where_torch_cannot_train_on_them(size: int) -> None:
    network, image = build("resnet50", 3, 7, size), torch.randn(1, 3, size, size)
    try:
        network(image)
        works = True
    except ValueError:  # "Expected more than 1 value per channel when training"
        works = False
    check_batch_norm("resnet50", 6, 4, size)
    if works:
        check_batch_norm("resnet50", 5, 4, size)
    else:
        with pytest.raises(UserError, match="of 5 training images the last batch has one"):
            check_batch_norm("resnet50", 5, 4, size)
    assert works == (size == 33)


def test_every_parameter_gets_a_gradient() -> None:
    model = tuner()
    model.training_step(batch(), 0).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]


def test_a_frozen_backbone_gets_none_and_keeps_its_statistics() -> None:
    model = tuner(freeze_backbone=True)
    before = tensor_digests.state_digest(model.network.state_dict())
    model.training_step(batch(), 0).backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {"network.fc.weight", "network.fc.bias"}
    assert tensor_digests.state_digest(model.network.state_dict()) == before
    optimizer = model.configure_optimizers()
    assert sum(p.numel() for g in optimizer.param_groups for p in g["params"]) == 2048 * 3 + 3


def test_the_optimizer_is_the_named_adam_at_the_given_rate() -> None:
    optimizer = FineTuner(3, 7, RANDOM, 1e-4, "foreach").configure_optimizers()
    assert type(optimizer).__base__ is torch.optim.Adam  # AdamW is one too, but not at once
    assert [(g["lr"], g["foreach"], g["fused"]) for g in optimizer.param_groups] == [
        (1e-4, True, False)
    ]


def test_adam_has_torchs_bits_without_a_copy_of_a_gradient() -> None:
    networks = [convolutions() for _ in range(2)]
    both = [
        torch.optim.Adam(networks[0].parameters(), fused=True),
        adam.Adam(networks[1].parameters(), fused=True),
    ]
    for seed in range(3):
        for network, optimizer in zip(networks, both, strict=True):
            images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
            optimizer.zero_grad()
            network(images.to(memory_format=torch.channels_last)).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(*[n.state_dict() for n in networks], rtol=0, atol=0)
    states = [[s["exp_avg_sq"] for s in o.state_dict()["state"].values()] for o in both]
    torch.testing.assert_close(*states, rtol=0, atol=0)
    with torch.profiler.profile() as profile:
        both[1].step()
    assert "aten::clone" not in {event.name for event in profile.events() or ()}


def convolutions() -> nn.Module:
    """A network with weights of each kind that a ResNet has."""
    torch.manual_seed(0)
    convolutions = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1)
    network = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(180, 2))
    return network.to(memory_format=torch.channels_last)


def test_channels_last_computes_the_same_in_another_layout() -> None:
    plain, last = tuner().eval(), tuner(channels_last=True).eval()
    layout = torch.channels_last
    assert last.network.conv1.weight.is_contiguous(memory_format=layout)
    torch.testing.assert_close(last(batch()[0]), plain(batch()[0]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("classes", [2, 50])
def test_features_are_the_heads_inputs(classes: int) -> None:
    """Each image has a logit for each class, and probabilities that sum to 1."""
    model, (images, labels) = tuner(classes).eval(), batch()
    features = model.features(images)
    assert features.shape == (2, 2048)
    logits = model(images)
    assert torch.equal(model(features), logits)
    assert logits.shape == (2, classes)
    torch.testing.assert_close(model.predict_step((images, labels), 0).sum(1), torch.ones(2))


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_metrics_are_means_over_the_samples(stage: str) -> None:
    """Batches have three samples and one; the features' first numbers are the logits."""
    model = tuner(classes=7)
    torch.nn.init.eye_(model.network.fc.weight)
    torch.nn.init.zeros_(model.network.fc.bias)
    features = torch.zeros(4, 2048)
    features[:, :7] = torch.tensor([7, 6, 5, 4, 3, 2, 1])
    features[2, :2], features[3, 1] = torch.tensor([6, 7]), 0
    labels = torch.tensor([0, 0, 0, 1])
    trainer = pl.Trainer(accelerator="cpu", devices=1, logger=False, enable_progress_bar=False)
    batches = [(features[:3], labels[:3]), (features[3:], labels[3:])]
    loader = torch.utils.data.DataLoader(batches, batch_size=None)
    (metrics,) = getattr(trainer, stage)(model, loader, verbose=False)
    loss = torch.nn.functional.cross_entropy(features[:, :7], labels).item()
    values = [value for _, value in sorted(metrics.items())]
    assert values == pytest.approx([2 / 4, loss, 3 / 4])


def test_a_mean_loss_is_over_the_samples_and_keeps_nan() -> None:
    mean = MeanLoss()
    mean.update(torch.tensor(1.0), 8)
    mean.update(torch.tensor(10.0), 1)
    assert mean.compute() == 2
    mean.update(torch.tensor(float("nan")), 1)
    assert mean.compute().isnan()
