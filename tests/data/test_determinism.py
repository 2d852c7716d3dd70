"""Fits of a small network on the CPU give the same bits, whatever the workers or interruptions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from torch.utils.data import DataLoader

from benchmark.common import tensor_digests
from benchmark.data.datamodule import ImageDataModule
from tests.data.test_datamodule import Saver
from tests.support.fixtures import write_images
from tests.training.test_model import tuner

pytestmark = pytest.mark.usefixtures("small_network")
EPOCHS, STEPS = 2, 4


class Fit:
    """Runs a fit; its results are digests."""

    def __init__(
        self,
        root: Path,
        kind: type[ImageDataModule] = ImageDataModule,
        resume: Path | None = None,
        trainer: dict[str, Any] | None = None,
        **data: Any,
    ) -> None:
        options = {"image_size": 32, "batch_size": 4, "seed": 7, "cache_dir": str(root.parent)}
        module = kind(str(root), **options | data)
        plain = {
            "max_epochs": EPOCHS, "num_sanity_val_steps": 0, "logger": False,
            "enable_checkpointing": False, "enable_progress_bar": False,
            "enable_model_summary": False, "deterministic": True,
            "default_root_dir": str(root.parent),
        }  # fmt: skip
        model = tuner(seed=options["seed"] if "seed" not in data else data["seed"])
        pl.Trainer(accelerator="cpu", devices=1, **plain | (trainer or {})).fit(
            model, datamodule=module, ckpt_path=resume
        )
        self.weights = tensor_digests.state_digest(model.network.state_dict())
        self.evidence = module.digest_log.state_dict()

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other)


class Unusual(ImageDataModule):
    """A DataModule whose workers end with each epoch, and with another prefetch."""

    def train_dataloader(self) -> DataLoader[Any]:
        loader = super().train_dataloader()
        object.__setattr__(loader, "persistent_workers", False)  # refused after __init__
        loader.prefetch_factor = 5
        return loader


@pytest.mark.parametrize(
    "changed",
    [
        {"num_workers": 1},
        {"num_workers": 3},
        {"num_workers": 2, "kind": Unusual},
        {"cache_gib": 0.0},
        {"trainer": {"limit_val_batches": 0}},
        {"trainer": {"num_sanity_val_steps": 2}},
        {"trainer": {"check_val_every_n_epoch": 2}},
        {"trainer": {"val_check_interval": 0.5}},
    ],
    ids=str,
)
def test_what_does_not_matter_changes_no_bit(images: Path, changed: dict[str, Any]) -> None:
    assert Fit(images) == Fit(images, **changed)


def test_a_cold_cache_gives_what_a_warm_one_gives(images: Path, tmp_path: Path) -> None:
    caches = [str(tmp_path / name) for name in ("one", "other", "other")]
    cold, other, warm = (Fit(images, cache_dir=cache) for cache in caches)
    assert cold == other == warm


def test_the_directory_does_not_matter(images: Path, tmp_path: Path) -> None:
    elsewhere = write_images(tmp_path / "deep/in/another place/data")
    assert Fit(images) == Fit(elsewhere)


def test_the_seed_matters(images: Path) -> None:
    one, other = Fit(images), Fit(images, seed=8)
    assert one.weights != other.weights
    assert one.evidence["order"] != other.evidence["order"]
    assert one.evidence["pixels"] != other.evidence["pixels"]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_resumed_after_any_step_ends_the_same(images: Path, workers: int) -> None:
    uninterrupted = Fit(images, trainer={"callbacks": [Saver()]})
    checkpoints = sorted(images.parent.glob("*.ckpt"))
    assert len(checkpoints) == EPOCHS * STEPS + EPOCHS
    for checkpoint in checkpoints[:: 1 if workers == 0 else 3]:
        assert Fit(images, resume=checkpoint, num_workers=workers) == uninterrupted, checkpoint.name


def test_draws_from_the_global_generators_do_not_matter(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model with dropout draws from them, or a library in the background."""
    import random

    import numpy as np
    import torch

    uninterrupted = Fit(images)
    before: Callable[..., Any] = ImageDataModule.on_before_batch_transfer

    def drawing(*arguments: Any) -> Any:
        torch.rand(3), np.random.rand(3), random.random()
        return before(*arguments)

    monkeypatch.setattr(ImageDataModule, "on_before_batch_transfer", drawing)
    assert Fit(images) == uninterrupted
