import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from benchmark.common import digests
from benchmark.common.parameters import Parameters
from benchmark.data.datamodule import Batch, ImageDataModule
from benchmark.machine import accelerators
from benchmark.throughput.modes import (
    Compute,
    Input,
    Lightning,
    LoaderWorkers,
    Loop,
    Step,
    bare_trainer,
)
from benchmark.throughput.throughput import _execute, efficiency, timer
from benchmark.training.train import fine_tuner, silence_lightning

pytestmark = pytest.mark.usefixtures("small_network")


def module(parameters: Parameters) -> ImageDataModule:
    return ImageDataModule(**parameters.data.model_dump(), seed=parameters.seed)


def started(parameters: Parameters) -> tuple[Lightning, pl.LightningModule]:
    silence_lightning()
    model = fine_tuner(parameters, 3)
    mode = Lightning(model, module(parameters))
    mode.start(
        bare_trainer(
            "cpu",
            parameters.train.precision,
            mode,
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
    assert mode._fit.dead


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
    step = Step("cpu", model.train(), optimizer, parameters.train.precision)
    source = Input(data.train_dataloader(), timer.steps_per_epoch(parameters))
    Loop(
        step, source, torch.device("cpu"),
        lambda *tensors: data.on_after_batch_transfer(Batch(*tensors), 0),
    ).run(steps)  # fmt: skip
    return digests.of_state(model.network.state_dict())


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("workers", [0, 2])
def test_loop_and_trainer_do_the_same_work_bit_for_bit(
    change, workspace, precision, workers
) -> None:
    """Over more than two epochs of three whole batches: what differs is who runs the loop."""
    parameters = change(train={"precision": precision}, data={"num_workers": workers})
    mode, model = started(parameters)
    mode.run(7)
    learned = digests.of_state(model.network.state_dict())
    mode.stop()
    assert learned == plain_loop(parameters, 7)


def test_fp16_scales_its_losses() -> None:
    step = Step("cpu", nn.Linear(1, 1), torch.optim.SGD([nn.Parameter(torch.ones(1))]), "16-mixed")
    assert step._scaler.is_enabled()
    assert step._autocast is torch.float16


def test_compute_trains_on_one_batch() -> None:
    seen: list[tuple[Any, Any]] = []
    images, labels = torch.ones(2, 3), torch.zeros(2)
    Compute(lambda *batch: seen.append(batch), images, labels).run(3)  # type: ignore[arg-type]
    assert seen == [(images, labels)] * 3


def test_input_goes_on_from_epoch_to_epoch_with_whole_batches(parameters) -> None:
    data = module(parameters)
    data.prepare_data()
    data.setup("fit")
    source = Input(data.train_dataloader(), steps_per_epoch=3)
    batches = [source.next() for _ in range(6)]
    assert [int(batch.keys[0, 0]) for batch in batches] == [0, 0, 0, 1, 1, 1]
    assert all(len(batch.labels) == 4 for batch in batches)
    first, second = (
        torch.cat([batch.keys[:, 1] for batch in part]) for part in (batches[:3], batches[3:])
    )
    assert not first.equal(second)
    assert source.waited > 0


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


@pytest.mark.parametrize("mode", ["trainer", "compute", "loop", "baseline"])
def test_a_lazy_device_does_not_look_fast(parameters, monkeypatch, mode: str) -> None:
    """Three steps take three seconds, neither less nor what another mode has queued before."""
    device = LazyDevice()
    with timer.ModeTimer("cpu", parameters) as ready:
        monkeypatch.setattr(accelerators, "synchronise", device.synchronise)
        monkeypatch.setattr(accelerators, "dispatch", device.enqueue)
        optimizer = ready.lightning.optimizer
        optimizer.register_step_post_hook(device.enqueue if mode == "trainer" else lambda *_: None)
        device.queue = 5  # another mode's
        monkeypatch.setattr(timer, "time", device)
        assert ready.time(mode, 3).seconds == 3
        monkeypatch.undo()


def test_a_lazy_device_has_no_better_peak(monkeypatch) -> None:
    device = LazyDevice()
    monkeypatch.setattr(accelerators, "synchronise", device.synchronise)
    monkeypatch.setattr(efficiency, "time", device)
    assert efficiency._block("cpu", device.enqueue, 4) == 1  # type: ignore[arg-type]


class Numbers(torch.utils.data.Dataset[int]):
    def __len__(self) -> int:
        return 1000

    def __getitem__(self, index: int) -> int:
        return index


@pytest.fixture
def crews() -> Iterator[tuple[LoaderWorkers, LoaderWorkers]]:
    two = LoaderWorkers(), LoaderWorkers()
    yield two
    for crew in two:
        crew.release()


def statuses(crew: LoaderWorkers) -> set[str]:
    return {member.status() for member in crew._members}


def test_a_crew_stands_still_in_the_pauses(crews: tuple[LoaderWorkers, LoaderWorkers]) -> None:
    crew, _ = crews
    loader = DataLoader(Numbers(), batch_size=2, num_workers=2, persistent_workers=True)
    with crew.running():
        source = Input(loader, steps_per_epoch=5)
        source.run(1)
    workers = list(crew._members)
    assert len(workers) == 2
    assert statuses(crew) == {psutil.STATUS_STOPPED}
    with crew.running():
        source.run(20)  # four epochs
        assert psutil.STATUS_STOPPED not in statuses(crew)
    assert crew._members == workers
    crew.release()
    assert psutil.STATUS_STOPPED not in {worker.status() for worker in workers}
    del source, loader
    assert not any(worker.is_running() for worker in workers)


def test_workers_that_end_with_their_epoch_leave_the_crew(
    crews: tuple[LoaderWorkers, LoaderWorkers],
) -> None:
    crew, _ = crews
    with crew.running():
        source = Input(DataLoader(Numbers(), num_workers=1), steps_per_epoch=2)
        source.run(1)
    (first,) = crew._members
    with crew.running():
        source.run(2)  # into the second epoch, whose worker is another
    assert first not in crew._members or not first.is_running()
    assert statuses(crew) <= {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}
    crew.release()


def test_crews_that_are_measured_in_turn_do_not_touch_each_other(
    crews: tuple[LoaderWorkers, LoaderWorkers],
) -> None:
    sources = []
    for crew in crews:
        with crew.running():
            sources.append(Input(DataLoader(Numbers(), num_workers=1), 5))
            sources[-1].run(1)
        assert len(crew._members) == 1
    with crews[0].running():
        assert statuses(crews[1]) == {psutil.STATUS_STOPPED}
    for crew in crews:
        crew.release()


def test_loader_processes_end_with_a_killed_parent(tmp_path: Path) -> None:
    """They stand still and could not notice; the system wakes an orphaned process group."""
    program = f"""
import multiprocessing, os, pathlib, signal, sys
from torch.utils.data import DataLoader
from benchmark.throughput.modes import LoaderWorkers, Input
crew = LoaderWorkers()
with crew.running():
    source = Input(DataLoader(range(100), num_workers=2), 5)
    source.run(1)
pids = [str(child.pid) for child in multiprocessing.active_children()]
pathlib.Path({str(tmp_path / "pids")!r}).write_text(" ".join(pids))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert _execute([sys.executable, "-c", program], "") == -9
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) == 2
    left = [psutil.Process(int(pid)) for pid in pids if psutil.pid_exists(int(pid))]
    _, alive = psutil.wait_procs(left, timeout=60)
    assert not alive
