"""The training stage, with a small network in ResNet50's place where that changes nothing."""

import csv
import errno
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from filelock import FileLock
from safetensors.torch import load_file

from benchmark.common import digests
from benchmark.common.files import read_json
from benchmark.common.parameters import Parameters
from benchmark.common.results import ResultPaths, TrainingPaths, read_result
from benchmark.errors.user_error import UserError
from benchmark.machine.accelerators import find
from benchmark.pipeline import replay, train
from benchmark.training import fit
from benchmark.training.checkpoint_dir import SealedCheckpoints
from benchmark.training.fit import Fit
from benchmark.training.model import FineTuner
from benchmark.training.schema import TIMING, TRAINING, FirstSteps, Timing, Training
from tests import REPOSITORY
from tests.support.fixtures import LAUNCHERS, launch, make_workspace

pytestmark = pytest.mark.usefixtures("small_network")
CPU = ResultPaths("cpu")
SCRATCH = Path(".checkpoints/cpu.own")
SAVE = SealedCheckpoints.save_checkpoint
DIGESTS = ("weights", "initial_weights", "order", "pixels")


def trained(parameters: Parameters) -> Training:
    train.run(find("cpu"), parameters)
    return training(CPU.own)


def training(results: TrainingPaths) -> Training:
    """What was written; it is no other kind of result."""
    written = read_result(results.result, TRAINING)
    assert isinstance(written, Training)
    return written


def timing() -> Timing:
    written = read_result(CPU.own.timing, TIMING)
    assert isinstance(written, Timing)
    return written


def without_inputs(result: Training) -> dict[str, Any]:
    return result.model_dump(exclude={"inputs"})


def test_the_result_holds_status_metrics_and_digests(parameters: Parameters) -> None:
    result = trained(parameters)
    assert result.status == "ok"
    assert result.accelerator == "cpu"
    assert result.classes == 3
    found = result.digests
    assert result.epochs == len(found.order_by_epoch) == 3
    assert result.steps == 3 * 4
    for metrics in (result.test, result.val):
        assert 0 <= metrics.accuracy <= metrics.top5 <= 1
    assert all(len(getattr(found, name)) == 64 for name in DIGESTS)
    assert found.weights != found.initial_weights
    assert found.order == found.order_by_epoch[-1]


def test_the_weights_that_it_starts_from_are_printed_once(change, workspace, capsys) -> None:
    """Random ones are not from anywhere."""
    network = fit.fine_tuner(change(), 9).network
    torch.save({"state_dict": network.state_dict()}, "w.ckpt")
    capsys.readouterr()
    trained(change(model={"weights": "w.ckpt"}, train={"max_epochs": 1}))
    first, *others = capsys.readouterr().out.splitlines()
    assert first == "cpu: weights of w.ckpt (torch's zip format); entry 'state_dict'; left out: fc"
    assert [line.startswith("cpu epoch 1/1: ") for line in others] == [True]
    trained(change(train={"max_epochs": 1}))
    assert "weights" not in capsys.readouterr().out


def test_only_deterministic_algorithms_are_used(parameters: Parameters) -> None:
    torch.use_deterministic_algorithms(False)
    trained(parameters)
    assert torch.are_deterministic_algorithms_enabled()


def test_losses_and_metrics_are_written_per_step_and_per_epoch(parameters: Parameters) -> None:
    result = trained(parameters)
    with CPU.own.steps.open(newline="") as file:
        steps = list(csv.DictReader(file))
    with CPU.own.epochs.open(newline="") as file:
        epochs = list(csv.DictReader(file))
    assert [int(row["step"]) for row in steps] == list(range(1, 13))
    assert [int(row["epoch"]) for row in epochs] == [1, 2, 3]
    for row in epochs:
        losses = [float(s["train_loss"]) for s in steps if s["epoch"] == row["epoch"]]
        assert float(row["train_loss"]) == pytest.approx(sum(losses) / len(losses))
    best = min(epochs, key=lambda row: float(row["val_loss"]))
    assert int(best["epoch"]) == result.best_epoch
    assert result.val.loss == pytest.approx(float(best["val_loss"]), abs=1e-6)


