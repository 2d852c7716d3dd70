"""A frozen backbone's features, with a small network in ResNet50's place."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from benchmark.data.datamodule import ImageDataModule
from benchmark.training.features import FeatureDataModule
from benchmark.training.fit import silence_lightning
from tests.training.test_model import tuner

pytestmark = pytest.mark.usefixtures("small_network")
OPTIONS = {"image_size": 32, "batch_size": 4, "seed": 7}


def trainer(**options: Any) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
        enable_checkpointing=False, enable_model_summary=False, use_distributed_sampler=False,
        num_sanity_val_steps=0, **options,
    )  # fmt: skip


def ready(root: Path, precision: str = "32-true") -> FeatureDataModule:
    """Return a FeatureDataModule after Lightning's setup."""
    module = FeatureDataModule(root=str(root), cache_dir=str(root.parent), **OPTIONS)
    module.trainer = trainer(precision=precision)
    module.trainer.strategy.connect(tuner(freeze_backbone=True))
    module.prepare_data()
    module.setup()
    return module


@pytest.fixture
def data(images: Path) -> FeatureDataModule:
    return ready(images)


def by_index(loader: Any) -> dict[int, torch.Tensor]:
    return {
        int(index): feature
        for batch in loader
        for index, feature in zip(batch.keys[:, 1], batch.features, strict=True)
    }


def test_features_are_those_of_the_images_as_evaluation_shows_them(
    data: FeatureDataModule, images: Path, tmp_path: Path
) -> None:
    """A plain DataModule has the training images as its validation images."""
    plain = tmp_path / "plain"
    shutil.copytree(images, plain)
    shutil.rmtree(plain / "val")
    shutil.copytree(plain / "train", plain / "val")
    module = ImageDataModule(root=str(plain), cache_dir=str(tmp_path), **OPTIONS)
    module.prepare_data()
    module.setup("fit")
    model = tuner(freeze_backbone=True).eval()
    batches = [module.on_after_batch_transfer(batch, 0)[0] for batch in module.val_dataloader()]
    with torch.no_grad():
        expected = torch.cat([model.features(batch) for batch in batches])
    features = by_index(data.train_dataloader())
    assert sorted(features) == list(range(len(expected))) == list(range(15))
    for index, feature in features.items():
        torch.testing.assert_close(feature, expected[index])


def test_only_pixels_of_training_are_recorded(data: FeatureDataModule) -> None:
    assert data.digest_log.pixel_batches == 4  # 15 images in batches of 4


def test_features_come_in_the_order_of_the_images(data: FeatureDataModule, images: Path) -> None:
    module = ImageDataModule(root=str(images), cache_dir=str(data.cache_dir), **OPTIONS)
    module.setup()
    for epoch in (0, 1):
        orders = []
        for loader in (data.train_dataloader(), module.train_dataloader()):
            loader.sampler.set_epoch(epoch)
            batches = list(loader)
            orders.append(torch.cat([batch.keys for batch in batches]))
            labels = torch.cat([batch.labels for batch in batches])
            assert torch.equal(labels, orders[-1][:, 1] // 5)
        assert torch.equal(*orders)


def test_each_image_goes_through_the_backbone_once(images: Path, tmp_path: Path) -> None:
    silence_lightning()
    model, seen = tuner(freeze_backbone=True), []
    model.network.conv1.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    module = FeatureDataModule(root=str(images), cache_dir=str(tmp_path), **OPTIONS)
    trainer(max_epochs=3).fit(model, datamodule=module)
    assert sum(seen) == 15 + 6
    trainer().test(model, module, verbose=False)
    assert sum(seen) == 15 + 6 + 6
    assert module.seconds > 0


def test_features_are_computed_in_the_trainers_precision(images: Path) -> None:
    loaders = [ready(images, precision).val_dataloader() for precision in ("32-true", "bf16-mixed")]
    single, half = (next(iter(loader)).features for loader in loaders)
    assert single.dtype == half.dtype == torch.float32
    assert not torch.equal(single, half)
    torch.testing.assert_close(single, half, rtol=0.1, atol=0.1)


def test_workers_change_nothing(data: FeatureDataModule, images: Path) -> None:
    before = by_index(data.train_dataloader())
    data.num_workers = 2
    data.setup()
    after = by_index(data.train_dataloader())
    assert all(torch.equal(feature, after[index]) for index, feature in before.items())
