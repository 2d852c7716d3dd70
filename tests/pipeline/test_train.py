"""The training stage, with a small network in ResNet50's place."""

import csv
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
from safetensors.torch import load_file

from benchmark.common import tensor_digests
from benchmark.common.files import read_json
from benchmark.common.parameters import Parameters
from benchmark.common.results import read_result
from benchmark.errors.user_error import UserError, explain_system_errors
from benchmark.machine.accelerators import find
from benchmark.pipeline import train
from benchmark.training import fit
from benchmark.training.fit import Fit
from benchmark.training.inputs import take_fingerprints
from benchmark.training.model import FineTuner
from benchmark.training.schema import TIMING, FirstSteps, Timing, Training
from tests import REPOSITORY
from tests.support.fixtures import LAUNCHERS, launch, make_workspace
from tests.support.forked_python import python
from tests.support.trainings import CPU, add_callback, read_training, trained

pytestmark = pytest.mark.usefixtures("small_network")
DIGESTS = ("weights", "initial_weights", "order", "pixels")


def timing() -> Timing:
    written = read_result(CPU.own.timing, TIMING)
    assert isinstance(written, Timing)
    return written


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def without_inputs(result: Training) -> dict[str, Any]:
    return result.model_dump(exclude={"inputs"})


def test_the_result_its_tables_and_its_model_agree(parameters: Parameters) -> None:
    """Wall times differ in each run: only the file of timing has them."""
    torch.use_deterministic_algorithms(False)
    result = trained(parameters)
    assert torch.are_deterministic_algorithms_enabled()
    assert (result.status, result.accelerator, result.classes) == ("ok", "cpu", 3)
    assert result.epochs == len(result.digests.order_by_epoch) == 3
    assert result.steps == 3 * 4
    for metrics in (result.test, result.val):
        assert 0 <= metrics.accuracy <= metrics.top5 <= 1
    assert all(len(getattr(result.digests, name)) == 64 for name in DIGESTS)
    assert result.digests.weights != result.digests.initial_weights
    assert result.digests.order == result.digests.order_by_epoch[-1]

    steps, epochs = read_table(CPU.own.steps), read_table(CPU.own.epochs)
    assert [int(row["step"]) for row in steps] == list(range(1, 13))
    assert [int(row["epoch"]) for row in epochs] == [1, 2, 3]
    for row in epochs:
        losses = [float(s["train_loss"]) for s in steps if s["epoch"] == row["epoch"]]
        assert float(row["train_loss"]) == pytest.approx(sum(losses) / len(losses))
    best = min(epochs, key=lambda row: float(row["val_loss"]))
    assert int(best["epoch"]) == result.best_epoch
    assert result.val.loss == pytest.approx(float(best["val_loss"]), abs=1e-6)

    weights, status = CPU.own.model / "weights.safetensors", CPU.own.model / "status.json"
    assert tensor_digests.state_digest(load_file(weights)) == result.digests.weights
    assert read_json(status)["classes"] == ["class 0", "class 1", "class 2"]
    assert weights.stat().st_mode == status.stat().st_mode

    times = timing()
    assert len(times.epoch_seconds) == 3
    assert times.total_seconds > sum(times.epoch_seconds) > 0
    assert not any("second" in key for key in result.model_dump())


def test_the_weights_that_it_starts_from_are_printed_once(change, workspace, capsys) -> None:
    """Random weights do not come from a file."""
    network = fit.fine_tuner(change(), 9).network
    torch.save({"state_dict": network.state_dict()}, "w.ckpt")
    capsys.readouterr()
    trained(change(model={"weights": "w.ckpt"}, train={"max_epochs": 1}))
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == "cpu: weights of w.ckpt (torch's zip format); entry 'state_dict'; left out: fc"
    assert [line.startswith("cpu epoch 1/1: ") for line in rest] == [True]
    trained(change(train={"max_epochs": 1}))
    assert "weights" not in capsys.readouterr().out