def test_what_each_test_image_was_taken_for_is_written(parameters: Parameters) -> None:
    """As the weights say that were kept, in the order of the files."""
    result = trained(parameters)
    with CPU.own.predictions.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [
        f"class {label}/{number:03}.png" for label in range(3) for number in range(2)
    ]
    assert all(row["image"].startswith(row["label"] + "/") for row in rows)
    right = sum(row["label"] == row["prediction"] for row in rows)
    assert right / len(rows) == pytest.approx(result.test.accuracy, abs=1e-6)
    model = fit.fine_tuner(parameters, 3).eval()
    model.network.load_state_dict(load_file(CPU.own.model / "weights.safetensors"))
    data = fit.data_module(parameters)
    data.setup("test")
    with torch.no_grad():
        found = [
            model.predict_step(data.on_after_batch_transfer(batch, 0), 0)
            for batch in data.test_dataloader()
        ]
    probability, label = torch.cat(found).max(dim=1)
    assert [row["prediction"] for row in rows] == [f"class {n}" for n in label.tolist()]
    written = torch.tensor([float(row["probability"]) for row in rows])
    torch.testing.assert_close(written, probability, atol=1e-5, rtol=0)


class After(pl.Callback):
    """Notes the network's digest after a number of steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.weights = ""

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if trainer.global_step == self.steps:
            self.weights = digests.of_state(module.network.state_dict())


@pytest.mark.parametrize(("epochs", "steps"), [(3, 10), (2, 8)])
def test_the_first_steps_leave_a_digest(change, workspace, monkeypatch, epochs, steps) -> None:
    after = After(steps)
    add_callback(monkeypatch, after)
    log_instead(monkeypatch, "validation_step", "val", lambda module: -module.current_epoch)
    result = trained(change(train={"max_epochs": epochs}))
    assert result.digests.first_steps == FirstSteps(steps=steps, weights=after.weights)
    assert result.best_epoch == epochs
    assert (after.weights == result.digests.weights) == (epochs == 2)


def test_losses_are_written_exactly() -> None:
    losses = np.random.default_rng(0).uniform(0, 10, 1000).astype(np.float32)
    assert [np.float32(text) for text in train.exact(tuple(losses.tolist()))] == losses.tolist()


def test_the_precision_is_the_one_asked_for(change, workspace: Path) -> None:
    parameters = change(train={"precision": "bf16-mixed"})
    assert Fit(find("cpu"), parameters, workspace).trainer.precision == "bf16-mixed"


def test_the_first_loss_is_that_of_the_seeded_weights(parameters: Parameters) -> None:
    """Recomputed without Lightning: the pinned order, pixels and weights, and cross-entropy."""
    trained(parameters)
    data = fit.data_module(parameters)
    data.setup("fit")
    model = fit.fine_tuner(parameters, 3).train()
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    with CPU.own.steps.open(newline="") as file:
        first = float(next(csv.DictReader(file))["train_loss"])
    assert first == pytest.approx(model.training_step(batch, 0).item(), rel=1e-5)


def test_the_model_directory_holds_the_weights_that_were_digested(parameters: Parameters) -> None:
    result = trained(parameters)
    state = load_file(CPU.own.model / "weights.safetensors")
    assert digests.of_state(state) == result.digests.weights
    assert read_json(CPU.own.model / "status.json")["classes"] == ["class 0", "class 1", "class 2"]
    mode = (CPU.own.model / "weights.safetensors").stat().st_mode
    assert mode & 0o777 == (CPU.own.model / "status.json").stat().st_mode & 0o777


class Ruin(pl.Callback):
    """From an epoch on, makes steps so large that nothing learned remains."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            trainer.optimizers[0].param_groups[0]["lr"] = 10.0


