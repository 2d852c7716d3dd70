"""Batches, logits and gradients over many shapes of datasets, images and parameters."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmark.data.datamodule import ImageDataModule
from tests.training.test_model import tuner

MODES = ("RGB", "L", "RGBA", "P", "CMYK", "LA", "1", "I;16", "F")
SIZES = st.tuples(st.integers(1, 70), st.integers(1, 70))


def draw(path: Path, mode: str, size: tuple[int, int], level: int) -> None:
    """Write an image of one grey, in any of Pillow's modes, in a format that supports the mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if mode == "F":
        Image.new("F", size, level / 255).save(f"{path}.tif")
        return
    if mode == "I;16":
        Image.fromarray(np.full(size[::-1], level * 257, dtype=np.uint16)).save(f"{path}.png")
        return
    grey = Image.new("L", size, level)
    suffix = "jpg" if mode == "CMYK" else "png"
    grey.convert("RGB").convert(mode).save(f"{path}.{suffix}")


def make(root: Path, classes: int, train: int, shapes: list[tuple[str, tuple[int, int]]]) -> Path:
    """Write `train` training images and one image of each other split per class."""
    count = 0
    for split, images in (("train", train), ("val", 1), ("test", 1)):
        for label in range(classes):
            for number in range(images):
                mode, size = shapes[count % len(shapes)]
                draw(root / split / f"class {label:02}" / str(number), mode, size, 40 * label % 256)
                count += 1
    return root


@settings(max_examples=20)
@given(
    classes=st.integers(2, 4),
    train=st.integers(1, 5),
    batch_size=st.integers(1, 9),
    image_size=st.sampled_from([32, 33, 48]),
    shapes=st.lists(st.tuples(st.sampled_from(MODES), SIZES), min_size=1, max_size=4),
)
def test_batches_of_any_dataset(
    classes: int, train: int, batch_size: int, image_size: int,
    shapes: list[tuple[str, tuple[int, int]]],
) -> None:  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        root = make(Path(folder) / "data", classes, train, shapes)
        data = ImageDataModule(str(root), image_size, batch_size, cache_dir=folder)
        data.prepare_data()
        data.setup()
        seen = []
        for batch in data.train_dataloader():
            images, labels = data.on_after_batch_transfer(batch, 0)
            assert images.shape == (len(labels), 3, image_size, image_size)
            assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
            assert len(labels) <= batch_size
            assert images.isfinite().all()
            assert -2.2 < images.min() <= images.max() < 2.7
            indices = batch.keys[:, 1]
            assert torch.equal(labels, indices // train)
            seen += indices.tolist()
        assert sorted(seen) == list(range(classes * train))
        sizes = [len(batch.labels) for batch in data.train_dataloader()]
        assert len(sizes) == -(-classes * train // batch_size)
        assert set(sizes[:-1]) <= {batch_size}


@pytest.mark.usefixtures("small_network")
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    classes=st.integers(2, 9),
    size=st.integers(2, 5),
    side=st.sampled_from([32, 40, 64]),
    frozen=st.booleans(),
    channels_last=st.booleans(),
)
def test_logits_losses_and_gradients(
    classes: int, size: int, side: int, frozen: bool, channels_last: bool
) -> None:
    model = tuner(classes, freeze_backbone=frozen, channels_last=channels_last)
    random = torch.Generator().manual_seed(size)
    images = torch.randn(size, 3, side, side, generator=random)
    labels = torch.randint(classes, (size,), generator=random)
    assert model(images).shape == (size, classes)
    loss = model.training_step((images, labels), 0)
    assert loss.shape == ()
    assert loss.isfinite()
    loss.backward()
    for name, parameter in model.network.named_parameters():
        if frozen and not name.startswith("fc."):
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
