"""Which hooks of a DataModule Lightning calls, when and how often.

Complete lists are compared, so that a call too many fails like one too few. 15 training images in
batches of 8 make 2 batches; 6 images of another split make 1.
"""

import pickle
import signal
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from benchmark.data.datamodule import ImageDataModule
from lightning_conformance.call_log import Call, CallLog, with_call_log
from tests.support.mean import Mean

BATCH: list[Call] = [
    ("on_before_batch_transfer", 0),
    ("transfer_batch_to_device", 0),
    ("on_after_batch_transfer", 0),
]
TRAIN = BATCH * 2


class Stage:
    """An ImageDataModule with a call log, and trainers that call it."""

    def __init__(self, root: Path, kind: type[LightningDataModule] = ImageDataModule) -> None:
        self.calls: list[Call] = []
        self.root = root
        self.kind = with_call_log(kind, CallLog(self.calls))
        self.data = self.make()

    def make(self) -> Any:
        """Make another DataModule with the same call log."""
        return self.kind(str(self.root / "data"), 32, 8, cache_dir=str(self.root))

    def trainer(self, **options: Any) -> pl.Trainer:
        """Make a Trainer of one process and two epochs, without sanity check and checkpoints."""
        plain = {
            "max_epochs": 2, "num_sanity_val_steps": 0, "enable_checkpointing": False,
            "logger": False, "enable_progress_bar": False, "enable_model_summary": False,
            "use_distributed_sampler": False, "default_root_dir": str(self.root),
        }  # fmt: skip
        return pl.Trainer(accelerator="cpu", devices=1, **plain | options)

    def fit(self, **options: Any) -> pl.Trainer:
        """Fit a new model and return the Trainer."""
        trainer = self.trainer(**options)
        trainer.fit(Mean(), datamodule=self.data)
        return trainer


