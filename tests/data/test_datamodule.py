import multiprocessing
import os
import re
import signal
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data._utils import signal_handling

from benchmark.data.cache import ImageStore
from benchmark.data.datamodule import LOADER_TIMEOUT, Batch, ImageDataModule
from benchmark.data.decoding import decode
from benchmark.data.digest_log import DigestLog
from benchmark.data.folder import scan
from benchmark.data.randomness import permutation
from benchmark.errors.user_error import UserError
from tests.support.fixtures import write_images


def module(root: Path, **options: Any) -> ImageDataModule:
    options = {"image_size": 32, "batch_size": 4, "seed": 7} | options
    return ImageDataModule(str(root), cache_dir=str(root.parent / ".cache"), **options)


def ready(root: Path, stage: str = "fit", **options: Any) -> ImageDataModule:
    data = module(root, **options)
    data.prepare_data()
    data.setup(stage)
    return data


def batches(data: ImageDataModule, epoch: int = 0) -> list[Batch]:
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return list(loader)


def same(one: list[Batch], other: list[Batch]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(torch.equal(a, b) for left, right in pairs for a, b in zip(left, right, strict=True))


class Probe(pl.LightningModule):
    """A model that keeps every training batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.seen: list[tuple[Tensor, Tensor]] = []

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        self.seen.append(batch)
        return self.layer(batch[0].mean().reshape(1, 1)).sum()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        assert batch[0].shape[1:] == (3, 32, 32)

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return batch[1]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def trainer(path: Path, **options: Any) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
        default_root_dir=path, **options,
    )  # fmt: skip


def test_classes_come_from_the_folders(tmp_path: Path) -> None:
    write_images(tmp_path / "data", classes=4)
    assert module(tmp_path / "data").classes == tuple(f"class {label}" for label in range(4))


def test_a_loaders_batch_is_bytes_with_labels_windows_flips_and_keys(images: Path) -> None:
    batch = batches(ready(images), epoch=2)[0]
    assert (batch.images.shape, batch.images.dtype) == ((4, 40, 40, 3), torch.uint8)
    assert (batch.labels.shape, batch.labels.dtype) == ((4,), torch.int64)
    assert (batch.windows.shape, batch.windows.dtype) == ((4, 2, 4), torch.int32)
    assert (batch.flips.shape, batch.flips.dtype) == ((4,), torch.bool)
    assert batch.keys[:, 0].tolist() == [2] * 4


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_pixels_and_labels_belong_to_the_key(images: Path, split: str) -> None:
    paths = sorted((images / split).glob("*/*.png"))
    for batch in getattr(ready(images, None), f"{split}_dataloader")():
        for image, label, key in zip(batch.images, batch.labels, batch.keys, strict=True):
            path = paths[int(key[1])]
            np.testing.assert_array_equal(image, np.asarray(decode(path)))
            assert path.parent.name == f"class {label}"


@pytest.mark.parametrize("split", ["val", "test", "predict"])
def test_evaluation_yields_every_sample_once_in_order_and_unflipped(images: Path, split) -> None:
    loaded = list(getattr(ready(images, None), f"{split}_dataloader")())
    keys = torch.cat([batch.keys[:, 1] for batch in loaded])
    assert keys.tolist() == list(range(6))
    assert not torch.cat([batch.flips for batch in loaded]).any()


def test_another_seed_crops_the_same_sample_elsewhere(images: Path) -> None:
    views = []
    for seed in (7, 8):
        loaded = batches(ready(images, seed=seed))
        keys = torch.cat([batch.keys[:, 1] for batch in loaded])
        views.append(torch.cat([batch.windows for batch in loaded])[keys.argsort()])
    assert (views[0] != views[1]).flatten(1).any(1).all()


def test_a_crop_of_the_complete_area_is_the_complete_image(images: Path) -> None:
    data = module(images)
    data.crop_area = (1.0, 1.0)
    data.prepare_data()
    data.setup("fit")
    for batch in batches(data):
        assert (batch.windows[:, :, :2] == torch.tensor([0, 40 << 16])).all()


def test_two_ranks_share_the_samples_of_one_process(images: Path) -> None:
    """The samplers use the rank and world size of the trainer, which Lightning sets earlier."""
    shares = []
    progress = types.SimpleNamespace(current=types.SimpleNamespace(processed=0))
    fit_loop = types.SimpleNamespace(epoch_progress=progress)
    for rank in (0, 1):
        data = ready(images)
        device = types.SimpleNamespace(root_device=torch.device("cpu"))
        data.trainer = types.SimpleNamespace(
            global_rank=rank, world_size=2, strategy=device, fit_loop=fit_loop
        )
        shares.append([key for _, key in data.train_dataloader().sampler])
    alone = [key for _, key in ready(images).train_dataloader().sampler]
    assert [key for pair in zip(*shares, strict=True) for key in pair][:15] == alone


def test_the_model_gets_normalised_floats(images: Path, tmp_path: Path) -> None:
    probe = Probe()
    trainer(tmp_path, max_epochs=1).fit(probe, datamodule=module(images))
    floats, labels = probe.seen[0]
    assert (floats.shape, floats.dtype) == ((4, 3, 32, 32), torch.float32)
    assert (labels.shape, labels.dtype) == ((4,), torch.int64)
    everything = torch.cat([images for images, _ in probe.seen])
    assert -2.2 < everything.min() < -1
    assert 1 < everything.max() < 2.7
    assert torch.cat([labels for _, labels in probe.seen]).bincount().tolist() == [5, 5, 5]


def test_the_log_chains_order_by_epoch_and_the_first_pixels(images, tmp_path) -> None:
    logs = []
    for options in ({}, {"num_workers": 2}, {"seed": 8}):
        data = module(images, **options)
        trainer(tmp_path, max_epochs=3).fit(Probe(), datamodule=data)
        logs.append(data.digest_log.state_dict())
    one, workers, other = logs
    assert one == workers
    assert list(one["order"]) == [0, 1, 2]
    assert one["pixel_batches"] == 8
    assert one["pixels"] != other["pixels"]
    assert not set(one["order"].values()) & set(other["order"].values())


def test_the_digest_of_pixels_is_that_of_the_loaders_batches(images: Path, tmp_path: Path) -> None:
    """The digest is recomputed from pixels, labels, windows and flips, for two epochs."""
    data, expected = module(images), DigestLog()
    trainer(tmp_path, max_epochs=2).fit(Probe(), datamodule=data)
    again = ready(images)
    for batch in batches(again) + batches(again, epoch=1):
        expected.record_pixels(batch.images, batch.labels, batch.windows, batch.flips)
    assert data.digest_log.pixels == expected.pixels


def test_validation_and_sanity_checks_leave_the_evidence_alone(images, tmp_path) -> None:
    states = []
    for options in ({"limit_val_batches": 0}, {"num_sanity_val_steps": 2}):
        data = module(images)
        trainer(tmp_path, max_epochs=2, **options).fit(Probe(), datamodule=data)
        states.append(data.digest_log.state_dict())
    assert states[0] == states[1]


def test_a_second_fit_starts_a_new_log(images: Path, tmp_path: Path) -> None:
    data = module(images)
    trainer(tmp_path, max_epochs=1).fit(Probe(), datamodule=data)
    once = data.digest_log.state_dict()
    trainer(tmp_path, max_epochs=1).fit(Probe(), datamodule=data)
    assert data.digest_log.state_dict() == once


def test_predictions_cover_the_test_split_in_order(images: Path, tmp_path: Path) -> None:
    predicted = trainer(tmp_path).predict(Probe(), datamodule=module(images))
    assert torch.cat(predicted).tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("end", ["teardown", "on_exception"])
def test_the_images_are_released(images: Path, end: str) -> None:
    data = ready(images)
    assert data._samples
    getattr(data, end)("fit" if end == "teardown" else RuntimeError())
    assert not data._samples


class Saver(pl.Callback):
    """Writes a checkpoint after each step and at the end of each epoch."""

    def _save(self, trainer: pl.Trainer, moment: str = "") -> None:
        path = Path(trainer.default_root_dir) / f"{trainer.global_step}{moment}.ckpt"
        trainer.save_checkpoint(path)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self._save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self._save(trainer, "end")


@pytest.mark.parametrize(
    ("workers", "limit", "digests"),
    [(0, 1.0, True), (0, 3, False), (2, 3, True), (2, 1.0, False)],
)
def test_a_run_resumed_after_any_step_sees_the_samples_that_remain(
    images: Path, tmp_path: Path, workers: int, limit: float, digests: bool
) -> None:
    """Each of 3 epochs has 4 batches, of which all or the first 3 are used."""
    fit = {"max_epochs": 3, "limit_train_batches": limit, "num_sanity_val_steps": 0}
    options = {"num_workers": workers, "digests": digests}
    complete, data = Probe(), module(images, **options)
    trainer(tmp_path, callbacks=[Saver()], **fit).fit(complete, datamodule=data)
    assert (data.digest_log.state_dict() != DigestLog().state_dict()) == digests
    steps = len(complete.seen) // 3
    names = ["1", f"{steps - 1}", f"{steps}", f"{steps}end", f"{steps + 2}"]
    for name in (*names, f"{3 * steps - 1}", f"{2 * steps}end"):
        step = int(name.removesuffix("end"))
        rest, resumed = Probe(), module(images, **options)
        path = tmp_path / f"{name}.ckpt"
        trainer(tmp_path, **fit).fit(rest, datamodule=resumed, ckpt_path=path)
        pairs = zip(rest.seen, complete.seen[step:], strict=True)
        assert all(torch.equal(a[0], b[0]) for a, b in pairs), name
        assert resumed.digest_log.state_dict() == data.digest_log.state_dict()


@pytest.fixture
def none_left() -> Iterator[None]:
    """Check that no loader process survives the test."""
    before = set(multiprocessing.active_children())
    yield
    for process in set(multiprocessing.active_children()) - before:
        process.join(10)  # torch has sent SIGTERM and does not wait
    assert set(multiprocessing.active_children()) <= before


def test_a_death_is_noticed_in_every_fit(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning removes torch's handler of SIGCHLD after the first fit; without it, the loader
    waits for a dead process for minutes."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    monkeypatch.setattr(signal_handling, "_SIGCHLD_handler_set", False)
    try:
        for _ in range(2):
            handler = DeathHandler()
            trainer(tmp_path, callbacks=[handler], max_epochs=1).fit(
                Probe(), datamodule=module(images, num_workers=1)
            )
            assert handler.handler not in (None, signal.SIG_DFL, signal.SIG_IGN)
    finally:
        signal.signal(signal.SIGCHLD, before)


class DeathHandler(pl.Callback):
    """Records the handler of SIGCHLD during a fit."""

    def on_train_batch_start(self, *_: object) -> None:
        self.handler = signal.getsignal(signal.SIGCHLD)


class Kill(pl.Callback):
    """Kills a loader process in the first epoch."""

    def on_train_start(self, trainer: pl.Trainer, *_: object) -> None:
        os.kill(trainer.train_dataloader._iterator._workers[1].pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.usefixtures("none_left")
def test_a_loader_process_that_dies_is_named_with_its_place(images: Path, tmp_path: Path) -> None:
    """The fit has many epochs in which the death can be noticed."""
    data = module(images, num_workers=2)
    message = r"process 2 of 2 was ended by SIGKILL; its batch begins with .*/train/.*png\. "
    with pytest.raises(UserError, match=message):
        trainer(tmp_path, callbacks=[Kill()], max_epochs=1000).fit(Probe(), datamodule=data)


@pytest.mark.slow
@pytest.mark.usefixtures("none_left")
def test_a_loader_process_that_hangs_is_named_with_its_place(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second process hangs at the second batch."""
    monkeypatch.setattr("benchmark.data.datamodule.LOADER_TIMEOUT", 1)
    fifth, take = permutation(7, 0, 15)[4], ImageStore.take

    def hang(store: ImageStore, positions: Any) -> Any:
        if positions[0] == fifth:
            signal.pause()
        return take(store, positions)

    monkeypatch.setattr(ImageStore, "take", hang)
    path = scan(images).splits["train"].paths[fifth]
    message = f"Loader process 2 of 2 gave no batch for 1 s; its batch begins with {path}. Look at"
    with pytest.raises(UserError, match=re.escape(message)):
        trainer(tmp_path, max_epochs=1).fit(Probe(), datamodule=module(images, num_workers=2))


@pytest.mark.parametrize("stage", ["fit", "validate", "test", "predict", None])
def test_setup_readies_the_loaders_that_the_stage_needs(images: Path, stage: str | None) -> None:
    data = module(images)
    data.prepare_data()
    data.setup(stage)
    needed = {
        "fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("predict",),
        None: ("train", "val", "test", "predict"),
    }  # fmt: skip
    for name in needed[stage]:
        assert sum(len(batch.labels) for batch in getattr(data, f"{name}_dataloader")()) > 0


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_nothing(images: Path, workers: int) -> None:
    alone, shared = ready(images), ready(images, num_workers=workers)
    loader, shared_loader = alone.train_dataloader(), shared.train_dataloader()
    for epoch in range(3):  # the shared loader keeps its workers from epoch to epoch
        loader.sampler.set_epoch(epoch)
        shared_loader.sampler.set_epoch(epoch)
        assert same(list(loader), list(shared_loader))


def test_the_decode_cache_changes_nothing(images: Path) -> None:
    assert same(batches(ready(images)), batches(ready(images, cache_gib=0.0)))


def test_another_seed_and_another_epoch_differ(images: Path) -> None:
    one = batches(ready(images))
    assert same(one, batches(ready(images)))
    assert not same(one, batches(ready(images, seed=8)))
    assert not same(one, batches(ready(images), epoch=1))


@pytest.mark.parametrize("stage", ["fit", "test"])
def test_every_loader_has_a_timeout(images: Path, stage: str) -> None:
    data = ready(images, stage, num_workers=1)
    for loader in (data.train_dataloader, data.val_dataloader) if stage == "fit" else (
        data.test_dataloader, data.predict_dataloader
    ):  # fmt: skip
        assert loader().timeout == LOADER_TIMEOUT
