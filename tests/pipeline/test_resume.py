"""Interrupted trainings resume after the last complete epoch, with the same result."""

import errno
import hashlib
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from filelock import FileLock

from benchmark.common.parameters import Parameters
from benchmark.common.results import ResultPaths
from benchmark.errors.user_error import UserError
from benchmark.machine.accelerators import find
from benchmark.pipeline import replay, train
from benchmark.training import fit
from benchmark.training.checkpoint_dir import SealedCheckpoints
from tests.support.trainings import CPU, CountSteps, Ruin, add_callback, interrupt, trained

pytestmark = pytest.mark.usefixtures("small_network")
CHECKPOINTS = Path(".checkpoints/cpu.own")
RESUMED = "cpu: resuming after an interruption"


@pytest.mark.parametrize(
    ("epochs", "changed"),
    [
        (1, {}),
        (2, {}),
        (2, {"data": {"num_workers": 2}}),
        (1, {"model": {"freeze_backbone": True}}),
        (1, {"train": {"unfreeze_epoch": 1}}),
        (2, {"train": {"unfreeze_epoch": 1}}),
        (3, {"train": {"max_epochs": 4}}),
        (1, {"model": {"architecture": "squeezenet1_1"}}),  # draws dropout's masks
        (1, {"model": {"architecture": "mnasnet0_5"}}),  # needs the versions of its layers
    ],
)
def test_an_interrupted_run_resumes_to_the_same_result(
    change, workspace: Path, monkeypatch, capsys, epochs: int, changed: dict[str, Any]
) -> None:
    """Three epochs are twelve steps, more than the first ten, which have a digest."""
    parameters = change(**changed)
    undisturbed = trained(parameters)
    tables = CPU.own.steps.read_bytes(), CPU.own.epochs.read_bytes()
    interrupt(monkeypatch, parameters, epochs)
    assert len(list(CHECKPOINTS.glob("*/last.ckpt"))) == 1
    capsys.readouterr()
    assert trained(parameters) == undisturbed
    assert capsys.readouterr().out.startswith(RESUMED)
    assert (CPU.own.steps.read_bytes(), CPU.own.epochs.read_bytes()) == tables
    assert CPU.own.timing.read_text().count(",") > undisturbed.epochs


@pytest.mark.parametrize(("patience", "epochs"), [(1, 2), (3, 4)])
def test_a_run_interrupted_after_its_last_epoch_trains_no_more(
    change, workspace: Path, monkeypatch, patience: int, epochs: int
) -> None:
    """Patience 1 ends by early stopping, patience 3 by the last epoch."""
    parameters = change(train={"patience": patience, "max_epochs": 4})
    add_callback(monkeypatch, Ruin(1))
    undisturbed = trained(parameters)
    assert undisturbed.epochs == epochs
    interrupt(monkeypatch, parameters, epochs)
    count = CountSteps()
    add_callback(monkeypatch, count)
    assert trained(parameters) == undisturbed
    assert count.steps == 0


@pytest.mark.parametrize("name", ["last", "best"])
@pytest.mark.parametrize("damage", [b"", b"half of it"])
def test_a_corrupt_checkpoint_is_named_and_the_training_starts_over(
    parameters: Parameters, monkeypatch, capsys, name: str, damage: bytes
) -> None:
    undisturbed = trained(parameters)
    interrupt(monkeypatch, parameters, 2)
    next(CHECKPOINTS.glob(f"*/{name}.ckpt")).write_bytes(damage)
    capsys.readouterr()
    assert trained(parameters) == undisturbed
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"cpu: corrupt checkpoint {name}.ckpt: starting over"
    assert len([line for line in lines if line.startswith("cpu epoch")]) == 3


def test_a_full_disk_costs_no_more_than_an_epoch(parameters: Parameters, monkeypatch) -> None:
    """The disk is full at the second epoch's last checkpoint, and then at the result."""
    undisturbed, save = trained(parameters), SealedCheckpoints.save_checkpoint
    full = OSError(errno.ENOSPC, "No space left on device")

    def save_until_full(plugin: Any, checkpoint: dict[str, Any], path: str, **_: Any) -> None:
        if checkpoint["epoch"] == 1 and Path(path).stem == "last":
            raise full
        save(plugin, checkpoint, path)

    def write_csv(*_: Any) -> None:
        raise full

    for target, name, replacement in (
        (SealedCheckpoints, "save_checkpoint", save_until_full),
        (train, "write_csv", write_csv),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, replacement)
            with pytest.raises(OSError, match="No space left"):
                train.run(find("cpu"), parameters)
    count = CountSteps()
    add_callback(monkeypatch, count)
    assert trained(parameters) == undisturbed
    assert count.steps == 0


