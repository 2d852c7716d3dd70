import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark.command_line import main
from benchmark.data import cache, examination, reading
from benchmark.data.cache import DecodeCache
from benchmark.data.decoding import Header, decode
from benchmark.data.folder import scan
from benchmark.errors.user_error import UserError, explain_system_errors
from tests.support.fixtures import write_images


def cached(root: Path, size: int = 32, limit: float = 1) -> DecodeCache:
    return DecodeCache(scan(root), size, root.parent / ".cache", limit)


def test_cached_pixels_are_the_decoded_images(images: Path) -> None:
    store = cached(images)
    store.prepare()
    pixels = store.open().take(np.arange(27))
    assert pixels.dtype == np.uint8
    for stored, path in zip(pixels, store.files.paths, strict=True):
        np.testing.assert_array_equal(stored, np.asarray(decode(path)))


def test_a_cache_over_the_limit_gives_the_same_pixels_without_being_written(images: Path) -> None:
    small, large = cached(images, limit=0), cached(images)
    for store in (small, large):
        store.prepare()
    positions = np.array([5, 0, 26, 5])
    assert not (small.directory / "pixels.npy").exists()
    np.testing.assert_array_equal(small.open().take(positions), large.open().take(positions))
    np.testing.assert_array_equal(small.open().shapes, large.open().shapes)


def test_images_of_different_shapes_share_one_and_keep_their_true_shapes(
    tmp_path: Path,
) -> None:
    write_images(tmp_path / "data", shape=(40, 60))
    Image.new("RGB", (10, 90)).save(tmp_path / "data/train/class 0/tall.png")
    store = cached(tmp_path / "data")
    store.prepare()
    opened = store.open()
    assert (opened.height, opened.width) == (80, 60)  # twice the median height is the limit
    assert sorted(set(map(tuple, opened.shapes.tolist()))) == [(40, 60), (90, 10)]


def test_large_images_are_stored_at_eight_times_the_image_size(tmp_path: Path) -> None:
    write_images(tmp_path / "data", shape=(300, 150))
    store = cached(tmp_path / "data", size=32)
    store.prepare()
    assert (store.open().height, store.open().width) == (256, 150)


def test_a_second_preparation_decodes_nothing(images: Path, monkeypatch) -> None:
    cached(images).prepare()
    monkeypatch.setattr(reading, "examine", None)
    cached(images).prepare()


def change_content(root: Path) -> None:
    Image.new("RGB", (40, 40)).save(root / "train/class 0/000.png")


def add_image(root: Path) -> None:
    Image.new("RGB", (40, 40)).save(root / "train/class 0/100.png")


def rename_image(root: Path) -> None:
    (root / "train/class 0/000.png").rename(root / "train/class 0/zzz.png")


def change_a_byte(root: Path) -> None:
    path = root / "train/class 0/000.png"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"x")
    os.utime(path, (0, 0))  # the clock may be too coarse to tell


@pytest.mark.parametrize("edit", [change_content, add_image, rename_image, change_a_byte])
def test_the_cache_of_an_edited_dataset_is_never_read(images: Path, edit) -> None:
    before = cached(images).directory
    edit(images)
    assert cached(images).directory != before


def test_another_image_size_decoder_or_code_has_another_cache(images, monkeypatch):
    directory = cached(images, size=32).directory
    assert cached(images, size=48).directory != directory
    for name in ("facts.PIL.__version__", "cache.code.digest"):  # other code may resize otherwise
        with monkeypatch.context() as patch:
            patch.setattr(f"benchmark.data.{name}", lambda *_: "another")
            assert cached(images, size=32).directory != directory


def test_a_cache_is_built_when_the_limit_is_raised(images: Path) -> None:
    cached(images, limit=0).prepare()
    cached(images).prepare()
    assert (cached(images).directory / "pixels.npy").exists()


def test_caches_that_nothing_will_use_are_removed(images: Path) -> None:
    """A changed file makes a cache of up to data.cache_gib stale. The one before is kept, because
    two revisions of the code may alternate; so is the cache of another image size."""

    def built(time: int, size: int = 32) -> Path:
        os.utime(next(images.rglob("*.png")), (time, time))
        store = cached(images, size)
        store.prepare()
        os.utime(store.directory, (time, time))  # as if days lay between
        return store.directory

    other, *caches = built(9, size=40), *map(built, range(4))
    assert other.exists()
    assert [path.exists() for path in caches] == [False, False, True, True]
    os.utime(caches[2], (5, 5))  # as if it were the later one
    assert built(7).exists()
    assert [path.exists() for path in (*caches[2:], other)] == [True, False, True]