def add_callback(monkeypatch: pytest.MonkeyPatch, callback: pl.Callback) -> None:
    extras = Fit._extras
    monkeypatch.setattr(Fit, "_extras", lambda run, terminal: [*extras(run, terminal), callback])


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_launchers_other_processes_are_none_of_this_training(
    parameters: Parameters, monkeypatch: pytest.MonkeyPatch, launcher: str
) -> None:
    """One device is one process, and this is it: it writes, and its results are the same."""
    expected = trained(parameters)
    shutil.rmtree("reports/train")
    launch(launcher, monkeypatch)
    assert trained(parameters) == expected
    assert CPU.own.steps.exists()


class SpoilValidation(pl.Callback):
    """Turns the head round before the last validation, after the last step of training."""

    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.current_epoch + 1 == trainer.max_epochs:
            with torch.no_grad():
                module.network.fc.weight.mul_(-10.0)


def test_the_best_epoch_is_by_validation_loss(change, workspace: Path, monkeypatch) -> None:
    """Where the training loss says otherwise."""
    add_callback(monkeypatch, SpoilValidation())
    result = trained(change(train={"max_epochs": 3, "learning_rate": 0.001}))
    with CPU.own.epochs.open(newline="") as file:
        epochs = list(csv.DictReader(file))
    assert min(epochs, key=lambda row: float(row["train_loss"])) is epochs[-1]
    assert max(epochs, key=lambda row: float(row["val_loss"])) is epochs[-1]
    assert result.best_epoch < 3


def test_the_test_is_of_the_best_epoch(change, workspace: Path, monkeypatch) -> None:
    parameters = change()
    add_callback(monkeypatch, Ruin(2))
    result = trained(parameters)
    assert result.best_epoch < 3 == result.epochs
    model = fit.fine_tuner(parameters, 3)
    model.network.load_state_dict(load_file(CPU.own.model / "weights.safetensors"))
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
        use_distributed_sampler=False,
    )  # fmt: skip
    data = fit.data_module(parameters)
    tested = trainer.test(model, data, verbose=False)[0]
    validated = trainer.validate(model, data, verbose=False)[0]
    assert result.test.loss == pytest.approx(tested["test/loss"], rel=1e-5)
    assert result.val.loss == pytest.approx(validated["val/loss"], rel=1e-5)


def test_training_stops_when_validation_no_longer_improves(change, workspace, monkeypatch) -> None:
    add_callback(monkeypatch, Ruin(1))
    result = trained(change(train={"max_epochs": 20, "patience": 1}))
    assert (result.best_epoch, result.epochs) == (1, 2)


class Reads(pl.Callback):
    """Notes by phase each image that is opened; an audit hook stays until its process ends."""

    def __init__(self) -> None:
        self.phase = ""
        self.splits: dict[str, set[str]] = {"fit": set(), "test": set()}
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and self.phase and str(arguments[0]).endswith(".png"):
            self.splits[self.phase].add(Path(arguments[0]).parts[-3])

    def on_train_start(self, *_: Any) -> None:
        self.phase = "fit"

    def on_train_end(self, *_: Any) -> None:
        self.phase = ""

    def on_test_start(self, *_: Any) -> None:
        self.phase = "test"

    def on_test_end(self, *_: Any) -> None:
        self.phase = ""


def test_the_test_split_is_read_by_the_test_alone(change, workspace: Path, monkeypatch) -> None:
    """Without a decode cache, so that each image is opened when it is wanted."""
    reads = Reads()
    add_callback(monkeypatch, reads)
    trained(change(data={"cache_gib": 0}))
    assert reads.splits == {"fit": {"train", "val"}, "test": {"test"}}