@pytest.fixture
def stage(images: Path, tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def cycle(stage: str, *between: Call) -> list[Call]:
    return [("prepare_data",), ("setup", stage), *between, ("teardown", stage)]


LOADERS: list[Call] = [("train_dataloader",), ("val_dataloader",)]


SANITY = [("val_dataloader",), *BATCH, ("train_dataloader",)]
EPOCH = TRAIN + BATCH


def test_making_one_calls_nothing(stage: Stage) -> None:
    assert stage.calls == []
    assert stage.data.trainer is None


@pytest.mark.parametrize(
    ("options", "calls"),
    [
        ({}, [*LOADERS, *EPOCH, *EPOCH]),
        ({"num_sanity_val_steps": 2, "max_epochs": 1}, [*SANITY, *EPOCH]),
        ({"num_sanity_val_steps": 2, "max_epochs": 0}, SANITY),
        ({"limit_val_batches": 0, "max_epochs": 1}, [("train_dataloader",), *TRAIN]),
        ({"fast_dev_run": True, "num_sanity_val_steps": 2}, [*LOADERS, *BATCH, *BATCH]),
        (
            {"reload_dataloaders_every_n_epochs": 1},
            [*LOADERS, *EPOCH, ("train_dataloader",), *TRAIN, ("val_dataloader",), *BATCH],
        ),
        ({"enable_checkpointing": True}, [*LOADERS, *[*EPOCH, ("state_dict",)] * 2]),
    ],
    ids=str,
)
def test_a_fit_calls_each_hook_as_often_as_needed(
    stage: Stage, options: dict[str, Any], calls: list[Call]
) -> None:
    stage.fit(**options)
    assert stage.calls == cycle("fit", *calls)


def test_fit_validate_test_and_predict_are_four_complete_cycles(stage: Stage) -> None:
    trainer, model = stage.trainer(max_epochs=1), Mean()
    trainer.fit(model, stage.data)
    trainer.validate(model, stage.data, verbose=False)
    trainer.test(model, stage.data, verbose=False)
    trainer.predict(model, stage.data)
    expected = cycle("fit", *LOADERS, *TRAIN, *BATCH)
    for name, hook in (("validate", "val"), ("test", "test"), ("predict", "predict")):
        expected += cycle(name, (f"{hook}_dataloader",), *BATCH)
    assert stage.calls == expected


def test_a_manual_setup_is_not_remembered(stage: Stage) -> None:
    stage.data.prepare_data()
    stage.data.setup("fit")
    stage.calls.clear()
    stage.fit(max_epochs=1)
    assert stage.calls == cycle("fit", *LOADERS, *TRAIN, *BATCH)


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
def test_a_resumed_fit_loads_the_state_between_setup_and_the_loaders(stage: Stage) -> None:
    trainer = stage.fit(enable_checkpointing=True, max_epochs=1)
    stage.calls.clear()
    stage.data = stage.make()
    saved = trainer.checkpoint_callback.best_model_path
    again = stage.trainer(enable_checkpointing=True)
    again.fit(Mean(), datamodule=stage.data, ckpt_path=saved)
    loaded = [("load_state_dict",), *LOADERS, *TRAIN, *BATCH, ("state_dict",)]
    assert stage.calls == cycle("fit", *loaded)


@pytest.mark.parametrize("name", ["validate", "test", "predict"])
def test_a_checkpoint_gives_its_state_to_every_kind_of_run(stage: Stage, name: str) -> None:
    trainer = stage.fit(enable_checkpointing=True, max_epochs=1)
    stage.calls.clear()
    saved = trainer.checkpoint_callback.best_model_path
    again = stage.trainer(enable_checkpointing=True)
    getattr(again, name)(Mean(), datamodule=stage.data, ckpt_path=saved)
    loader = {"validate": "val"}.get(name, name)
    assert stage.calls == cycle(name, ("load_state_dict",), (f"{loader}_dataloader",), *BATCH)


class Broken(ImageDataModule):
    """An ImageDataModule whose hooks can be made to fail."""


@pytest.mark.parametrize(
    "hook", ["prepare_data", "setup", "train_dataloader", "on_before_batch_transfer", "teardown"]
)
def test_after_an_error_on_exception_is_called_once_and_teardown_no_more(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hook: str
) -> None:
    def fail(*_: Any, stage: str | None = None) -> None:
        raise RuntimeError(f"broken {hook}")

    monkeypatch.setattr(Broken, hook, fail, raising=False)
    stage = Stage(tmp_path, Broken)
    with pytest.raises(RuntimeError, match=f"^broken {hook}$"):
        stage.fit()
    names = [call[0] for call in stage.calls]
    assert names[-2:] == [hook, "on_exception"]
    assert names.count("on_exception") == 1
    assert names.count("teardown") == (hook == "teardown")


class Failing(Mean):
    """A model that raises in its first step."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def training_step(self, *_: Any) -> Any:
        raise self.error


def test_an_error_in_the_model_reaches_the_datamodule_unchanged(stage: Stage) -> None:
    caught, error = [], RuntimeError("broken step")
    stage.data.on_exception = caught.append
    with pytest.raises(RuntimeError) as raised:
        stage.trainer().fit(Failing(error), datamodule=stage.data)
    assert raised.value is error
    assert caught == [error]
    assert ("teardown", "fit") not in stage.calls


def test_an_interrupt_reaches_the_datamodule_and_ends_the_process(stage: Stage) -> None:
    caught: list[BaseException] = []
    stage.data.on_exception = caught.append
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit):
            stage.trainer().fit(Failing(KeyboardInterrupt()), datamodule=stage.data)
    finally:
        signal.signal(signal.SIGINT, before)  # Lightning leaves it ignored
    assert [type(error) for error in caught] == [KeyboardInterrupt]


def test_a_datamodule_stays_with_its_trainer(stage: Stage) -> None:
    """Given loaders, a test still prepares and sets up the DataModule of the fit before it, but
    leaves its batches alone."""
    trainer, model = stage.trainer(max_epochs=1), Mean()
    trainer.fit(model, datamodule=stage.data)
    stage.calls.clear()
    trainer.test(model, dataloaders=DataLoader([0]), verbose=False)
    assert stage.calls == cycle("test")


def test_the_last_trainer_is_the_one_that_it_knows(stage: Stage) -> None:
    first = stage.fit(max_epochs=1)
    assert stage.data.trainer is first
    stage.calls.clear()
    second = stage.fit(max_epochs=1)
    assert stage.data.trainer is second
    assert stage.calls == cycle("fit", *LOADERS, *TRAIN, *BATCH)


def test_a_second_fit_of_one_trainer_requests_the_loaders_again(stage: Stage) -> None:
    trainer = stage.fit(max_epochs=1)
    stage.calls.clear()
    trainer.fit_loop.max_epochs = 2
    trainer.fit(Mean(), datamodule=stage.data)
    assert stage.calls == cycle("fit", *LOADERS, *TRAIN, *BATCH)


def test_the_trainer_names_the_stage_while_a_batch_is_moved(images: Path, tmp_path: Path) -> None:
    seen: list[str] = []

    class Asking(ImageDataModule):
        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            flags = ("sanity_checking", "training", "validating", "testing", "predicting")
            seen.append(" ".join(flag for flag in flags if getattr(self.trainer, flag)))
            return super().on_after_batch_transfer(batch, dataloader_idx)

    stage = Stage(tmp_path, Asking)
    trainer = stage.fit(max_epochs=1, num_sanity_val_steps=1)
    trainer.test(Mean(), stage.data, verbose=False)
    trainer.predict(Mean(), stage.data)
    expected = ["sanity_checking", "training", "training", "validating", "testing", "predicting"]
    assert seen == expected


def test_its_state_lies_under_its_name_in_a_checkpoint(stage: Stage) -> None:
    import torch

    trainer = stage.fit(enable_checkpointing=True, max_epochs=1)
    saved = torch.load(trainer.checkpoint_callback.best_model_path, weights_only=True)
    assert set(saved["ImageDataModule"]) == {"digest_log"}


def test_prepare_data_leaves_no_state_and_does_its_work_once(images: Path, tmp_path: Path) -> None:
    """Other ranks never call it; the second call on this one finds the cache and leaves it."""
    data = ImageDataModule(str(images), 32, 8, cache_dir=str(tmp_path / "cache"))
    before = pickle.dumps(data)
    data.prepare_data()
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}
    data.prepare_data()
    assert pickle.dumps(data) == before
    assert files
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}


def test_setup_needs_nothing_of_the_object_that_prepared(images: Path, tmp_path: Path) -> None:
    ImageDataModule(str(images), 32, 8, cache_dir=str(tmp_path)).prepare_data()
    other = ImageDataModule(str(images), 32, 8, cache_dir=str(tmp_path))
    other.setup("fit")
    assert len(next(iter(other.train_dataloader())).labels) == 8


def test_it_can_be_pickled_and_printed_before_setup(images: Path, tmp_path: Path) -> None:
    data = ImageDataModule(str(images), 32, 8, cache_dir=str(tmp_path))
    copy = pickle.loads(pickle.dumps(data))
    assert copy.classes == data.classes
    assert "None" in str(data)


def test_two_of_them_share_nothing(stage: Stage) -> None:
    one, other = stage.make(), stage.make()
    one.prepare_data()
    one.setup("fit")
    assert one._samples
    assert not other._samples
    assert one.digest_log is not other.digest_log
