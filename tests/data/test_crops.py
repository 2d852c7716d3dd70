import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models import ResNet50_Weights
from torchvision.transforms import v2

from benchmark.data import resampling
from benchmark.data.crops import UNIT, evaluation_windows, training_windows
from benchmark.data.resampling import interpolation, normalise, resample

sides = st.integers(16, 300)


def picture(height: int, width: int) -> torch.Tensor:
    """Make a picture of smooth shapes under noise, uint8 (height, width, 3)."""
    y, x = np.mgrid[:height, :width]
    waves = 128 + 100 * np.sin(x[..., None] / (7, 11, 17)) * np.cos(y[..., None] / (13, 5, 9))
    noise = np.random.default_rng(height * 1000 + width).normal(0, 10, (height, width, 3))
    return torch.from_numpy(np.clip(waves + noise, 0, 255).astype(np.uint8))


def floats(image: torch.Tensor) -> torch.Tensor:
    return image.permute(2, 0, 1).float()


def training(shape: tuple[int, int], count: int, stored: tuple[int, int] | None = None):
    shapes = np.tile(np.array(shape, dtype=np.int32), (count, 1))
    epochs = np.zeros(count, np.int64)
    return training_windows(shapes, stored or shape, 7, epochs, np.arange(count))


@given(sides, sides, st.sampled_from([32, 64]))
def test_training_equals_torchvisions_resized_crop_and_flip(h: int, w: int, size: int) -> None:
    windows, flips = training((h, w), 4)
    image = picture(h, w)
    output = resample(image.expand(4, h, w, 3), *map(torch.from_numpy, (windows, flips)), size)
    for result, window, flip in zip(output, windows, flips, strict=True):
        (top, height), (left, width) = (window[:, :2] // UNIT).tolist()
        crop = v2.functional.resized_crop(
            floats(image), top, left, height, width, [size, size], antialias=True
        )
        expected = crop.flip(-1) if flip else crop
        torch.testing.assert_close(result, expected, atol=1e-3, rtol=0)


@given(sides, sides, st.sampled_from([32, 64, 100]))
def test_evaluation_equals_torchvisions_resize_and_centre_crop(h: int, w: int, size: int) -> None:
    image = picture(h, w)
    windows = torch.from_numpy(evaluation_windows(np.array([[h, w]], np.int32), (h, w), size))
    output = resample(image[None], windows, torch.tensor([False]), size)
    resize = v2.Compose([v2.Resize(round(size * 256 / 224), antialias=True), v2.CenterCrop(size)])
    torch.testing.assert_close(output[0], resize(floats(image)), atol=5e-3, rtol=0)


@given(st.integers(60, 300), st.integers(60, 300))
def test_stretching_an_image_for_the_cache_hardly_shows(h: int, w: int) -> None:
    """Stored at 256 x 256 instead of the true shape, the view is within 3 of 255 on average."""
    image = floats(picture(h, w))
    stored = v2.functional.resize(image, [256, 256], antialias=True).round().to(torch.uint8)
    resize = v2.Compose([v2.Resize(73, antialias=True), v2.CenterCrop(64)])
    windows = torch.from_numpy(evaluation_windows(np.array([[h, w]], np.int32), (256, 256), 64))
    output = resample(stored.permute(1, 2, 0)[None], windows, torch.tensor([False]), 64)
    assert (output[0] - resize(image)).abs().mean() < 3


def test_crop_statistics_are_torchvisions() -> None:
    """Quartiles of area, aspect and place over 4,000 crops, against as many of torchvision's."""
    shape, count = (200, 150), 4000
    torch.manual_seed(0)
    draw = v2.RandomResizedCrop(64).make_params
    reference = [draw([torch.empty(3, *shape)]) for _ in range(count)]
    theirs = np.array([[p[k] for k in ("top", "left", "height", "width")] for p in reference])
    windows, flips = training(shape, count)
    ours = windows[:, :, :2].transpose(0, 2, 1).reshape(count, 4) // UNIT
    for mine, other in zip(_traits(ours), _traits(theirs), strict=True):
        np.testing.assert_allclose(
            np.quantile(mine, [0.25, 0.5, 0.75]), np.quantile(other, [0.25, 0.5, 0.75]),
            atol=0.05 * (other.max() - other.min()),
        )  # fmt: skip
    assert 0.47 < flips.mean() < 0.53


def test_a_flip_says_nothing_of_the_crop() -> None:
    windows, flips = training((200, 150), 4000)
    numbers = np.column_stack([flips, windows[:, :, :2].reshape(4000, 4)])
    correlation = np.corrcoef(numbers.T)[0, 1:]
    assert np.abs(correlation).max() < 4 / np.sqrt(4000)


def _traits(boxes: np.ndarray) -> list[np.ndarray]:
    top, left, height, width = boxes.T.astype(float)
    return [height * width, np.log(width / height), top, left]


def test_crops_reach_every_edge() -> None:
    windows, _ = training((20, 20), 4000)
    start, length = windows[:, :, 0] // UNIT, windows[:, :, 1] // UNIT
    partial = length < 20
    assert (start[partial] == 0).any()
    assert (start + length)[partial].max() == 20


def test_crops_reach_across_the_image() -> None:
    """Some crops reach from edge to edge in one axis only: these are not the fallback."""
    windows, _ = training((20, 20), 4000)
    across = windows[:, :, 1] // UNIT == 20
    assert (across & ~across[:, ::-1]).any(axis=0).all()


@pytest.mark.parametrize("long", [0, 1])
def test_an_image_too_long_for_any_attempt_shows_its_middle(long: int) -> None:
    """The crop is torchvision's fallback: the largest central one of an allowed aspect ratio."""
    windows, _ = training([(2000, 20), (20, 2000)][long], 50)
    assert (windows[:, long, :2] // UNIT).tolist() == [[(2000 - 27) // 2, 27]] * 50
    assert (windows[:, 1 - long, :2] // UNIT).tolist() == [[0, 20]] * 50


def test_the_same_sample_in_another_epoch_shows_another_part() -> None:
    shapes = np.full((20, 2), 100, np.int32)
    indices = np.zeros(20, np.int64)
    windows, flips = training_windows(shapes, (100, 100), 7, np.arange(20), indices)
    assert len({window.tobytes() for window in windows}) == 20
    assert 0 < flips.sum() < 20


def test_what_a_sample_shows_does_not_depend_on_its_batch() -> None:
    windows, flips = training((100, 100), 20)
    shapes, epochs = np.full((1, 2), 100, np.int32), np.zeros(1, np.int64)
    for index in range(20):
        alone = training_windows(shapes, (100, 100), 7, epochs, np.array([index]))
        np.testing.assert_array_equal(alone[0], windows[[index]])
        np.testing.assert_array_equal(alone[1], flips[[index]])


@given(sides, sides, st.sampled_from([(64, 64), (256, 200)]))
def test_every_output_pixel_is_a_weighted_mean(h: int, w: int, stored: tuple[int, int]) -> None:
    windows, _ = training((h, w), 8, stored)
    pixels, weights = interpolation(torch.from_numpy(windows[:, 0]), stored[0], 32)
    assert (pixels >= 0).all()
    assert (pixels < stored[0]).all()
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(3).flatten(1), torch.ones(8, 32))


@given(sides, sides, st.integers(1, 130))
def test_cutting_the_matrices_into_blocks_cuts_off_no_weight(h: int, w: int, size: int) -> None:
    windows, flips = (torch.from_numpy(part) for part in training((h, w), 8))
    images = picture(h, w).expand(8, h, w, 3)
    output = resample(images, windows, flips, size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampling, "BLOCKS", 1)
        complete = resample(images, windows, flips, size)
    torch.testing.assert_close(output, complete, atol=1e-3, rtol=0)


def test_a_batch_of_any_size_shows_each_image_as_alone() -> None:
    count = 2 * resampling.CPU_CHUNK + 3
    windows, flips = (torch.from_numpy(part) for part in training((40, 50), count))
    images = torch.from_numpy(
        np.random.default_rng(1).integers(0, 256, (count, 40, 50, 3), np.uint8)
    )
    alone = [resample(*(part[[i]] for part in (images, windows, flips)), 16) for i in range(count)]
    torch.testing.assert_close(resample(images, windows, flips, 16), torch.cat(alone))


def test_normalisation_is_torchvisions() -> None:
    image = picture(20, 30)
    preset = ResNet50_Weights.IMAGENET1K_V2.transforms()
    expected = v2.functional.normalize(floats(image) / 255, preset.mean, preset.std)
    torch.testing.assert_close(normalise(floats(image)[None])[0], expected)
