from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from benchmark.common import tensor_digests
from benchmark.common.parameters import Parameters
from benchmark.data.datamodule import Batch, ImageDataModule
from benchmark.machine import accelerators
from benchmark.throughput import profile
from benchmark.timing import timer
from benchmark.timing.modes import Compute, LoaderOnly, Loop, Nondeterministic, TrainingStep
from benchmark.timing.trainer import PausableFit, bare_trainer
from benchmark.training.fit import fine_tuner, silence_lightning

pytestmark = pytest.mark.usefixtures("small_network")


def module(parameters: Parameters) -> ImageDataModule:
    return ImageDataModule(**parameters.data.model_dump(), seed=parameters.seed)


def started(parameters: Parameters) -> tuple[PausableFit, pl.LightningModule]:
    silence_lightning()
    model = fine_tuner(parameters, 3)
    mode = PausableFit(model, module(parameters))
    mode.start(
        bare_trainer(
            "cpu",
            parameters.train.precision,
            mode,
            deterministic=True,
            max_epochs=-1,
            limit_train_batches=timer.steps_per_epoch(parameters),
        )
    )
    return mode, model


def test_a_fit_goes_on_for_as_many_steps_as_it_is_told(parameters) -> None:
    mode, model = started(parameters)
    steps = []
    for count in (1, 3, 5):
        mode.run(count)
        steps.append(model.global_step)
    mode.stop()
    assert steps == [1, 4, 9]
    assert model.global_step == 9
    assert mode._fit.ended


def test_an_error_in_the_fit_reaches_who_told_it_to_run(parameters, monkeypatch) -> None:
    mode, model = started(parameters)
    monkeypatch.setattr(model, "training_step", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        mode.run(1)


def plain_loop(parameters: Parameters, steps: int) -> str:
    """The digest of the weights after `steps` of a plain loop."""
    data, model = module(parameters), fine_tuner(parameters, 3)
    data.prepare_data()
    data.setup("fit")
    optimizer = model.configure_optimizers()
    step = TrainingStep("cpu", model.train(), optimizer, parameters.train.precision)
    source = LoaderOnly(data.train_dataloader(), timer.steps_per_epoch(parameters))
    Loop(
        step, source, torch.device("cpu"),
        lambda *tensors: data.on_after_batch_transfer(Batch(*tensors), 0),
    ).run(steps)  # fmt: skip
    return tensor_digests.state_digest(model.network.state_dict())


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("workers", [0, 2])
def test_loop_and_trainer_do_the_same_work_bit_for_bit(
    change, workspace, precision, workers
) -> None:
    """Over more than two epochs of three full batches: they differ only in who runs the loop."""
    parameters = change(train={"precision": precision}, data={"num_workers": workers})
    mode, model = started(parameters)
    mode.run(7)
    learned = tensor_digests.state_digest(model.network.state_dict())
    mode.stop()
    assert learned == plain_loop(parameters, 7)


def test_no_mode_keeps_gradients_after_a_step(parameters) -> None:
    """Their 94 MB are free for the next forward pass, in the Trainer and in plain loops."""
    with timer.ModeTimer("cpu", parameters) as mode_timer:
        for name in mode_timer.names:
            mode_timer.time(name, 1)
            assert all(weight.grad is None for weight in mode_timer.module.parameters())


def test_fp16_scales_its_losses() -> None:
    step = TrainingStep(
        "cpu", nn.Linear(1, 1), torch.optim.SGD([nn.Parameter(torch.ones(1))]), "16-mixed"
    )
    assert step._scaler.is_enabled()
    assert step._autocast is torch.float16


def test_compute_trains_on_one_batch() -> None:
    seen: list[tuple[Any, Any]] = []
    images, labels = torch.ones(2, 3), torch.zeros(2)
    Compute(lambda *batch: seen.append(batch), images, labels).run(3)  # type: ignore[arg-type]
    assert seen == [(images, labels)] * 3


def test_what_determinism_costs_is_measured_without_it() -> None:
    seen: list[bool] = []
    note = lambda *_: seen.append(torch.are_deterministic_algorithms_enabled())  # noqa: E731
    torch.use_deterministic_algorithms(True)
    Nondeterministic(Compute(note, torch.ones(1), torch.ones(1))).run(2)  # type: ignore[arg-type]
    assert seen == [False, False]
    assert torch.are_deterministic_algorithms_enabled()


def test_input_goes_on_from_epoch_to_epoch_with_whole_batches(parameters) -> None:
    data = module(parameters)
    data.prepare_data()
    data.setup("fit")
    source = LoaderOnly(data.train_dataloader(), steps_per_epoch=3)
    batches = [source.next() for _ in range(6)]
    assert [int(batch.keys[0, 0]) for batch in batches] == [0, 0, 0, 1, 1, 1]
    assert all(len(batch.labels) == 4 for batch in batches)
    first, second = (
        torch.cat([batch.keys[:, 1] for batch in part]) for part in (batches[:3], batches[3:])
    )
    assert not first.equal(second)


class LazyDevice:
    """Takes work at once and does it only when it is waited for, a second each; nothing else takes
    any time on its clock."""

    def __init__(self) -> None:
        self.queue = 0
        self.seconds = 0.0

    def enqueue(self, *_: Any) -> None:
        self.queue += 1

    def synchronise(self, name: str) -> None:
        self.seconds += self.queue
        self.queue = 0

    def perf_counter(self) -> float:
        return self.seconds


@pytest.mark.parametrize("mode", ["trainer", "compute", "loop", "baseline", "nondeterministic"])
def test_a_lazy_device_does_not_look_fast(parameters, monkeypatch, mode: str) -> None:
    """Three steps take three seconds, neither less nor what another mode has queued before."""
    device = LazyDevice()
    with timer.ModeTimer("cpu", parameters) as ready:
        monkeypatch.setattr(accelerators, "synchronise", device.synchronise)
        monkeypatch.setattr(accelerators, "end_xla_graph", device.enqueue)
        optimizer = ready.lightning.optimizer
        optimizer.register_step_post_hook(device.enqueue if mode == "trainer" else lambda *_: None)
        device.queue = 5  # another mode's
        monkeypatch.setattr(timer, "time", device)
        assert ready.time(mode, 3).seconds == 3
        monkeypatch.undo()


def test_a_lazy_device_has_no_better_peak(monkeypatch) -> None:
    device = LazyDevice()
    monkeypatch.setattr(accelerators, "synchronise", device.synchronise)
    monkeypatch.setattr(profile, "time", device)
    assert profile._block("cpu", device.enqueue, 4) == 1  # type: ignore[arg-type]
