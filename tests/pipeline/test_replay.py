"""The replay repeats the training's first steps, and names the first difference."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import save_file

from benchmark.common.parameters import Parameters
from benchmark.common.results import (
    CONTROL,
    TrainingPaths,
    Unavailable,
    read_result,
    write_result,
)
from benchmark.errors.user_error import UserError
from benchmark.machine.accelerators import find
from benchmark.pipeline import control, replay, train
from benchmark.training.schema import REPLAY, Replay
from tests.support.trainings import CPU, CountSteps, add_callback, read_training
from tests.training.test_model import tuner

pytestmark = pytest.mark.usefixtures("small_network")


def replayed(parameters: Parameters) -> Replay:
    replay.run(find("cpu"), parameters)
    return read_replay(CPU.own)


def read_replay(results: TrainingPaths) -> Replay:
    written = read_result(results.replay, REPLAY)
    assert isinstance(written, Replay)
    return written


def reports() -> dict[Path, bytes]:
    """Return the content of every training's files."""
    return {path: path.read_bytes() for path in Path("reports/train").rglob("*.*")}


@pytest.mark.parametrize(
    "changed",
    [{}, {"model": {"freeze_backbone": True}}, {"train": {"unfreeze_epoch": 1}}],
)
def test_a_training_can_be_repeated(
    change, workspace: Path, changed: dict[str, Any], capsys
) -> None:
    parameters = change(**changed)
    train.run(find("cpu"), parameters)
    before = reports()
    capsys.readouterr()
    assert replayed(parameters) == Replay(accelerator="cpu", steps=10, bitwise=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "cpu replay: 10 steps, equal bit for bit"
    assert all(line.startswith("cpu replay") for line in lines)
    assert before == reports()
    assert before.keys() >= {CPU.own.result, CPU.own.steps}


@pytest.mark.parametrize(
    ("results", "other"), [(CPU.training("8"), CPU.own), (CPU.control, CPU.training("8"))]
)
def test_each_further_training_is_repeated_as_it_was(
    change, workspace: Path, results: TrainingPaths, other: TrainingPaths
) -> None:
    """Each replay is compared with the losses of its training, not with those of another."""
    save_file(tuner(3, seed=1).network.state_dict(), "learned.safetensors")
    parameters = change(seeds=[8], model={"weights": "learned.safetensors"})
    train.run(find("cpu"), parameters)
    train.run(find("cpu"), parameters, "8")
    control.run(find("cpu"), parameters)
    replay.run(find("cpu"), parameters, results.name)
    assert read_replay(results).bitwise
    assert not CPU.own.replay.exists()
    results.steps.write_bytes(other.steps.read_bytes())
    replay.run(find("cpu"), parameters, results.name)
    assert read_replay(results).first_different_step == 1


def test_a_control_of_other_inputs_is_not_repeated(change, workspace: Path) -> None:
    train.run(find("cpu"), change())
    control.run(find("cpu"), change())
    with pytest.raises(UserError, match=r"train/cpu/control\.json is of other code"):
        replay.run(find("cpu"), change(train={"learning_rate": 0.1}), CONTROL)


def test_masks_of_dropout_are_drawn_again(change, workspace: Path) -> None:
    parameters = change(model={"architecture": "squeezenet1_1"}, train={"max_epochs": 1})
    train.run(find("cpu"), parameters)
    torch.rand(7)
    assert replayed(parameters).bitwise


def test_a_shorter_training_is_repeated_completely(change, workspace: Path) -> None:
    parameters = change(train={"max_epochs": 1})
    train.run(find("cpu"), parameters)
    assert replayed(parameters).steps == 4


def test_no_more_than_the_first_steps_are_repeated(parameters, monkeypatch) -> None:
    """No checkpoint is written: ResNet50's has 269 MB."""
    train.run(find("cpu"), parameters)
    count, saved = CountSteps(), []
    monkeypatch.setattr(pl.Trainer, "save_checkpoint", lambda *arguments: saved.append(arguments))
    add_callback(monkeypatch, count)
    replayed(parameters)
    assert count.steps == 10
    assert saved == []


def test_a_loss_that_differs_is_where_the_two_differ(parameters: Parameters) -> None:
    train.run(find("cpu"), parameters)
    lines = CPU.own.steps.read_text().splitlines()
    step, epoch, loss = lines[6].split(",")
    lines[6] = f"{step},{epoch},{float(loss) * (1 + 1e-7):.9g}"
    CPU.own.steps.write_text("\n".join(lines) + "\n")
    result = replayed(parameters)
    assert (result.bitwise, result.first_different_step) == (False, 6)
    assert str(result) == "first difference at step 6 of 10 (loss)"


def test_the_first_tensor_that_differs_is_named(parameters: Parameters) -> None:
    """The head differs after the third step, and two other tensors after the second."""
    train.run(find("cpu"), parameters)
    rows = [line.split(",") for line in CPU.own.tensors.read_text().splitlines()]
    assert rows[0] == ["tensor", *map(str, range(1, 11))]
    names = [name for name, *_ in rows]
    for name, step in (("fc.weight", 3), ("bn1.running_mean", 2), ("fc.bias", 2)):
        rows[names.index(name)][step] = "0" * 16
    CPU.own.tensors.write_text("".join(f"{','.join(row)}\n" for row in rows))
    result = replayed(parameters)
    assert (result.first_different_step, result.first_different) == (2, "bn1.running_mean")


def test_a_tensor_that_the_training_did_not_note_differs(parameters: Parameters) -> None:
    train.run(find("cpu"), parameters)
    kept = [line for line in CPU.own.tensors.read_text().splitlines() if "fc.bias" not in line]
    CPU.own.tensors.write_text("\n".join(kept) + "\n")
    assert replayed(parameters).first_different == "fc.bias"


def test_other_weights_after_equal_losses_differ(parameters: Parameters) -> None:
    train.run(find("cpu"), parameters)
    trained = read_training(CPU.own)
    first = trained.digests.first_steps.model_copy(update={"weights": "0" * 64})
    changed = trained.digests.model_copy(update={"first_steps": first})
    write_result(CPU.own.result, trained.model_copy(update={"digests": changed}))
    result = replayed(parameters)
    assert (result.bitwise, result.first_different_step) == (False, 10)
    assert result.first_different == "weights"


def test_a_training_of_other_inputs_is_not_repeated(change: Callable[..., Parameters], workspace):
    train.run(find("cpu"), change())
    with pytest.raises(
        UserError, match=r"train/cpu/own\.json is of other code, data or parameters"
    ):
        replay.run(find("cpu"), change(train={"learning_rate": 0.1}))


def test_an_accelerator_that_has_come_since_needs_a_training(parameters: Parameters) -> None:
    write_result(CPU.own.result, Unavailable(accelerator="cpu", reason="gone"))
    with pytest.raises(UserError, match=r"train/cpu/own\.json was recorded when the acc"):
        replay.run(find("cpu"), parameters)