def test_wall_times_are_apart_from_the_result(parameters: Parameters) -> None:
    result = trained(parameters)
    times = timing()
    assert len(times.epoch_seconds) == 3
    assert times.total_seconds > sum(times.epoch_seconds) > 0
    assert not any("second" in key for key in result.model_dump())


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(change, workspace) -> None:
    one, again, other = trained(change()), trained(change()), trained(change(seed=8))
    assert one == again
    for name in DIGESTS:
        assert getattr(one.digests, name) != getattr(other.digests, name), name


def test_a_further_seed_is_another_run_beside_the_first(change, workspace: Path, capsys) -> None:
    parameters = change(seeds=[8])
    first = trained(parameters)
    capsys.readouterr()
    train.run(find("cpu"), parameters, "8")
    assert capsys.readouterr().out.startswith("cpu seed 8 epoch 1/3: ")
    assert training(CPU.own) == first
    further = training(CPU.training("8"))
    assert without_inputs(further) == without_inputs(trained(change(seed=8)))


def test_a_frozen_backbone_stays_and_its_head_learns(change, workspace: Path) -> None:
    parameters = change(model={"freeze_backbone": True}, train={"learning_rate": 0.01})
    result = trained(parameters)
    initial = fit.fine_tuner(parameters, 3).network.state_dict()
    for name, value in load_file(CPU.own.model / "weights.safetensors").items():
        assert torch.equal(value, initial[name]) != name.startswith("fc."), name
    times = timing()
    assert times.features_seconds > 0
    parts = [times.features_seconds, *times.epoch_seconds, times.test_seconds]
    assert times.total_seconds == pytest.approx(sum(parts), abs=0.01)
    plain = trained(change())
    assert timing().features_seconds == 0
    assert result.digests.order == plain.digests.order
    assert len(result.digests.pixels) == 64


class Watch(pl.Callback):
    """Notes the backbone's digest, statistics included, and the rates after each epoch."""

    def __init__(self) -> None:
        self.backbones: list[str] = []
        self.rates: list[list[float]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.backbones.append(digests.of_state(module.backbone.state_dict()))
        self.rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])


@pytest.mark.parametrize("rate", [3e-5, 3e-4])
def test_a_backbone_unfreezes_at_its_epoch_and_rate(change, workspace, monkeypatch, rate) -> None:
    parameters = change(train={"unfreeze_epoch": 1, "backbone_learning_rate": rate})
    watch = Watch()
    add_callback(monkeypatch, watch)
    trained(parameters)
    initial = digests.of_state(fit.fine_tuner(parameters, 3).backbone.state_dict())
    assert watch.backbones[0] == initial
    assert len({initial, *watch.backbones}) == 3
    assert watch.rates == [[1e-4], [1e-4, rate], [1e-4, rate]]