def test_predictions_of_the_test_images_are_written(parameters: Parameters) -> None:
    """The rows are in the order of the files; the predictions are those of the best weights."""
    result = trained(parameters)
    rows = read_table(CPU.own.predictions)
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
        probabilities = [
            model.predict_step(data.on_after_batch_transfer(batch, 0), 0)
            for batch in data.test_dataloader()
        ]
    probability, label = torch.cat(probabilities).max(dim=1)
    assert [row["prediction"] for row in rows] == [f"class {n}" for n in label.tolist()]
    written = torch.tensor([float(row["probability"]) for row in rows])
    torch.testing.assert_close(written, probability, atol=1e-5, rtol=0)


class DigestAfter(pl.Callback):
    """Records the network's digest after a number of steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.weights = ""

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if trainer.global_step == self.steps:
            self.weights = tensor_digests.state_digest(module.network.state_dict())


@pytest.mark.parametrize(("epochs", "steps"), [(3, 10), (2, 8)])
def test_the_first_steps_leave_a_digest(change, workspace, monkeypatch, epochs, steps) -> None:
    after = DigestAfter(steps)
    add_callback(monkeypatch, after)
    log_instead(monkeypatch, "validation_step", "val", lambda module: -module.current_epoch)
    result = trained(change(train={"max_epochs": epochs}))
    assert result.digests.first_steps == FirstSteps(steps=steps, weights=after.weights)
    assert result.best_epoch == epochs
    assert (after.weights == result.digests.weights) == (epochs == 2)


def test_losses_are_written_exactly() -> None:
    losses = np.random.default_rng(0).uniform(0, 10, 1000).astype(np.float32)
    texts = train.format_row(tuple(losses.tolist()))
    assert [np.float32(text) for text in texts] == losses.tolist()


def test_the_precision_is_the_one_asked_for(change, workspace: Path) -> None:
    parameters = change(train={"precision": "bf16-mixed"})
    assert Fit(find("cpu"), parameters, workspace).trainer.precision == "bf16-mixed"


def test_the_first_loss_is_that_of_the_seeded_weights(parameters: Parameters) -> None:
    """The loss is recomputed without Lightning, from the pinned order, pixels and weights."""
    trained(parameters)
    data = fit.data_module(parameters)
    data.setup("fit")
    model = fit.fine_tuner(parameters, 3).train()
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    first = float(read_table(CPU.own.steps)[0]["train_loss"])
    assert first == pytest.approx(model.training_step(batch, 0).item(), rel=1e-5)


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_training_on_one_device_ignores_a_launchers_other_processes(
    change, workspace: Path, monkeypatch: pytest.MonkeyPatch, launcher: str
) -> None:
    """This process trains alone and writes the same results."""
    parameters = change(train={"max_epochs": 1})
    expected = trained(parameters)
    shutil.rmtree("reports/train")
    launch(launcher, monkeypatch)
    assert trained(parameters) == expected
    assert CPU.own.steps.exists()


class SpoilValidation(pl.Callback):
    """Inverts the head before the last validation, after the last step of training."""

    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.current_epoch + 1 == trainer.max_epochs:
            with torch.no_grad():
                module.network.fc.weight.mul_(-10.0)


def test_the_test_is_of_the_epoch_with_the_best_validation_loss(
    change, workspace: Path, monkeypatch
) -> None:
    """The training loss would choose another epoch."""
    parameters = change(train={"learning_rate": 0.001})
    add_callback(monkeypatch, SpoilValidation())
    result = trained(parameters)
    epochs = read_table(CPU.own.epochs)
    assert min(epochs, key=lambda row: float(row["train_loss"])) is epochs[-1]
    assert max(epochs, key=lambda row: float(row["val_loss"])) is epochs[-1]
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


class OpenedImages(pl.Callback):
    """Records the split of each image that is opened, by phase. Python keeps an audit hook until
    the process ends."""

    def __init__(self) -> None:
        self.phase = ""
        self.splits: dict[str, set[str]] = {"fit": set(), "test": set()}
        sys.addaudithook(self._record)

    def _record(self, event: str, arguments: tuple[Any, ...]) -> None:
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
    """Without a decode cache images are opened when they are needed."""
    opened = OpenedImages()
    add_callback(monkeypatch, opened)
    trained(change(data={"cache_gib": 0}))
    assert opened.splits == {"fit": {"train", "val"}, "test": {"test"}}


def test_a_log_gets_the_epochs_also_if_errors_go_to_a_terminal(
    change, workspace: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning draws its bar on stdout, so that a log of stdout would have control codes."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    trained(change(train={"max_epochs": 1}))
    assert capsys.readouterr().out.startswith("cpu epoch 1/1: ")


def test_a_place_that_cannot_be_written_to_is_refused_before_the_training(
    change, workspace: Path, capsys
) -> None:
    """A file in the place of a folder stops root too."""
    Path("reports/train").write_text("")
    with pytest.raises(UserError, match=r"^reports/train"), explain_system_errors():
        trained(change())
    assert "epoch" not in capsys.readouterr().out


def test_each_seed_has_its_bytes_and_its_files(change, workspace: Path, capsys) -> None:
    parameters = change(seeds=[8])
    first = trained(parameters)
    assert trained(parameters) == first
    capsys.readouterr()
    train.run(find("cpu"), parameters, "8")
    assert capsys.readouterr().out.startswith("cpu seed 8 epoch 1/3: ")
    assert read_training(CPU.own) == first
    second = read_training(CPU.training("8"))
    for name in DIGESTS:
        assert getattr(first.digests, name) != getattr(second.digests, name), name
    assert without_inputs(second) == without_inputs(trained(change(seed=8)))


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


class RecordBackbone(pl.Callback):
    """Records the backbone's digest and the rates after each epoch, and the mode of batch norm."""

    def __init__(self) -> None:
        self.backbones: list[str] = []
        self.rates: list[list[float]] = []
        self.modes: list[bool] = []

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        self.modes.append(module.network.bn1.training)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.backbones.append(tensor_digests.state_digest(module.backbone.state_dict()))
        self.rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])


