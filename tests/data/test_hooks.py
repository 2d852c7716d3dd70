"""What Lightning calls of a DataModule, when and how often: whole lists, so that a call too many
fails like one too few. 15 training images in batches of 8 make 2 batches, 6 others make 1."""

import pickle
import signal
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from pytorch_lightning import LightningDataModule
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch.utils.data import DataLoader

from benchmark.data.datamodule import ImageDataModule
from datamodule_conformance.call_log import Call, CallLog, with_call_log
from tests.support.mean import Mean

BATCH: list[Call] = [
    ("on_before_batch_transfer", 0),
    ("transfer_batch_to_device", 0),
    ("on_after_batch_transfer", 0),
]
TRAIN = BATCH * 2


class Stage:
    """An ImageDataModule with a call log, and trainers to put it through."""

    def __init__(self, root: Path, kind: type[LightningDataModule] = ImageDataModule) -> None:
        self.calls: list[Call] = []
        self.root = root
        self.kind = with_call_log(kind, CallLog(self.calls))
        self.data = self.make()

    def make(self) -> Any:
        """Another DataModule with the same call log."""
        return self.kind(str(self.root / "data"), 32, 8, cache_dir=str(self.root))

    def trainer(self, **options: Any) -> pl.Trainer:
        """One process, two epochs, no sanity check, no checkpoints, unless told otherwise."""
        plain = {
            "max_epochs": 2, "num_sanity_val_steps": 0, "enable_checkpointing": False,
            "logger": False, "enable_progress_bar": False, "enable_model_summary": False,
            "use_distributed_sampler": False, "default_root_dir": str(self.root),
        }  # fmt: skip
        return pl.Trainer(accelerator="cpu", devices=1, **plain | options)

    def fit(self, **options: Any) -> pl.Trainer:
        """A fit of a new model."""
        trainer = self.trainer(**options)
        trainer.fit(Mean(), datamodule=self.data)
        return trainer