def test_while_it_is_frozen_the_head_sees_the_features_that_evaluation_sees(
    change, workspace: Path, monkeypatch
) -> None:
    """Batch norm by the source's statistics, not by the batch's."""
    parameters = change(train={"unfreeze_epoch": 1})
    modes: list[tuple[int, bool]] = []

    class Modes(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
            modes.append((trainer.current_epoch, module.network.bn1.training))

    add_callback(monkeypatch, Modes())
    trained(parameters)
    assert modes == [(epoch, epoch > 0) for epoch in range(3) for _ in range(4)]


@pytest.mark.parametrize("size", [1, 5, 7])
@pytest.mark.parametrize("frozen", [False, True])
def test_batches_of_one_image_train_and_are_evaluated(change, workspace, size, frozen) -> None:
    """15 images to train and 6 to evaluate: each batch, the last one of evaluation or of training
    holds one."""
    data = {"batch_size": size, "image_size": 64}
    result = trained(change(data=data, model={"freeze_backbone": frozen}, train={"max_epochs": 1}))
    assert result.steps == -(-15 // size)
    with CPU.own.predictions.open() as file:
        assert len(list(csv.DictReader(file))) == 6


@pytest.mark.parametrize(("size", "unfreeze"), [(1, 0), (7, 0), (7, 1)])
def test_a_batch_that_batch_norm_cannot_learn_from_is_refused_before_the_first_epoch(
    change, workspace: Path, size: int, unfreeze: int
) -> None:
    """ResNet50's last maps of images of 32 px are single pixels."""
    data = {"batch_size": size, "image_size": 32}
    parameters = change(data=data, train={"unfreeze_epoch": unfreeze})
    with pytest.raises(UserError, match=rf"batch_size = {size}.* image_size = 32.*Choose"):
        train.run(find("cpu"), parameters)
    assert not SCRATCH.exists()


@pytest.mark.parametrize("frozen", [True, False])
def test_no_batch_is_made_smaller_than_asked_for(change, workspace: Path, frozen: bool) -> None:
    """The workspace has 15 training images."""
    model = {"freeze_backbone": frozen}
    with pytest.raises(UserError, match=r"data\.batch_size = 16: there are 15 training images"):
        train.run(find("cpu"), change(model=model, data={"batch_size": 16}))
    train.run(find("cpu"), change(model=model, data={"batch_size": 15}))


def test_a_frozen_backbone_takes_any_batch(change, workspace: Path) -> None:
    """Its batch norm learns nothing."""
    parameters = change(data={"batch_size": 7, "image_size": 32}, model={"freeze_backbone": True})
    assert trained(parameters).steps == 3 * 3


def log_instead(
    monkeypatch: pytest.MonkeyPatch, step: str, split: str, value: Callable[[Any], float]
) -> None:
    """A step that logs `value` as loss, accuracy and top 5."""

    def logging_step(module: FineTuner, *_: Any) -> torch.Tensor:
        names = [f"{split}/{name}" for name in ("loss", "accuracy", "top5")]
        module.log_dict(dict.fromkeys(names, float(value(module))), batch_size=1)
        return torch.zeros(1, 3)

    monkeypatch.setattr(FineTuner, step, logging_step)


def test_patience_begins_with_the_unfreezing(change, workspace: Path, monkeypatch) -> None:
    """The loss grows with each epoch: that of epoch 3 is the first to count, 4 is worse."""
    log_instead(monkeypatch, "validation_step", "val", lambda module: module.current_epoch)
    parameters = change(train={"max_epochs": 6, "patience": 1, "unfreeze_epoch": 3})
    assert trained(parameters).epochs == 5


def test_workers_and_the_cache_change_no_digest(change, workspace: Path) -> None:
    one = without_inputs(trained(change()))
    assert one == without_inputs(trained(change(data={"num_workers": 2})))
    assert one == without_inputs(trained(change(data={"cache_gib": 0})))


def test_a_fresh_process_in_another_directory_agrees(
    parameters: Parameters, tmp_path, raw_parameters, monkeypatch
) -> None:
    """Where texts hash differently, and nothing was computed before."""
    trained(parameters)
    here = CPU.own.result.read_bytes()
    hashing = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    environment = {"PYTHONPATH": str(REPOSITORY), "PYTHONHASHSEED": hashing}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.small", "train", "cpu"],
        cwd=make_workspace(tmp_path / "elsewhere", raw_parameters, monkeypatch),
        env=os.environ | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("cpu epoch 1/3: train loss ")
    assert (tmp_path / "elsewhere" / CPU.own.result).read_bytes() == here


class Interrupt(pl.Callback):
    """Stops a fit as a power cut would: after the checkpoint of an epoch, in the next."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.current_epoch == self.epoch and trainer.fit_loop.batch_idx == 1:
            raise RuntimeError("power cut")


@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"data": {"num_workers": 2}},
        {"model": {"freeze_backbone": True}},
        {"train": {"unfreeze_epoch": 1}},
    ],
)
def test_an_interrupted_run_resumes_to_the_same_result(
    change, workspace: Path, monkeypatch: pytest.MonkeyPatch, epoch: int, changed: dict[str, Any]
) -> None:
    parameters = change(**changed)
    whole = trained(parameters)
    steps, epochs = CPU.own.steps.read_bytes(), CPU.own.epochs.read_bytes()
    with monkeypatch.context() as patch:
        add_callback(patch, Interrupt(epoch))
        with pytest.raises(RuntimeError, match="power cut"):
            train.run(find("cpu"), parameters)
    assert len(list(SCRATCH.glob("*/last.ckpt"))) == 1
    resumed = []
    monkeypatch.setattr(pl.Trainer, "fit", _spy(pl.Trainer.fit, resumed))
    assert trained(parameters) == whole
    assert resumed[0]["ckpt_path"].endswith("last.ckpt")
    assert (CPU.own.steps.read_bytes(), CPU.own.epochs.read_bytes()) == (steps, epochs)
    assert len(timing().epoch_seconds) == whole.epochs


@pytest.mark.parametrize("name", ["last", "best"])
@pytest.mark.parametrize("damage", [b"", b"half of it"])
def test_a_damaged_checkpoint_is_said_and_the_training_begins_anew(
    parameters: Parameters, monkeypatch: pytest.MonkeyPatch, capsys, name: str, damage: bytes
) -> None:
    whole = trained(parameters)
    with monkeypatch.context() as patch:
        add_callback(patch, Interrupt(2))
        with pytest.raises(RuntimeError, match="power cut"):
            train.run(find("cpu"), parameters)
    next(SCRATCH.glob(f"*/{name}.ckpt")).write_bytes(damage)
    capsys.readouterr()
    assert trained(parameters) == whole
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"cpu: {name}.ckpt damaged, training anew"
    assert len([line for line in lines if line.startswith("cpu epoch")]) == 3


def test_a_disk_that_is_full_costs_no_more_than_an_epoch(
    parameters: Parameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the second epoch's last checkpoint, and then at the result."""
    whole, write = trained(parameters), train.write_csv
    saved: list[int] = []

    def full(self: SealedCheckpoints, checkpoint: dict[str, Any], path: str, **_: Any) -> None:
        saved.append(checkpoint["epoch"])
        if checkpoint["epoch"] == 1 and Path(path).stem == "last":
            raise OSError(errno.ENOSPC, "No space left on device", path)
        SAVE(self, checkpoint, path)

    with monkeypatch.context() as patch:
        patch.setattr(SealedCheckpoints, "save_checkpoint", full)
        with pytest.raises(OSError, match="No space left"):
            train.run(find("cpu"), parameters)
    assert max(saved) == 1
    with monkeypatch.context() as patch:
        patch.setattr(train, "write_csv", lambda *_: write(None, (), ()))
        with pytest.raises(AttributeError):
            train.run(find("cpu"), parameters)
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(FineTuner, "training_step", _spy(FineTuner.training_step, calls))
    assert trained(parameters) == whole
    assert calls == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            torch.AcceleratorError("CUDA error: unspecified launch failure\nCompile with"),
            r"^cpu failed in epoch 2, after 5 steps \(CUDA error: unspecified launch failure\)\. "
            r"Repeat it: a training goes on after its last whole epoch\.$",
        ),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
            r"^cpu: out of memory with data\.batch_size = 4 \(CUDA out of memory\. Tried to "
            r"allocate 2 GiB\)\. Lower it\.$",
        ),
    ],
)
def test_an_accelerator_that_fails_in_an_epoch_costs_no_more_than_that_epoch(
    parameters: Parameters, monkeypatch: pytest.MonkeyPatch, error: RuntimeError, said: str
) -> None:
    """In the second step of the second epoch of three; others' results stay as they are."""
    whole, step, other = trained(parameters), FineTuner.training_step, ResultPaths("gpu").own.result
    other.parent.mkdir(parents=True)
    other.write_text("the gpu's")

    def failing(module: FineTuner, batch: Any, number: int) -> torch.Tensor:
        if (module.current_epoch, number) == (1, 1):
            raise error
        return step(module, batch, number)

    with monkeypatch.context() as patch:
        patch.setattr(FineTuner, "training_step", failing)
        with pytest.raises(UserError, match=said):
            train.run(find("cpu"), parameters)
    assert other.read_text() == "the gpu's"
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(FineTuner, "training_step", _spy(FineTuner.training_step, calls))
    assert trained(parameters) == whole
    assert len(calls) == 8


