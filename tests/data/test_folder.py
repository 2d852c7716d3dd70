import os
import resource
import struct
import unicodedata
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.common.open_files import files_left
from benchmark.data.decoding import decode, read_header, read_pixels
from benchmark.data.examination import examine
from benchmark.data.folder import scan
from benchmark.errors.user_error import UserError, explain_system_errors

RED = (200, 30, 40)


def test_classes_and_samples_are_sorted_and_labelled_by_folder(images: Path) -> None:
    files = scan(images)
    assert files.classes == ("class 0", "class 1", "class 2")
    for split in ("train", "val", "test"):
        samples = files.splits[split]
        assert list(samples.paths) == sorted((images / split).glob("*/*.png"))
        names = [files.classes[label] for label in samples.labels]
        assert names == [path.parent.name for path in samples.paths]


def test_offsets_place_each_split_in_the_list_of_all_paths(images: Path) -> None:
    files = scan(images)
    for name, split in files.splits.items():
        start = files.offset(name)
        assert files.paths[start : start + len(split.paths)] == split.paths


def test_hidden_and_system_files_are_ignored(images: Path) -> None:
    before = scan(images)
    (images / "train" / ".DS_Store").touch()
    (images / "val" / "class 1" / ".gitkeep").touch()
    (images / "val" / "class 1" / "Thumbs.db").touch()
    (images / "test" / "desktop.ini").touch()
    assert scan(images) == before


@pytest.mark.parametrize("read", [decode, read_header])
def test_a_format_that_its_suffix_hides_is_not_opened(tmp_path: Path, read) -> None:
    """Pillow would open any of its forty, and call an interpreter for some."""
    path = tmp_path / "image.png"
    Image.new("RGB", (4, 4)).save(path, "TGA")
    with pytest.raises(UserError, match=r"image\.png is not an image"):
        read(path)


@pytest.mark.parametrize("error", [RuntimeError(), TypeError("odd"), struct.error("short")])
def test_whatever_a_decoder_raises_names_the_file(tmp_path: Path, monkeypatch, error) -> None:
    path = tmp_path / "image.png"
    Image.new("RGB", (4, 4)).save(path)

    def fail(*_: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("PIL.Image.open", fail)
    reason = str(error) or type(error).__name__
    for read in (decode, read_header):
        with pytest.raises(UserError, match=rf"image\.png cannot be read: {reason}\."):
            read(path)


def remove_split(root: Path) -> str:
    (root / "val").rename(root / "validation")
    return r"val: missing folder: rename 'validation' to 'val'\. A dataset needs train"


def remove_class(root: Path) -> str:
    (root / "test" / "class 1").rename(root.parent / "gone")
    return r"test/class 1: missing folder\."


def empty_split(root: Path) -> str:
    (root / "val").rename(root / ".val")
    (root / "val").mkdir()
    return r"val/class 0: missing folder\."


def empty_class(root: Path) -> str:
    for path in (root / "val" / "class 2").iterdir():
        path.unlink()
    return r"val/class 2: empty class\."


def add_text(root: Path) -> str:
    (root / "train" / "class 0" / "notes.txt").touch()
    return r"train/class 0/notes\.txt: unknown suffix\."


def add_raw_file(root: Path) -> str:
    (root / "train" / "class 0" / "photo.NEF").touch()
    return r"train/class 0/photo\.NEF: unknown suffix: a camera's RAW file\."


def add_pipe(root: Path) -> str:
    """Make a pipe; opening it would wait for ever."""
    os.mkfifo(root / "train" / "class 0" / "pipe.png")
    return r"pipe\.png: not a regular file\."


def add_broken_link(root: Path) -> str:
    (root / "train" / "class 0" / "link.png").symlink_to("nowhere.png")
    return r"link\.png: broken link\."


def add_link_to_no_name(root: Path) -> str:
    (root / "train" / "class 0" / "link.png").symlink_to("x" * 300)
    return r"link\.png: broken link\."


def add_folder(root: Path) -> str:
    (root / "train" / "class 0" / "folder.png").mkdir()
    return r"folder\.png: folder within a class\."


def add_loose_file(root: Path) -> str:
    for split in ("train", "val", "test"):
        (root / split / "loose.png").touch()
    return r"train/loose\.png: not a folder\."


def empty_everything(root: Path) -> str:
    for split in ("train", "val", "test"):
        (root / split).rename(root / f".{split}")
        (root / split).mkdir()
    return r"data: too few classes: 0\."


def leave_one_class(root: Path) -> str:
    for folder in root.glob("*/class [12]"):
        folder.rename(folder.with_name(f".{folder.name}"))
    return r"data: too few classes: 1\."


@pytest.mark.parametrize(
    "damage",
    [
        remove_split,
        remove_class,
        empty_split,
        empty_class,
        add_text,
        add_raw_file,
        add_pipe,
        add_broken_link,
        add_link_to_no_name,
        add_folder,
        add_loose_file,
        empty_everything,
        leave_one_class,
    ],
)
def test_an_incomplete_dataset_is_refused_by_name(images: Path, damage) -> None:
    message = damage(images)
    with pytest.raises(UserError, match=message):
        scan(images)


def save(path: Path, mode: str, **options: object) -> Path:
    image = Image.new("RGB", (30, 20), RED)
    (image.quantize() if mode == "P" else image.convert(mode)).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("a.jpg", "RGB"), ("b.jpeg", "CMYK"), ("c.png", "RGB"), ("d.png", "RGBA"),
        ("e.png", "P"), ("f.webp", "RGB"), ("g.bmp", "RGB"),
    ],
)  # fmt: skip
def test_every_mode_becomes_rgb_of_the_same_colour(tmp_path: Path, name: str, mode: str) -> None:
    image = decode(save(tmp_path / name, mode))
    assert (image.mode, image.size) == ("RGB", (30, 20))
    assert np.abs(np.asarray(image, dtype=int) - RED).max() <= 3  # JPEG


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_grey_becomes_three_equal_channels(tmp_path: Path, mode: str) -> None:
    values = np.asarray(decode(save(tmp_path / "grey.png", mode)))
    assert values.shape == (20, 30, 3)
    assert (values[..., :1] == values).all()