class Fail(pl.Callback):
    """Raises an error in the second step of the second epoch."""

    def __init__(self, error: RuntimeError) -> None:
        self.error = error

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, number: int):
        if (trainer.current_epoch, number) == (1, 1):
            raise self.error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            torch.AcceleratorError("CUDA error: unspecified launch failure\nCompile with"),
            r"^cpu failed in epoch 2, after 5 steps \(CUDA error: unspecified launch failure\)\. "
            r"Repeat it: a training resumes after its last complete epoch\.$",
        ),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
            r"^cpu: out of memory with data\.batch_size = 4 \(CUDA out of memory\. Tried to "
            r"allocate 2 GiB\)\. Lower it\.$",
        ),
    ],
)
def test_an_accelerator_that_fails_costs_no_more_than_that_epoch(
    parameters: Parameters, monkeypatch, error: RuntimeError, message: str
) -> None:
    """The results of another accelerator stay as they are."""
    undisturbed, gpu = trained(parameters), ResultPaths("gpu").own.result
    gpu.parent.mkdir(parents=True)
    gpu.write_text("the gpu's")
    with monkeypatch.context() as patch:
        add_callback(patch, Fail(error))
        with pytest.raises(UserError, match=message):
            train.run(find("cpu"), parameters)
    assert gpu.read_text() == "the gpu's"
    count = CountSteps()
    add_callback(monkeypatch, count)
    assert trained(parameters) == undisturbed
    assert count.steps == 8


def test_a_training_that_dvc_has_not_recorded_is_not_lost(
    parameters: Parameters, monkeypatch
) -> None:
    """DVC removes a result that it has not recorded. A recorded training is repeated on request."""
    monkeypatch.setenv("DVC_ROOT", str(Path.cwd()))
    count = CountSteps()
    add_callback(monkeypatch, count)
    first = trained(parameters)
    assert count.steps == 12
    CPU.own.result.unlink()
    assert trained(parameters) == first
    assert count.steps == 12
    digest = hashlib.md5(CPU.own.result.read_bytes()).hexdigest()
    Path("dvc.lock").write_text(f"stages:\n  train@cpu-own:\n    outs:\n    - md5: {digest}\n")
    assert trained(parameters) == first
    assert count.steps == 24


def test_a_replay_removes_the_checkpoints_of_its_training(
    parameters: Parameters, monkeypatch
) -> None:
    """DVC starts a replay when it has recorded the training."""
    monkeypatch.setenv("DVC_ROOT", str(Path.cwd()))
    trained(parameters)
    assert list(CHECKPOINTS.glob("*/last.ckpt"))
    replay.run(find("cpu"), parameters)
    assert not [path for path in CHECKPOINTS.iterdir() if path.is_dir()]


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 8}, {"data": {"batch_size": 5}}, {"model": {"channels_last": True}},
        {"train": {"learning_rate": 1e-3}},
    ],
)  # fmt: skip
def test_a_checkpoint_of_other_parameters_is_not_resumed(
    change, workspace: Path, monkeypatch, capsys, changed: dict[str, Any]
) -> None:
    interrupt(monkeypatch, change(), 1)
    (stale,) = CHECKPOINTS.glob("*/last.ckpt")
    trained(change(**changed))
    assert RESUMED not in capsys.readouterr().out
    assert not stale.parent.exists()


def test_a_checkpoint_of_other_weights_of_the_same_name_is_not_resumed(
    change, workspace: Path, monkeypatch, capsys
) -> None:
    parameters = change(model={"weights": "my.pt"})
    for seed in (1, 2):
        torch.save(fit.fine_tuner(change(seed=seed), 3).network.state_dict(), "my.pt")
        interrupt(monkeypatch, parameters, 1)
    assert RESUMED not in capsys.readouterr().out


def test_the_best_epochs_checkpoint_has_weights_only(parameters: Parameters, monkeypatch) -> None:
    """An optimizer's state is twice as large as the weights. A finished run leaves none."""
    interrupt(monkeypatch, parameters, 1)
    read = SealedCheckpoints().load_checkpoint
    contents = {path.stem: read(path) for path in CHECKPOINTS.glob("*/*.ckpt")}
    assert "optimizer_states" in contents["last"]
    assert "optimizer_states" not in contents["best"]
    assert "state_dict" in contents["best"]
    trained(parameters)
    assert [path.name for path in CHECKPOINTS.iterdir()] in ([], ["lock"])


def test_a_second_process_is_refused(parameters: Parameters) -> None:
    lock = CHECKPOINTS / "lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock), pytest.raises(UserError, match=r"is training on cpu\.own here"):
        train.run(find("cpu"), parameters)
