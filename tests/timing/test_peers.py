"""Peers: by a stand-in, which needs no package, and by those that are installed."""

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmark.common.modes import PEERS
from benchmark.common.parameters import Parameters
from benchmark.errors.user_error import UserError
from benchmark.timing import peers
from benchmark.timing.coroutine import Coroutine
from benchmark.training.fit import fine_tuner
from tests.support.fixtures import add_system_files

pytestmark = pytest.mark.usefixtures("small_network", "process_settings")


@pytest.fixture
def process_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restores what a peer sets in its process."""
    monkeypatch.setenv("USE_TORCH_XLA", "")
    monkeypatch.setitem(sys.modules, "torch_xla", None)
    cudnn, precision = torch.backends.cudnn, torch.get_float32_matmul_precision()
    before = cudnn.allow_tf32, cudnn.benchmark
    with warnings.catch_warnings():
        yield
    cudnn.allow_tf32, cudnn.benchmark = before
    torch.set_float32_matmul_precision(precision)


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The networks that a stand-in for timm is given."""
    networks: list[nn.Module] = []

    def fit(
        network: nn.Module, accelerator: str, parameters: Parameters, workers: int
    ) -> Coroutine:
        networks.append(network)
        return Coroutine(lambda: None)

    monkeypatch.setattr(peers, "_adapter", lambda name: fit)
    return networks


def test_a_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(peers.PACKAGES, "timm", ("no-such-package",))
    with pytest.raises(UserError, match=r"no-such-package is not installed\. make peers"):
        peers.versions("timm")


def test_a_peer_trains_the_same_network_in_torchs_default_memory_format(
    change, workspace, networks: list[nn.Module]
) -> None:
    parameters = change(model={"channels_last": True})
    peers.start("timm", "cpu", parameters, 1)
    (network,) = networks
    assert network.layer2[0].conv1.weight.is_contiguous()
    ours = fine_tuner(parameters, 3).network.state_dict()
    assert all(value.equal(ours[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(("precision", "allowed"), [("32-true", False), ("tf32", True)])
def test_a_peer_computes_in_the_precision_of_the_run(
    change, workspace, networks: list[nn.Module], precision: str, allowed: bool
) -> None:
    """By default torch allows TF32 in a GPU's convolutions."""
    torch.backends.cudnn.allow_tf32 = not allowed
    peers.start("timm", "cpu", change(train={"precision": precision}), 1)
    assert torch.backends.cudnn.allow_tf32 == allowed


@pytest.mark.parametrize(
    ("accelerator", "changes", "message"),
    [
        ("tpu", {}, "Peers are not measured on tpu"),
        ("cpu", {"train": {"precision": "bf16-true"}}, "Peers are not measured at bf16-true"),
        ("cpu", {"model": {"freeze_backbone": True}}, "A peer trains every layer"),
    ],
)
def test_parameters_that_no_peer_supports_are_refused(
    change, workspace, networks: list[nn.Module], accelerator: str, changes: Any, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        peers.start("timm", accelerator, change(**changes), 1)
    assert networks == []


def test_a_coroutine_runs_the_number_of_steps_that_it_is_given() -> None:
    steps: list[int] = []

    def fit() -> None:
        while not coroutine.over:
            coroutine.ready()
            steps.append(len(steps))
            coroutine.stepped()

    coroutine = Coroutine(fit)
    coroutine.start()
    counts = [len(steps)]
    for count in (1, 3):
        coroutine.run(count)
        counts.append(len(steps))
    coroutine.stop()
    assert counts == [0, 1, 4]
    assert coroutine.ended


@pytest.fixture(params=[*PEERS])
def installed(request: pytest.FixtureRequest) -> str:
    """A peer whose packages are installed."""
    try:
        peers.versions(request.param)
    except UserError as error:
        pytest.skip(error.what)
    return str(request.param)


def test_an_installed_peer_trains_in_full_batches(
    change, workspace, monkeypatch: pytest.MonkeyPatch, installed: str
) -> None:
    """Over epochs of three batches, with Adam: its first step moves weights by the learning rate,
    whatever the gradient is. Files of the system are no images for any of them."""
    add_system_files(Path("data"))
    networks: list[nn.Module] = []
    load = peers._adapter

    def build(network: nn.Module, accelerator: str, parameters: Parameters, workers: int) -> Any:
        networks.append(network)
        return load(installed)(network, accelerator, parameters, workers)

    monkeypatch.setattr(peers, "_adapter", lambda name: build)
    fit = peers.start(installed, "cpu", parameters := change(), 1)
    (network,) = networks
    initial = network.fc.bias.detach().clone()
    fit.run(1)
    moved = (network.fc.bias.detach() - initial).abs()
    assert moved == pytest.approx([parameters.train.learning_rate] * 3, rel=0.01)
    shapes: list[torch.Size] = []
    network.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape))
    fit.run(7)
    assert shapes == [(4, 3, 32, 32)] * 7
    assert all(value.isfinite().all() for value in network.state_dict().values())
    if isinstance(fit, Coroutine):
        fit.stop()


def test_an_installed_peer_has_mixed_precision_or_refuses(
    change, workspace, installed: str
) -> None:
    parameters = change(train={"precision": "bf16-mixed"})
    if installed == "fastai":
        with pytest.raises(UserError, match="fastai's mixed precision works on CUDA only"):
            peers.start(installed, "cpu", parameters, 1)
    else:
        peers.start(installed, "cpu", parameters, 1).run(1)
