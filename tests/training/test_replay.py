"""The replay: it repeats what the training did, and says where it could not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from benchmark.common.errors import UserError
from benchmark.common.files import read_json, write_json
from benchmark.common.parameters import Parameters
from benchmark.common.results import Results
from benchmark.machine.accelerators import find
from benchmark.training import control, replay, train
from tests.training.test_model import tuner

pytestmark = pytest.mark.usefixtures("small_network")
CPU = Results("cpu")


def replayed(parameters: Parameters) -> dict[str, Any]:
    replay.run(find("cpu"), parameters)
    return read_json(CPU.replay)


@pytest.mark.parametrize(
    "changed",
    [{}, {"model": {"freeze_backbone": True}}, {"train": {"unfreeze_epoch": 1}}],
)
def test_a_training_can_be_repeated(change, workspace: Path, changed: dict[str, Any]) -> None:
    parameters = change(**changed)
    train.run(find("cpu"), parameters)
    before = {path: path.read_bytes() for path in Path("reports/train").iterdir()}
    assert replayed(parameters) == {
        "status": "ok", "accelerator": "cpu", "steps": 10, "bitwise": True, "first_different_step": None
    }  # fmt: skip
    assert before == {path: path.read_bytes() for path in Path("reports/train").iterdir()}


@pytest.mark.parametrize(
    ("which", "results", "other"),
    [({"seed": 8}, CPU.seed(8), CPU), ({"control": True}, CPU.control, CPU.seed(8))],
)
def test_each_further_training_is_repeated_as_it_was(
    change, workspace: Path, which: dict[str, Any], results: Results, other: Results
) -> None:
    """Its own losses are those that count, and no other training's."""
    save_file(tuner(3, seed=1).network.state_dict(), "learned.safetensors")
    parameters = change(seeds=[8], model={"weights": "learned.safetensors"})
    train.run(find("cpu"), parameters)
    train.run(find("cpu"), parameters, seed=8)
    control.run(find("cpu"), parameters)
    replay.run(find("cpu"), parameters, **which)
    assert read_json(results.replay)["bitwise"]
    assert not CPU.replay.exists()
    results.steps.write_bytes(other.steps.read_bytes())
    replay.run(find("cpu"), parameters, **which)
    assert read_json(results.replay)["first_different_step"] == 1


def test_a_control_of_other_inputs_is_not_repeated(change, workspace: Path) -> None:
    train.run(find("cpu"), change())
    control.run(find("cpu"), change())
    with pytest.raises(UserError, match=r"train/cpu\.control\.json is of other code"):
        replay.run(find("cpu"), change(train={"learning_rate": 0.1}), control=True)


def test_a_shorter_training_is_repeated_whole(change, workspace: Path) -> None:
    parameters = change(train={"max_epochs": 1})
    train.run(find("cpu"), parameters)
    assert replayed(parameters)["steps"] == 4


def test_no_more_than_the_first_steps_are_repeated(parameters, monkeypatch) -> None:
    train.run(find("cpu"), parameters)
    steps: list[int] = []
    step = train.FineTuner.training_step
    monkeypatch.setattr(
        train.FineTuner, "training_step", lambda *all: steps.append(1) or step(*all)
    )
    replayed(parameters)
    assert len(steps) == 10


def test_a_loss_that_differs_is_where_the_two_part(parameters: Parameters) -> None:
    train.run(find("cpu"), parameters)
    lines = CPU.steps.read_text().splitlines()
    step, epoch, loss = lines[6].split(",")
    lines[6] = f"{step},{epoch},{float(loss) * (1 + 1e-7):.9g}"
    CPU.steps.write_text("\n".join(lines) + "\n")
    result = replayed(parameters)
    assert (result["bitwise"], result["first_different_step"]) == (False, 6)


def test_other_weights_after_equal_losses_are_no_repetition(parameters: Parameters) -> None:
    train.run(find("cpu"), parameters)
    training = read_json(CPU.training)
    training["digests"]["first_steps"]["weights"] = "0" * 64
    write_json(CPU.training, training)
    result = replayed(parameters)
    assert (result["bitwise"], result["first_different_step"]) == (False, 10)


def test_a_training_of_other_inputs_is_not_repeated(change: Callable[..., Parameters], workspace):
    train.run(find("cpu"), change())
    with pytest.raises(UserError, match=r"train/cpu\.json is of other code, data or parameters"):
        replay.run(find("cpu"), change(train={"learning_rate": 0.1}))


def test_an_accelerator_that_has_come_since_needs_a_training(parameters: Parameters) -> None:
    write_json(CPU.training, {"status": "unavailable", "accelerator": "cpu", "reason": "gone"})
    with pytest.raises(UserError, match=r"train/cpu\.json is of an absent acc"):
        replay.run(find("cpu"), parameters)
