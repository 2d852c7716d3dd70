"""timm's networks: refused where timm is not installed, and trained where it is."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from benchmark.common.parameters import ONE_DEVICE, Parameters, parse_parameters
from benchmark.common.results import read_result
from benchmark.errors.user_error import UserError
from benchmark.machine.accelerators import find
from benchmark.pipeline import replay, train
from benchmark.report import record
from benchmark.training import networks
from benchmark.training.fit import fine_tuner
from benchmark.training.schema import REPLAY, Replay
from tests.support.made_records import write_results
from tests.support.networks import train_one_step
from tests.support.trainings import CPU

installed = pytest.mark.skipif(
    find_spec("timm") is None, reason="timm is not installed (make .venv/peers)"
)
Change = Callable[..., Parameters]


def test_it_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"^model\.architecture = timm:resnet18: timm is not installed\. Install it"
    ):
        networks.check_image_size("timm:resnet18", 64, 2)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("DEFAULT", "name of torchvision's weights, and timm does not check a hash of its own"),
        ("source", "weights of resnet50, not of timm:resnet18; choose random or a file"),
    ],
)
def test_its_weights_are_random_or_in_a_file(raw_parameters, weights: str, message: str) -> None:
    raw_parameters["model"] |= {"architecture": "timm:resnet18", "weights": weights}
    with pytest.raises(UserError, match=rf"model\.weights = '{weights}': .*{message}"):
        parse_parameters(raw_parameters, "params.yaml")


def test_an_export_has_a_name_that_every_system_allows(change: Change, workspace: Path) -> None:
    write_results("cpu", machine="b" * 16, workload={"network": "timm:resnet18"})
    [exported] = record.export(change(accelerators=["cpu"]))
    assert exported.name == "cpu-timm-resnet18.json"
    [read] = record.read_exported([])
    assert read.network == "timm:resnet18"


@installed
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "head", "size", "masks"),
    [
        ("convnext_atto", "head.fc", 32, "no"),
        ("dla46_c", "fc", 32, "no"),  # its head is a convolution
        ("mobilenetv3_small_050", "classifier", 32, "no"),
        ("rexnet_100", "head.fc", 32, "yes"),
        ("swin_tiny_patch4_window7_224", "head.fc", 32, "yes"),
        ("vit_tiny_patch16_224", "head", 32, "no"),
    ],
)
def test_a_network_is_trained_for_a_step(name: str, head: str, size: int, masks: str) -> None:
    _, _, head_name, _, _, drawn = train_one_step(f"timm:{name}", size)
    assert (head_name, drawn) == (f"`{head}`", masks)


@installed
@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("resnet5O", 64, r"timm has no network of this name\. Similar names: timm:resnet50"),
        ("resnet18.a1_in1k", 64, r"timm has no network of this name\. .*: timm:resnet18,"),
        ("xcit_nano_12_p16_224", 50, r"cannot process .* size that it can is 64\."),
        ("levit_128s", 224, "head is not one Linear or Conv2d layer"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_line(name: str, size: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        networks.check_batch_norm(f"timm:{name}", 8, 4, size)


@installed
def test_activations_in_a_batch_norm_are_not_lost(change: Change) -> None:
    """torch's SyncBatchNorm would replace timm's BatchNormAct2d without its activation."""
    two = {"devices": 2, "num_nodes": 1, "sync_batchnorm": True}
    efficientnet = {"architecture": "timm:efficientnet_b0"}
    with pytest.raises(UserError, match="its BatchNormAct2d cannot be synchronised"):
        fine_tuner(change(model=efficientnet, trainer=two), 3)
    fine_tuner(change(model=efficientnet, trainer=ONE_DEVICE.model_dump()), 3)
    fine_tuner(change(model={"architecture": "timm:resnet10t"}, trainer=two), 3)


@installed
def test_a_file_is_read_and_a_training_repeated(change: Change, workspace: Path) -> None:
    name = "timm:resnet10t"
    saved = networks.build(name, 10, 8, 32).state_dict()
    save_file(saved, "weights.safetensors")
    model = {"architecture": name, "weights": "weights.safetensors"}
    parameters = change(model=model, train={"max_epochs": 1})
    loaded = fine_tuner(parameters, 3)
    assert loaded.origin == "weights of weights.safetensors (safetensors); left out: fc"
    assert torch.equal(loaded.network.state_dict()["conv1.0.weight"], saved["conv1.0.weight"])
    train.run(find("cpu"), parameters)
    replay.run(find("cpu"), parameters)
    replayed = read_result(CPU.own.replay, REPLAY)
    assert isinstance(replayed, Replay)
    assert replayed.bitwise
