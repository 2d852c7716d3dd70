"""Traces of trainings: the first difference of two is named."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from benchmark.machine.accelerators import find
from benchmark.training.fit import Fit
from tests.soak.disturbance import KINDS, draw
from tests.soak.reproducible import compare
from tests.soak.trace import Trace, first_difference

pytestmark = pytest.mark.usefixtures("small_network")


class Flip(pl.Callback):
    """Changes the last bit of one number, as a disturbance might."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def on_before_optimizer_step(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if (self.kind, trainer.global_step) == ("gradients", 2):
            flip(module.network.fc.weight.grad)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if (self.kind, trainer.global_step) == ("weights", 3):
            flip(module.network.bn1.running_var)


def flip(tensor: torch.Tensor) -> None:
    tensor.view(torch.int32).view(-1)[0] ^= 1


def traced(parameters: Any, *before: pl.Callback) -> list[dict[str, Any]]:
    """A training's steps; `before` acts before they are noted."""
    file = io.StringIO()
    Fit(find("cpu"), parameters, None, *before, Trace(file)).fit()
    return [json.loads(line) for line in file.getvalue().splitlines()]


def test_two_trainings_are_equal_in_everything(parameters: Any) -> None:
    first, second = traced(parameters), traced(parameters)
    assert len(first) == 12
    assert first[0].keys() == {"step", "outputs", "loss", "gradients", "weights"}
    assert {"conv1", "fc", "network"} <= first[0]["outputs"].keys()
    assert first_difference(first, second) == ""


@pytest.mark.parametrize(
    ("kind", "difference"),
    [
        ("gradients", "step 3, gradients of network.fc.weight and of 0 more"),
        ("weights", "step 3, weights of network.bn1.running_var and of 0 more"),
    ],
)
def test_the_step_and_tensor_of_a_flipped_bit_are_named(
    parameters: Any, kind: str, difference: str
) -> None:
    assert first_difference(traced(parameters), traced(parameters, Flip(kind))) == difference


def test_results_are_compared_too(parameters: Any) -> None:
    steps = traced(parameters)
    first, second = ([*steps, {"weights": "w", "test": value}] for value in (0.5, 0.25))
    assert compare(first, first) == ""
    assert compare(first, second) == "after the last step, test"
    assert first_difference(steps, steps[:-1]) == "12 and 11 steps"


def test_disturbances_are_drawn_from_seed_and_number() -> None:
    drawn = [draw(1, number) for number in range(100)]
    assert drawn == [draw(1, number) for number in range(100)]
    assert drawn != [draw(2, number) for number in range(100)]
    assert {kind for disturbance in drawn for kind in disturbance.kinds} == set(KINDS)
    assert [disturbance.kinds for disturbance in drawn[::10]] == [()] * 10


def test_a_kills_leftovers_are_seen(tmp_path: Path) -> None:
    from tests.soak.kills import epochs, leftovers

    root = tmp_path / "0"
    for name in ("0/.checkpoints/cpu.own/k", "0/models/cpu/.own.7.ab.tmp", "0.tmp/benchmark-x"):
        (tmp_path / name).mkdir(parents=True)
    (root / ".checkpoints/cpu.own/k/last.ckpt").touch()
    assert sorted(leftovers(root)) == [".own.7.ab.tmp", "benchmark-x", "last.ckpt"]
    output = "cpu epoch 1/4: x\ncpu replay epoch 1/4\ncpu seed 8 epoch 1/4\ncpu epoch 2/4"
    assert epochs(output) == {"cpu": 2, "cpu seed 8": 1}