def test_what_a_killed_build_left_is_removed(images: Path) -> None:
    store = cached(images)
    left = store.root / f".{store.directory.name}.0123456789abcdef.tmp"
    left.mkdir(parents=True)
    store.prepare()
    assert not left.exists()


def test_a_damaged_cache_is_built_again_with_a_message(images: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(cache, "BLOCK", 1000)  # files of several blocks
    store = cached(images)
    store.prepare()
    assert capsys.readouterr() == ("", "")
    intact = {path.name: path.read_bytes() for path in store.directory.iterdir()}
    for name, content in intact.items():
        path, half = store.directory / name, len(content) // 2
        flipped = content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]
        for spoilt in (content[:half], flipped, None):
            if name == cache.DIGESTS and spoilt is flipped:
                continue  # the other files are intact
            path.unlink() if spoilt is None else path.write_bytes(spoilt)
            store.prepare()
            message = f"{store.directory} is damaged: building it again.\n"
            assert capsys.readouterr() == ("", message)
            files = {path.name: path.read_bytes() for path in store.directory.iterdir()}
            for contents in (files, intact):
                contents[cache.DIGESTS] = b""  # it also has times
            assert files == intact


def test_a_copied_cache_is_read_and_its_bytes_are_compared(images: Path, capsys) -> None:
    """Copies have other inodes and times."""
    store = cached(images)
    store.prepare()
    for path in store.directory.iterdir():
        copy = path.with_suffix(".copy")
        copy.write_bytes(path.read_bytes())
        copy.rename(path)
    store.prepare()
    assert capsys.readouterr().err == ""