@pytest.fixture
def stage(images: Path, tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def cycle(stage: str, *between: Call) -> list[Call]:
    return [("prepare_data",), ("setup", stage), *between, ("teardown", stage)]


LOADERS: list[Call] = [("train_dataloader",), ("val_dataloader",)]


def test_making_one_calls_nothing(stage: Stage) -> None:
    assert stage.calls == []
    assert stage.data.trainer is None


def test_a_fit_prepares_and_sets_up_once_and_asks_for_each_loader_once(stage: Stage) -> None:
    stage.fit()
    epoch = TRAIN + BATCH
    assert stage.calls == cycle("fit", *LOADERS, *epoch, *epoch)


def test_a_sanity_check_asks_for_the_validation_loader_first(stage: Stage) -> None:
    stage.fit(num_sanity_val_steps=2, max_epochs=1)
    sanity = [("val_dataloader",), *BATCH]
    assert stage.calls == cycle("fit", *sanity, ("train_dataloader",), *TRAIN, *BATCH)


def test_without_validation_its_loader_is_never_asked_for(stage: Stage) -> None:
    stage.fit(limit_val_batches=0, max_epochs=1)
    assert stage.calls == cycle("fit", ("train_dataloader",), *TRAIN)


def test_no_epochs_still_prepare_set_up_check_and_tear_down(stage: Stage) -> None:
    stage.fit(max_epochs=0, num_sanity_val_steps=2)
    assert stage.calls == cycle("fit", ("val_dataloader",), *BATCH, ("train_dataloader",))


def test_a_fast_dev_run_checks_nothing_and_saves_nothing(stage: Stage) -> None:
    stage.fit(fast_dev_run=True, num_sanity_val_steps=2, enable_checkpointing=True)
    assert stage.calls == cycle("fit", *LOADERS, *BATCH, *BATCH)


def test_loaders_are_reloaded_when_asked(stage: Stage) -> None:
    stage.fit(reload_dataloaders_every_n_epochs=1)
    second = [("train_dataloader",), *TRAIN, ("val_dataloader",), *BATCH]
    assert stage.calls == cycle("fit", *LOADERS, *TRAIN, *BATCH, *second)


def test_its_state_is_asked_for_once_for_each_file_that_is_saved(stage: Stage) -> None:
    stage.fit(enable_checkpointing=True)
    epoch = [*TRAIN, *BATCH, ("state_dict",)]
    assert stage.calls == cycle("fit", *LOADERS, *epoch, *epoch)


def test_fit_validate_test_and_predict_are_four_whole_cycles(stage: Stage) -> None:
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
    """Raises in the hook that it is told."""

    place = ""

    def _maybe_raise(self, name: str) -> None:
        if name == self.place:
            raise RuntimeError(f"broken {name}")

    def prepare_data(self) -> None:
        self._maybe_raise("prepare_data")
        super().prepare_data()

    def setup(self, stage: str | None = None) -> None:
        self._maybe_raise("setup")
        super().setup(stage)

    def train_dataloader(self) -> Any:
        self._maybe_raise("train_dataloader")
        return super().train_dataloader()

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        self._maybe_raise("on_before_batch_transfer")
        return super().on_before_batch_transfer(batch, dataloader_idx)

    def teardown(self, stage: str | None = None) -> None:
        self._maybe_raise("teardown")
        super().teardown(stage)


@pytest.mark.parametrize(
    "place",
    ["prepare_data", "setup", "train_dataloader", "on_before_batch_transfer", "teardown"],
)
def test_after_an_error_on_exception_is_called_once_and_teardown_no_more(
    images: Path, tmp_path: Path, place: str
) -> None:
    stage = Stage(tmp_path, Broken)
    stage.data.place = place
    with pytest.raises(RuntimeError, match=f"^broken {place}$"):
        stage.fit()
    names = [call[0] for call in stage.calls]
    assert names[-2:] == [place, "on_exception"]
    assert names.count("on_exception") == 1
    assert names.count("teardown") == (place == "teardown")


class Failing(Mean):
    """Raises in its first step."""

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


def test_an_error_in_on_exception_takes_the_place_of_the_first(stage: Stage) -> None:
    def worse(error: BaseException) -> None:
        raise ValueError("worse")

    stage.data.on_exception = worse
    error = RuntimeError("broken step")
    with pytest.raises(ValueError, match="worse") as raised:
        stage.trainer().fit(Failing(error), datamodule=stage.data)
    assert raised.value.__context__ is error


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


def test_a_second_fit_of_one_trainer_asks_for_the_loaders_anew(stage: Stage) -> None:
    trainer = stage.fit(max_epochs=1)
    stage.calls.clear()
    trainer.fit_loop.max_epochs = 2
    trainer.fit(Mean(), datamodule=stage.data)
    assert stage.calls == cycle("fit", *LOADERS, *TRAIN, *BATCH)


def test_loaders_and_a_datamodule_at_once_are_refused(stage: Stage) -> None:
    with pytest.raises(
        MisconfigurationException, match=r"You cannot pass .*dataloader.*datamodule"
    ):
        stage.trainer().fit(Mean(), train_dataloaders=[1], datamodule=stage.data)
    assert stage.calls == []


def test_the_stage_is_a_text_whose_own_text_is_another(images: Path, tmp_path: Path) -> None:
    """So that f"{stage}" must not name a file; stage.value may."""
    seen: list[Any] = []

    class Noting(ImageDataModule):
        def setup(self, stage: str | None = None) -> None:
            seen.append(stage)
            super().setup(stage)

    Stage(tmp_path, Noting).fit(max_epochs=1)
    assert seen == ["fit"]
    assert isinstance(seen[0], str)
    assert (f"{seen[0]}", seen[0].value) == ("TrainerFn.FITTING", "fit")
    assert [member.value for member in TrainerFn] == ["fit", "validate", "test", "predict"]


@pytest.mark.parametrize("hook", ["setup", "teardown"])
def test_setup_and_teardown_take_the_stage(images: Path, tmp_path: Path, hook: str) -> None:
    class Without(ImageDataModule):
        pass

    setattr(Without, hook, lambda self: None)
    data = Without(str(images), 32, 8, cache_dir=str(tmp_path))
    with pytest.raises(TypeError, match="unexpected keyword argument 'stage'"):
        Stage(tmp_path).trainer().fit(Mean(), datamodule=data)


def test_the_stages_are_told_apart_while_a_batch_is_moved(images: Path, tmp_path: Path) -> None:
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


def test_several_loaders_have_their_numbers(images: Path, tmp_path: Path) -> None:
    class Two(ImageDataModule):
        def val_dataloader(self) -> Any:
            return [super().val_dataloader(), super().val_dataloader()]

    class Both(Mean):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None: ...

    stage = Stage(tmp_path, Two)
    stage.trainer().validate(Both(), stage.data, verbose=False)
    second = [(call[0], 1) for call in BATCH]
    assert stage.calls == cycle("validate", ("val_dataloader",), *BATCH, *second)


def test_its_batch_hooks_win_over_the_models(stage: Stage) -> None:
    class Rival(Mean):
        def on_after_batch_transfer(self, *_: Any) -> Any:
            raise AssertionError("the model's hook was called")

    with pytest.warns(UserWarning, match="on_after_batch_transfer"):
        stage.trainer(max_epochs=1).fit(Rival(), datamodule=stage.data)
    assert stage.calls == cycle("fit", *LOADERS, *TRAIN, *BATCH)


def test_its_state_lies_under_its_name_in_a_checkpoint(stage: Stage) -> None:
    import torch

    trainer = stage.fit(enable_checkpointing=True, max_epochs=1)
    saved = torch.load(trainer.checkpoint_callback.best_model_path, weights_only=True)
    assert set(saved["ImageDataModule"]) == {"digest_log"}


def test_a_module_without_a_loader_is_refused_by_name(images: Path, tmp_path: Path) -> None:
    class Half(ImageDataModule):
        train_dataloader = LightningDataModule.train_dataloader

    data = Half(str(images), 32, 8, cache_dir=str(tmp_path))
    with pytest.raises(MisconfigurationException, match="`train_dataloader` must be implemented"):
        Stage(tmp_path).trainer().fit(Mean(), datamodule=data)


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


def test_a_thousand_of_them_share_nothing(images: Path, tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    made = [stage.make() for _ in range(1000)]
    for name in ("digest_log", "_samples"):
        assert len({id(getattr(data, name)) for data in made}) == 1000
    made[0].prepare_data()
    made[0].setup("fit")
    assert made[0]._samples
    assert not any(data._samples for data in made[1:])
    assert stage.calls == [("prepare_data",), ("setup", "fit")]