def test_pixels_of_another_shape_are_resized_with_antialiasing(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[::2] = 255
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    small = read_pixels(tmp_path / "stripes.png", (16, 16))
    assert small.shape == (16, 16, 3)
    assert np.abs(small.astype(int) - 128).max() < 20  # without it: all 0 or all 255


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n"])
def test_an_unreadable_image_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    for reader in (decode, read_header):
        with pytest.raises(UserError, match=r"broken\.png (is not an image|cannot be read)"):
            reader(path)


def test_a_truncated_image_is_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.jpg")
    content = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"cut\.jpg cannot be read: .*truncated"):
        decode(tmp_path / "cut.jpg")


def test_a_class_that_is_spelled_otherwise_in_a_split_is_named(images: Path) -> None:
    for split, form in (("train", "NFC"), ("val", "NFD"), ("test", "NFC")):
        name = unicodedata.normalize(form, "café")
        (images / split / "class 0").rename(images / split / name)
    with pytest.raises(UserError, match=r"'cafe\\u0301' is spelled 'caf\\xe9' there\."):
        scan(images)


def test_a_dataset_with_problems_that_stop_no_reading_is_read(images: Path) -> None:
    """The check refuses them, unless they are acknowledged."""
    (images / "train" / "class 0" / "000.png").rename(images.parent / "outside.png")
    (images / "train" / "class 0" / "000.png").symlink_to(images.parent / "outside.png")
    for split in ("train", "val", "test"):
        (images / split / "class 1").rename(images / split / "CLASS 0")
        (images / split / "class 2").rename(images / split / "two\nlines")
    assert scan(images).classes == ("CLASS 0", "class 0", "two\nlines")
    assert len(scan(images).paths) == 27


@pytest.mark.parametrize("read", [decode, read_header, examine])
def test_too_many_open_files_do_not_make_a_good_image_a_bad_one(
    images: Path, read: Callable[[Path], object]
) -> None:
    path = images / "train/class 0/000.png"
    read(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - files_left(), hard))
    try:
        with ExitStack() as stack:
            with suppress(OSError):
                while True:
                    stack.enter_context(open("/dev/null"))
            with pytest.raises(UserError, match=r"files\. Raise"), explain_system_errors():
                read(path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
