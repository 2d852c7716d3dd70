"""A number that is not finite ends a training, in the same way each time."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from benchmark.common.parameters import Parameters
from benchmark.common.results import read_result
from benchmark.errors.user_error import UserError
from benchmark.machine.accelerators import find
from benchmark.pipeline import control, replay, train
from benchmark.training.checkpoint_dir import CHECKPOINTS
from benchmark.training.model import FineTuner
from benchmark.training.schema import REPLAY, Replay
from tests.support.trainings import CPU, add_callback, interrupt

pytestmark = pytest.mark.usefixtures("small_network")
NAN, INFINITY = float("nan"), float("inf")
REMEDY = r" Lower train\.learning_rate, or choose a finer train\.precision\."
Spoil = Callable[[pytest.MonkeyPatch], None]


def spoil_step(name: str, epoch: int, batch: int, value: float) -> Spoil:
    """Return a function that adds `value` to the logits of one batch of the epoch (from 0)."""

    def spoil(patch: pytest.MonkeyPatch) -> None:
        step, forward = getattr(FineTuner, name), FineTuner.forward

        def spoilt(module: FineTuner, inputs: Any, number: int) -> Any:
            with pytest.MonkeyPatch.context() as inner:
                if (name == "test_step" or module.current_epoch == epoch) and number == batch:
                    inner.setattr(FineTuner, "forward", lambda *a: forward(*a) + value)
                return step(module, inputs, number)

        patch.setattr(FineTuner, name, spoilt)

    return spoil


class SpoilGradient(pl.Callback):
    """Replaces the gradient of the head's bias in one step (from 0) of the second epoch."""

    def __init__(self, step: int, value: float) -> None:
        self.step = step
        self.value = value

    def on_before_optimizer_step(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if (trainer.current_epoch, trainer.fit_loop.batch_idx) == (1, self.step):
            module.network.fc.bias.grad.fill_(self.value)


def spoil_gradient(step: int, value: float) -> Spoil:
    return lambda patch: add_callback(patch, SpoilGradient(step, value))


class SpoilMetric(pl.Callback):
    """Replaces the state of a metric in the validation of the second epoch."""

    def __init__(self, metric: str, state: str, value: float) -> None:
        self.metric = metric
        self.state = state
        self.value = value

    def on_validation_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if trainer.current_epoch == 1:
            setattr(module.get_submodule(self.metric), self.state, torch.tensor(self.value))


def spoil_metric(metric: str, state: str, value: float) -> Spoil:
    return lambda patch: add_callback(patch, SpoilMetric(metric, state, value))


def spoil_features(patch: pytest.MonkeyPatch) -> None:
    """Spoil a validation image's features, which are computed once for all epochs."""
    features = FineTuner.features

    def spoilt(module: FineTuner, images: torch.Tensor) -> torch.Tensor:
        result = features(module, images)
        return (
            result * INFINITY if module.trainer.state.fn == "fit" and len(images) == 2 else result
        )

    patch.setattr(FineTuner, "features", spoilt)


FROZEN = {"model": {"freeze_backbone": True}}
CASES: dict[str, tuple[Spoil, dict[str, Any], str]] = {
    "training": (
        spoil_step("training_step", 1, 1, NAN),
        {},
        r"training loss of step 6 in epoch 2 is nan\.",
    ),
    "infinite validation": (
        spoil_metric("val_loss", "total", INFINITY),
        {},
        r"validation loss of epoch 2 is inf\.",
    ),
    "validation": (
        spoil_step("validation_step", 1, 1, NAN),
        {},
        r"validation loss of epoch 2 is nan\.",
    ),
    "first validation": (
        spoil_step("validation_step", 0, 1, NAN),
        {},
        r"validation loss of epoch 1 is nan\.",
    ),
    "validation of a head": (
        spoil_step("validation_step", 1, 1, NAN),
        FROZEN,
        r"validation loss of epoch 2 is nan\.",
    ),
    "validation of an unfrozen backbone": (
        spoil_step("validation_step", 1, 1, NAN),
        {"train": {"unfreeze_epoch": 1}},
        r"validation loss of epoch 2 is nan\.",
    ),
    "features": (spoil_features, FROZEN, r"validation loss of epoch 1 is nan\."),
    "accuracy": (
        spoil_metric("val_accuracy.accuracy", "tp", NAN),
        {},
        r"validation accuracy of epoch 2 is nan\.",
    ),
    "gradient": (spoil_gradient(1, NAN), {}, r"training loss of step 7 in epoch 2 is nan\."),
    "last gradient": (spoil_gradient(3, INFINITY), {}, r"validation loss of epoch 2 is nan\."),
    "overflow": (  # the bias would never change again
        spoil_gradient(1, 1e30),
        {},
        r"After epoch 2 exp_avg_sq of network\.fc\.bias has a NaN or infinity\.",
    ),
    "test": (spoil_step("test_step", 0, 1, NAN), {}, r"test/loss of epoch \d is nan\."),
}


@pytest.mark.parametrize("case", CASES)
def test_a_number_that_is_not_finite_ends_the_run_in_the_same_way_each_time(
    change: Callable[..., Parameters], workspace: Path, monkeypatch, case: str
) -> None:
    """Undisturbed, after that refusal, and resumed after an interruption."""
    spoil, changed, message = CASES[case]
    parameters = change(**changed)
    spoil(monkeypatch)
    assert refusal(parameters) == refusal(parameters)
    if "epoch 1" not in message:
        shutil.rmtree(CHECKPOINTS)
        interrupt(monkeypatch, parameters, 3 if case == "test" else 1)
    assert re.fullmatch(f"The {message}{REMEDY}|{message}{REMEDY}", refusal(parameters))
    assert not list(Path("reports/train").rglob("own*"))
    for stage in (replay, control):
        with pytest.raises(UserError, match=r"own\.json is not here"):
            stage.run(find("cpu"), parameters)


def refusal(parameters: Parameters) -> str:
    with pytest.raises(UserError) as caught:
        train.run(find("cpu"), parameters)
    return str(caught.value)


def test_a_replay_whose_losses_are_not_finite_differs(change, workspace: Path, monkeypatch) -> None:
    """It ends as each replay does, and names the step."""
    parameters = change()
    train.run(find("cpu"), parameters)
    spoil_step("training_step", 1, 1, NAN)(monkeypatch)
    replay.run(find("cpu"), parameters)
    written = read_result(CPU.own.replay, REPLAY)
    assert isinstance(written, Replay)
    assert str(written) == "first difference at step 6 of 10 (loss)"


def test_a_replay_ignores_the_validation_of_its_last_steps(change, workspace, monkeypatch) -> None:
    """The training has never validated the weights in the middle of its third epoch."""
    parameters = change()
    train.run(find("cpu"), parameters)
    spoil_step("validation_step", 2, 1, NAN)(monkeypatch)
    replay.run(find("cpu"), parameters)
    written = read_result(CPU.own.replay, REPLAY)
    assert isinstance(written, Replay)
    assert written.bitwise