def test_a_run_interrupted_later_keeps_the_digest_of_its_first_steps(
    change, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three epochs are twelve steps: the first ten are behind it."""
    parameters = change(train={"max_epochs": 4})
    whole = trained(parameters)
    with monkeypatch.context() as patch:
        add_callback(patch, Interrupt(3))
        with pytest.raises(RuntimeError, match="power cut"):
            train.run(find("cpu"), parameters)
    assert trained(parameters) == whole


@pytest.mark.parametrize("patience", [1, 3])
def test_a_run_interrupted_after_its_last_epoch_trains_no_further(
    change, workspace: Path, monkeypatch: pytest.MonkeyPatch, patience: int
) -> None:
    """Patience 1 ends by early stopping, patience 3 by the last epoch."""
    parameters = change(train={"patience": patience, "max_epochs": 4})
    add_callback(monkeypatch, Ruin(1))
    whole = trained(parameters)
    with monkeypatch.context() as patch:
        patch.setattr(Fit, "_restore_best", None)
        with pytest.raises(TypeError):
            train.run(find("cpu"), parameters)
    assert trained(parameters) == whole
    assert whole.epochs == (2 if patience == 1 else 4)


def scratch_key(parameters: Parameters) -> str:
    return train.scratch_key(train.take_fingerprints("cpu", parameters, "train"))


def _spy(function: Callable[..., Any], calls: list[dict[str, Any]]) -> Callable[..., Any]:
    def spied(*arguments: Any, **options: Any) -> Any:
        calls.append(options)
        return function(*arguments, **options)

    return spied


def test_a_training_that_dvc_has_not_recorded_is_not_lost(
    parameters: Parameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC ended after the training and before it could: it removes the result, of which it does
    not know. Asked for once more, a training that it knows of is repeated."""
    monkeypatch.setenv("DVC_ROOT", str(Path.cwd()))
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(FineTuner, "training_step", _spy(FineTuner.training_step, calls))
    whole = trained(parameters)
    assert len(calls) == 12
    CPU.own.result.unlink()
    assert trained(parameters) == whole
    assert len(calls) == 12
    digest = hashlib.md5(CPU.own.result.read_bytes()).hexdigest()
    Path("dvc.lock").write_text(f"stages:\n  train@cpu-own:\n    outs:\n    - md5: {digest}\n")
    assert trained(parameters) == whole
    assert len(calls) == 24


def test_a_replay_needs_no_checkpoint_of_its_training(
    parameters: Parameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it is made is a sign that DVC has recorded the training."""
    monkeypatch.setenv("DVC_ROOT", str(Path.cwd()))
    trained(parameters)
    assert list(SCRATCH.glob("*/last.ckpt"))
    replay.run(find("cpu"), parameters)
    assert not [path for path in SCRATCH.iterdir() if path.is_dir()]


def test_a_checkpoint_of_other_inputs_is_not_resumed(change, workspace: Path) -> None:
    stale = SCRATCH / scratch_key(change(seed=8))
    stale.mkdir(parents=True)
    (stale / "last.ckpt").write_bytes(b"of another run")
    assert trained(change()).status == "ok"
    assert not stale.exists()


def test_a_successful_run_leaves_no_checkpoint(parameters: Parameters) -> None:
    trained(parameters)
    assert [path.name for path in SCRATCH.iterdir()] in ([], ["lock"])


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 8}, {"data": {"batch_size": 5}}, {"model": {"channels_last": True}},
        {"train": {"learning_rate": 1e-3}},
    ],
)  # fmt: skip
def test_whatever_matters_has_a_scratch_directory_of_its_own(change, workspace, changed) -> None:
    keys = {scratch_key(change(**c)) for c in ({}, changed)}
    assert len(keys) == 2


def test_weights_changed_under_their_name_have_a_scratch_directory_of_their_own(
    change, workspace: Path
) -> None:
    keys = set()
    for content in (b"one", b"other"):
        Path("my.pt").write_bytes(content)
        keys.add(scratch_key(change(model={"weights": "my.pt"})))
    assert len(keys) == 2


def test_one_file_of_weights_under_two_names_is_one_input(change, workspace: Path) -> None:
    """Else its two trainings, equal in every bit, would be said to differ in their parameters."""
    inputs = []
    for name in ("one.pt", "other.pt"):
        Path(name).write_bytes(b"content")
        inputs.append(train.take_fingerprints("cpu", change(model={"weights": name}), "train"))
    assert inputs[0] == inputs[1]


def test_the_best_epoch_is_kept_without_what_only_a_resume_needs(
    parameters: Parameters, monkeypatch
) -> None:
    """An optimizer's state is twice as large as the weights."""
    with monkeypatch.context() as patch:
        add_callback(patch, Interrupt(1))
        with pytest.raises(RuntimeError, match="power cut"):
            train.run(find("cpu"), parameters)
    read = SealedCheckpoints().load_checkpoint
    kept = {path.stem: read(path) for path in SCRATCH.glob("*/*.ckpt")}
    assert "optimizer_states" in kept["last"]
    assert "optimizer_states" not in kept["best"]
    assert "state_dict" in kept["best"]


def test_throughput_parameters_do_not_matter_to_training(change, workspace: Path) -> None:
    one, other = (
        train.take_fingerprints("cpu", change(throughput={"rounds": n}), "train") for n in (3, 4)
    )
    assert one == other


def test_a_second_process_is_told_to_wait(parameters: Parameters) -> None:
    lock = SCRATCH / "lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock), pytest.raises(UserError, match=r"is training on cpu\.own here"):
        train.run(find("cpu"), parameters)


def test_a_failure_overwrites_nothing(change, workspace: Path) -> None:
    before = trained(change())
    (workspace / "data/val/class 1/001.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"class 1/001\.png is not an image"):
        train.run(find("cpu"), change())
    assert training(CPU.own) == before


def test_a_diverging_run_says_so(change, workspace: Path, monkeypatch) -> None:
    log_instead(monkeypatch, "validation_step", "val", lambda module: float("nan"))
    with pytest.raises(UserError, match="the validation loss is not a finite number"):
        train.run(find("cpu"), change())


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_the_step_whose_loss_is_no_number_is_named(change, workspace, monkeypatch, loss) -> None:
    """The sixth: the second of the second epoch of four."""
    step = FineTuner.training_step

    def spoilt(module: FineTuner, batch: Any, number: int) -> torch.Tensor:
        found = step(module, batch, number)
        return found + loss if (module.current_epoch, number) == (1, 1) else found

    monkeypatch.setattr(FineTuner, "training_step", spoilt)
    with pytest.raises(UserError, match=rf"loss of step 6 is {loss}\. Lower train\.learning_rate"):
        train.run(find("cpu"), change())
    assert not CPU.own.result.exists()


def test_a_run_that_diverges_in_its_test_says_so(change, workspace: Path, monkeypatch) -> None:
    log_instead(monkeypatch, "test_step", "test", lambda module: float("nan"))
    with pytest.raises(UserError, match="the test loss is not a finite number"):
        train.run(find("cpu"), change())


def test_the_stages_before_must_have_run(parameters: Parameters) -> None:
    Path("reports/dataset.json").unlink()
    with pytest.raises(UserError, match=r"reports/dataset\.json is not here.*make repro"):
        train.run(find("cpu"), parameters)