def test_clean_removes_what_can_be_made_again(images: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(images.parent)
    (images.parent / "kept").touch()
    cached(images).prepare()
    assert main(["clean"]) == 0
    assert capsys.readouterr().out.startswith("Removed .cache (0.0 GiB).")
    assert not (images.parent / ".cache").exists()
    assert (images.parent / "kept").exists()
    assert main(["clean"]) == 0
    assert capsys.readouterr().out == ".cache does not exist.\n"


def test_an_interrupted_build_leaves_nothing_that_is_read(images: Path, monkeypatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(reading, "examine", interrupt)
        with pytest.raises(KeyboardInterrupt):
            cached(images).prepare()
    assert not cached(images).directory.exists()
    cached(images).prepare()
    assert cached(images).open().take(np.array([0])).any()


def test_an_unreadable_image_is_named_and_no_cache_is_left(images: Path) -> None:
    (images / "val/class 1/001.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"class 1/001\.png is not an image"):
        cached(images).prepare()
    assert not cached(images).directory.exists()


def test_mapped_images_travel_to_a_worker_as_a_path(images: Path) -> None:
    store = cached(images)
    store.prepare()
    opened = store.open()
    message = pickle.dumps(opened)
    assert len(message) < 1000
    np.testing.assert_array_equal(
        pickle.loads(message).take(np.arange(3)), opened.take(np.arange(3))
    )


def test_a_disk_that_is_too_small_is_noticed_before_anything_is_decoded(images, monkeypatch):
    size, usage = 27 * 40 * 40 * 3, cache.shutil.disk_usage(images)

    def leave(free: int) -> None:
        monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage._replace(free=free))

    leave(size - 1)
    with monkeypatch.context() as patch:
        patch.setattr(reading, "examine", None)
        with pytest.raises(
            UserError, match=r"decode cache needs 0\.000121 GiB .* 0\.00012\d* GiB left"
        ):
            cached(images).prepare()
    assert not cached(images).directory.exists()
    leave(size)
    cached(images).prepare()
    assert (cached(images).directory / "pixels.npy").exists()


def test_clean_empties_a_folder_of_caches_that_is_a_link(tmp_path: Path, monkeypatch) -> None:
    """The link may lead to a larger disk, and the next run uses it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "disk" / "cache").mkdir(parents=True)
    (tmp_path / "disk" / "check.json").touch()
    (tmp_path / "disk" / "link").symlink_to(tmp_path)
    (tmp_path / ".cache").symlink_to("disk")
    assert main(["clean"]) == 0
    assert (tmp_path / ".cache").is_dir()
    assert list((tmp_path / "disk").iterdir()) == []


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are decoded, in order."""
    names: list[str] = []
    examine = reading.examine

    def record(path: Path, *arguments: Any) -> Any:
        names.append(path.name)
        return examine(path, *arguments)

    monkeypatch.setattr(reading, "examine", record)
    return names


def test_facts_and_pixels_come_from_one_decode(images: Path, decoded: list[str]) -> None:
    cached(images).examine().save()
    assert len(decoded) == 27
    cached(images).prepare()
    cached(images).examine()
    assert len(decoded) == 27
    pixels = cached(images).open().take(np.arange(27))
    for stored, path in zip(pixels, cached(images).files.paths, strict=True):
        np.testing.assert_array_equal(stored, np.asarray(decode(path)))


def test_a_cache_that_processes_wrote_has_the_same_pixels(images: Path, monkeypatch) -> None:
    path = images / "val/class 1/001.png"
    path.write_bytes(path.read_bytes()[:99])
    monkeypatch.setattr(reading, "FEW", 0)
    store = cached(images).examine()
    store.save()
    assert getattr(store.of_path(path), "problem", "") == "damaged image"
    Image.new("RGB", (40, 40), "red").save(path)
    cached(images).prepare()
    pixels, files = cached(images).open().take(np.arange(27)), cached(images).files
    for stored, file in zip(pixels, files.paths, strict=True):
        np.testing.assert_array_equal(stored, np.asarray(decode(file)))


def test_training_leaves_facts_for_the_check(images: Path, decoded: list[str]) -> None:
    cached(images).prepare()
    decoded.clear()
    assert cached(images).examine().of_path(cached(images).files.paths[0])
    assert decoded == []


def test_headers_are_read_in_processes(images: Path, monkeypatch) -> None:
    """Threads would wait for each other: a header takes little time without the lock."""
    paths = []

    def read_header(path: Path) -> Header:
        paths.append(path)
        return reading.NO_HEADER

    monkeypatch.setattr(reading, "FEW", 0)
    monkeypatch.setattr(reading, "read_header", read_header)
    cached(images).examine()
    assert not paths  # a process has its own list


def link_again(root: Path) -> None:
    """Give each file another inode, as `dvc add` does."""
    for path in root.rglob("*.png"):
        (copy := path.with_suffix(".copy")).write_bytes(path.read_bytes())
        copy.rename(path)


def move_to_another_split(root: Path) -> None:
    (root / "train/class 0/000.png").rename(root / "test/class 0/zzz.png")


def exchange(root: Path) -> None:
    """Exchange two classes, so that the images are in another order."""
    for split in ("train", "val", "test"):
        (root / split / "class 0").rename(root / split / "aside")
        (root / split / "class 1").rename(root / split / "class 0")
        (root / split / "aside").rename(root / split / "class 1")


@pytest.mark.parametrize("edit", [link_again, rename_image, move_to_another_split, exchange])
def test_an_image_of_known_content_is_not_decoded_again(
    images: Path, decoded: list[str], edit: Any
) -> None:
    cached(images).prepare()
    decoded.clear()
    edit(images)
    cached(images).prepare()
    assert decoded == []
    files = cached(images).files
    for stored, path in zip(cached(images).open().take(np.arange(27)), files.paths, strict=True):
        np.testing.assert_array_equal(stored, np.asarray(decode(path)))


def test_one_changed_image_of_many_shapes_is_the_only_one_decoded(
    tmp_path: Path, decoded: list[str]
) -> None:
    """The median may change a little, and the shape in which images are stored does not."""
    root = write_images(tmp_path / "data", sizes={"train": 20, "val": 2, "test": 2})
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        with Image.open(path) as image:
            image.resize((300 + 7 * number, 800 - 7 * number)).save(path)
    cached(root).prepare()
    decoded.clear()
    for number, size in enumerate(((310, 500), (450, 790), (420, 640))):
        Image.new("RGB", size, (number, 9, 9)).save(root / f"train/class 0/00{number}.png")
        cached(root).prepare()
    assert decoded == ["000.png", "001.png", "002.png"]


def test_after_a_damaged_image_was_replaced_only_that_one_is_decoded(
    images: Path, decoded: list[str]
) -> None:
    path = images / "val/class 1/001.png"
    good = path.read_bytes()
    for damaged in (good[: len(good) // 2], b"no image"):
        path.write_bytes(damaged)
        store = cached(images).examine()
        store.save()
        assert getattr(store.of_path(path), "problem", "")
        decoded.clear()
        cached(images).examine()
        assert decoded == []
        with pytest.raises(UserError, match=r"class 1/001\.png (cannot be read|is not an image)"):
            cached(images).prepare()
        decoded.clear()
        Image.new("RGB", (40, 40), (len(damaged) % 256, 0, 0)).save(path)
        cached(images).prepare()
        assert decoded == ["001.png"]


def test_an_image_that_cannot_be_read_for_now_is_read_later(images: Path, monkeypatch) -> None:
    """Its row is missing in the cache that the check wrote."""
    path = images / "val/class 1/001.png"
    examine = reading.examine

    def refuse(image: Path, *arguments: Any) -> Any:
        if image == path:
            return examination.ImageFacts(problem="not readable"), None
        return examine(image, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(reading, "examine", refuse)
        cached(images).examine().save()
    cached(images).prepare()
    position = cached(images).files.paths.index(path)
    [stored] = cached(images).open().take(np.array([position]))
    np.testing.assert_array_equal(stored, np.asarray(decode(path)))


def test_rows_of_more_than_eight_bits_are_copied_only_if_the_scale_is_the_same(
    images: Path, decoded: list[str]
) -> None:
    for number, high in enumerate((900, 4095)):
        ramp = np.linspace(0, high, 1600).astype(np.uint16).reshape(40, 40)
        Image.fromarray(ramp).save(images / f"train/class {number}/deep.png")
    cached(images).prepare()
    decoded.clear()
    rename_image(images)
    cached(images).prepare()
    assert decoded == []
    (images / "train/class 1/deep.png").unlink()
    cached(images).prepare()
    assert decoded == ["deep.png"]
    files = cached(images).files
    position = files.paths.index(images / "train/class 0/deep.png")
    assert cached(images).open().take(np.array([position])).max() == 900 >> 2


def test_rows_of_floats_are_copied_only_if_the_scale_is_the_same_in_every_digit(
    images: Path, decoded: list[str]
) -> None:
    ramp = np.linspace(0, 1, 1600, dtype=np.float32).reshape(40, 40)
    for number, high in enumerate((1.0, 1.0000002)):
        Image.fromarray(ramp * np.float32(high)).save(
            images / f"train/class {number}/a{number}.tif"
        )
    cached(images).prepare()
    decoded.clear()
    (images / "train/class 1/a1.tif").unlink()
    cached(images).prepare()
    assert decoded == ["a0.tif"]


def test_a_cache_without_pixels_has_no_rows_to_copy(images: Path) -> None:
    """The dataset was larger than the limit."""
    limit = 27 * 40 * 40 * 3 / 2**30
    Image.new("RGB", (40, 40)).save(images / "train/class 0/more.png")
    cached(images, limit=limit).prepare()
    (images / "train/class 0/more.png").unlink()
    cached(images, limit=limit).prepare()
    assert cached(images, limit=limit).open().take(np.array([0])).any()
    assert (cached(images, limit=limit).directory / "pixels.npy").exists()


def test_facts_without_a_cache_are_found_where_it_does_not_fit(images: Path, monkeypatch) -> None:
    usage = cache.shutil.disk_usage(images)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage._replace(free=9))
    cached(images).examine().save()
    cached(images, limit=1e-9).examine().save()
    assert not list((images.parent / ".cache").rglob("pixels.npy"))
    assert cached(images).examine().of_path(images / "val/class 1/001.png")


def test_a_disk_that_fills_up_ends_training_and_not_the_check(images: Path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(reading.os, "pwrite", lambda *_: 0)
        store = cached(images).examine()
        assert all(map(store.of_path, cached(images).files.paths))
        with pytest.raises(UserError, match="No space left"), explain_system_errors():
            cached(images).prepare()
    assert not list((images.parent / ".cache").rglob("pixels.npy"))


@pytest.mark.parametrize("large", [1, 3, 13])
def test_a_few_large_images_enlarge_the_cache_at_most_fourfold(
    tmp_path: Path, capsys, large: int
) -> None:
    root = write_images(tmp_path / "data", shape=(40, 60))
    paths = sorted(root.rglob("*.png"))
    for number, path in enumerate(paths[:large]):
        Image.new("RGB", (900, 700), (number, 0, 0)).save(path)
    store = cached(root, size=32)
    store.prepare()
    opened = store.open()
    assert (opened.height, opened.width) == (80, 120)
    words = "lose pixels: all are stored in 120 x 80, at most twice the median size"
    message = f"{large} of 27 images {words}.\n"
    assert capsys.readouterr().err == message
    assert opened.shapes[store.files.paths.index(paths[0])].tolist() == [700, 900]


def test_images_of_one_shape_are_stored_as_they_are(tmp_path: Path, capsys) -> None:
    root = write_images(tmp_path / "data", shape=(90, 41))
    store = cached(root, size=32)
    store.prepare()
    assert (store.open().height, store.open().width) == (90, 41)
    assert capsys.readouterr() == ("", "")
    np.testing.assert_array_equal(
        store.open().take(np.array([0]))[0], np.asarray(decode(store.files.paths[0]))
    )