def test_a_backbone_unfreezes_at_its_epoch_and_rate(change, workspace, monkeypatch) -> None:
    """While it is frozen, batch norm uses the loaded statistics, as evaluation does."""
    parameters = change(train={"unfreeze_epoch": 1, "backbone_learning_rate": 3e-5})
    record = RecordBackbone()
    add_callback(monkeypatch, record)
    trained(parameters)
    initial = tensor_digests.state_digest(fit.fine_tuner(parameters, 3).backbone.state_dict())
    assert record.backbones[0] == initial
    assert len({initial, *record.backbones}) == 3
    assert record.rates == [[1e-4], [1e-4, 3e-5], [1e-4, 3e-5]]
    assert record.modes == [False] * 4 + [True] * 8


@pytest.mark.parametrize("size", [1, 5, 7])
@pytest.mark.parametrize("frozen", [False, True])
def test_batches_of_one_image_train_and_are_evaluated(change, workspace, size, frozen) -> None:
    """15 images to train and 6 to evaluate: all batches, or the last ones, have one image."""
    data = {"batch_size": size, "image_size": 64}
    result = trained(change(data=data, model={"freeze_backbone": frozen}, train={"max_epochs": 1}))
    assert result.steps == -(-15 // size)
    assert len(read_table(CPU.own.predictions)) == 6


@pytest.mark.parametrize(("size", "unfreeze"), [(1, 0), (7, 0), (7, 1)])
def test_a_batch_that_batch_norm_cannot_learn_from_is_refused_before_the_first_epoch(
    change, workspace: Path, size: int, unfreeze: int
) -> None:
    """ResNet50's last feature maps for images of 32 pixels are single pixels."""
    data = {"batch_size": size, "image_size": 32}
    parameters = change(data=data, train={"unfreeze_epoch": unfreeze})
    with pytest.raises(UserError, match=rf"batch_size = {size}.* image_size = 32.*Choose"):
        train.run(find("cpu"), parameters)
    assert not Path(".checkpoints").exists()


@pytest.mark.parametrize("frozen", [True, False])
def test_no_batch_is_made_smaller_than_asked_for(change, workspace: Path, frozen: bool) -> None:
    """The workspace has 15 training images."""
    model = {"freeze_backbone": frozen}
    with pytest.raises(UserError, match=r"data\.batch_size = 16: there are 15 training images"):
        train.run(find("cpu"), change(model=model, data={"batch_size": 16}))
    train.run(find("cpu"), change(model=model, data={"batch_size": 15}))


def log_instead(
    monkeypatch: pytest.MonkeyPatch, step: str, split: str, value: Callable[[Any], float]
) -> None:
    """Replace a step by one that logs `value` as loss, accuracy and top 5."""

    def logging_step(module: FineTuner, *_: Any) -> torch.Tensor:
        names = [f"{split}/{name}" for name in ("loss", "accuracy", "top5")]
        module.log_dict(dict.fromkeys(names, float(value(module))), batch_size=1)
        return torch.zeros(1, 3)

    monkeypatch.setattr(FineTuner, step, logging_step)


def test_patience_begins_with_the_unfreezing(change, workspace: Path, monkeypatch) -> None:
    """The loss grows with each epoch: the fourth is the first to count, the fifth is worse."""
    log_instead(monkeypatch, "validation_step", "val", lambda module: module.current_epoch)
    parameters = change(train={"max_epochs": 6, "patience": 1, "unfreeze_epoch": 3})
    assert trained(parameters).epochs == 5


def test_workers_and_the_cache_change_no_digest(change, workspace: Path) -> None:
    expected = without_inputs(trained(change()))
    assert expected == without_inputs(trained(change(data={"num_workers": 2})))
    assert expected == without_inputs(trained(change(data={"cache_gib": 0})))


def test_a_fresh_process_in_another_directory_agrees(
    parameters: Parameters, tmp_path, raw_parameters, monkeypatch
) -> None:
    """In a fresh process strings have other hashes, and nothing was computed before."""
    trained(parameters)
    result = CPU.own.result.read_bytes()
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    elsewhere = make_workspace(tmp_path / "elsewhere", raw_parameters, monkeypatch)
    hashed, printed = (
        subprocess.check_output([python(), *arguments], text=True)
        for arguments in (["-c", "print(hash('a'))"], ["-m", "tests.support.small", "train", "cpu"])
    )
    assert int(hashed) != hash("a")
    assert printed.startswith("cpu epoch 1/3: train loss ")
    assert (elsewhere / CPU.own.result).read_bytes() == result


def test_one_file_of_weights_under_two_names_is_one_input(change, workspace: Path) -> None:
    """Two names would make the report call the inputs of two equal trainings different."""
    for name in ("a.pt", "b.pt"):
        Path(name).write_bytes(b"content")
    first, second = (
        take_fingerprints("cpu", change(model={"weights": name}), "train")
        for name in ("a.pt", "b.pt")
    )
    assert first == second


def test_another_network_is_another_input(change, workspace: Path) -> None:
    names = ("resnet50", "resnet18", "vit_b_16")
    inputs = [take_fingerprints("cpu", change(model={"architecture": n}), "train") for n in names]
    assert len({one.parameters for one in inputs}) == 3


def test_throughput_parameters_do_not_matter_to_training(change, workspace: Path) -> None:
    first, second = (
        take_fingerprints("cpu", change(throughput={"rounds": n}), "train") for n in (3, 4)
    )
    assert first == second


def test_a_failure_overwrites_nothing(change, workspace: Path) -> None:
    before = trained(change())
    (workspace / "data/val/class 1/001.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"class 1/001\.png is not an image"):
        train.run(find("cpu"), change())
    assert read_training(CPU.own) == before


def test_the_stages_before_must_have_run(parameters: Parameters) -> None:
    Path("reports/dataset.json").unlink()
    with pytest.raises(UserError, match=r"reports/dataset\.json is not here.*make repro"):
        train.run(find("cpu"), parameters)
