"""The control differs from the training in its weights, and in nothing that it should share."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import save_file

from benchmark.common.parameters import Parameters
from benchmark.common.results import Unavailable, write_result
from benchmark.errors.user_error import UserError
from benchmark.machine.accelerators import find
from benchmark.pipeline import control, train
from tests.support.trainings import CPU, read_training
from tests.training.test_model import tuner

pytestmark = pytest.mark.usefixtures("small_network")


@pytest.fixture
def learned(workspace: Path) -> str:
    """A file of weights that differ from those of the seed."""
    save_file(tuner(9, seed=1).network.state_dict(), "learned.safetensors")
    return "learned.safetensors"


def test_it_differs_in_its_weights_alone(
    change: Callable[..., Parameters], learned: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parameters = change(model={"weights": learned})
    train.run(find("cpu"), parameters)
    before = CPU.own.result.read_bytes()
    capsys.readouterr()
    control.run(find("cpu"), parameters)
    assert capsys.readouterr().out.startswith("cpu control epoch 1/3: ")
    assert CPU.own.result.read_bytes() == before
    trained, controlled = read_training(CPU.own), read_training(CPU.control)
    assert controlled.steps == trained.steps
    assert controlled.digests.order == trained.digests.order
    assert controlled.digests.pixels == trained.digests.pixels
    assert controlled.digests.initial_weights != trained.digests.initial_weights
    assert controlled.digests.weights != trained.digests.weights


def test_from_random_weights_it_is_the_training_itself(change, workspace: Path) -> None:
    train.run(find("cpu"), change())
    control.run(find("cpu"), change())
    trained, controlled = read_training(CPU.own), read_training(CPU.control)
    assert controlled.digests == trained.digests
    assert controlled.test == trained.test


def test_it_takes_as_many_epochs_as_the_training_did(change, workspace: Path) -> None:
    """The training may stop early, and the control may not improve for long."""
    train.run(find("cpu"), change())
    write_result(CPU.own.result, read_training(CPU.own).model_copy(update={"epochs": 5}))
    control.run(find("cpu"), change(train={"patience": 1, "learning_rate": 10}))
    assert read_training(CPU.control).epochs == 5


@pytest.mark.parametrize(
    "changed",
    [{"model": {"freeze_backbone": True}}, {"train": {"unfreeze_epoch": 1}}],
)
def test_all_of_its_layers_train_from_the_start(change, workspace: Path, changed) -> None:
    train.run(find("cpu"), change(**changed))
    control.run(find("cpu"), change(**changed))
    with CPU.control.tensors.open(newline="") as file:
        digests = {name: steps for name, *steps in csv.reader(file)}
    assert digests["conv1.weight"][0] != digests["conv1.weight"][1]
    assert digests["bn1.weight"][0] != digests["bn1.weight"][1]


def test_without_the_training_there_is_nothing_to_control(change, workspace: Path) -> None:
    with pytest.raises(UserError, match=r"reports/train/cpu/own\.json is not here"):
        control.run(find("cpu"), change())
    write_result(CPU.own.result, Unavailable(accelerator="cpu", reason="gone"))
    with pytest.raises(UserError, match=r"train/cpu/own\.json was recorded when the acc"):
        control.run(find("cpu"), change())
