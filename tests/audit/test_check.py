"""The check reports each planted fault, and all of them in one pass."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark.audit import check, duplicates
from benchmark.audit.problems import KINDS, report_lines
from benchmark.command_line import main
from benchmark.common.parameters import load_parameters
from benchmark.data import examination, facts, reading
from benchmark.data.datamodule import ImageDataModule
from benchmark.data.decoding import load
from benchmark.data.folder import Problem
from benchmark.errors.user_error import UserError
from tests import PARAMETERS
from tests.support.fixtures import write_images


@pytest.fixture
def root(workspace: Path) -> Path:
    return write_images(workspace / "dataset")


def problems(root: Path, image_size: int = 32) -> set[tuple[str, str]]:
    return {(problem.kind, problem.path) for problem in check.find_problems(root, image_size)[0]}


def first(folder: Path) -> Path:
    return min(folder.iterdir())


def classes(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "train").iterdir())


def test_a_good_dataset_has_no_problem(root: Path, capsys) -> None:
    assert problems(root) == set()
    assert check.run(root, 32, as_json=False) == 0
    assert capsys.readouterr().out == f"{root}: no problem.\n"
    check.refuse_errors(root, 32)
    assert capsys.readouterr().out == ""


def test_all_problems_of_files_are_found_at_once(root: Path, tmp_path: Path) -> None:
    name = classes(root)[0]
    folder = root / "train" / name
    good = first(folder).read_bytes()
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("not an image")
    (folder / "short.png").write_bytes(good[: len(good) // 2])
    (folder / "notes.txt").write_text("notes")
    (folder / ".hidden.png").write_text("x")
    (folder / "Thumbs.db").write_text("x")
    (folder / "outside.png").symlink_to(tmp_path / "outside.png")
    Image.new("RGB", (40, 40), "red").save(tmp_path / "outside.png")
    (folder / "broken.png").symlink_to("nowhere.png")
    os.mkfifo(folder / "pipe.png")
    Image.new("RGB", (40, 40), "blue").save(folder / "two\nlines.png")
    (root / "val" / "file").write_text("x")
    assert problems(root) == {
        ("empty file", f"train/{name}/empty.png"), ("not an image", f"train/{name}/text.png"),
        ("damaged image", f"train/{name}/short.png"),
        ("unknown suffix", f"train/{name}/notes.txt"),
        ("hidden or system file", f"train/{name}/.hidden.png"),
        ("hidden or system file", f"train/{name}/Thumbs.db"),
        ("symbolic link", f"train/{name}/outside.png"),
        ("broken link", f"train/{name}/broken.png"),
        ("not a regular file", f"train/{name}/pipe.png"),
        ("name that is not text", f"train/{name}/two\\nlines.png"),
        ("not a folder", "val/file"),
    }  # fmt: skip


def test_folders_that_are_missing_or_look_alike(root: Path) -> None:
    one, other, last = classes(root)
    shutil.rmtree(root / "val" / one)
    for path in (root / "test" / other).iterdir():
        path.unlink()
    for split in ("train", "val", "test"):
        shutil.copytree(root / "train" / last, root / split / last.upper())
        for path in (root / split / last.upper()).iterdir():
            Image.fromarray(np.full((40, 40, 3), len(split), np.uint8)).save(path)
    assert {(kind, path) for kind, path in problems(root) if "picture" not in kind} == {
        ("missing folder", f"val/{one}"), ("empty class", f"test/{other}"),
        ("names that look alike", f"{last.upper()!a}"),
    }  # fmt: skip


def test_unicode_forms_look_alike(root: Path) -> None:
    source = classes(root)[0]
    for split, name in (("train", "caf\u00e9"), ("val", "cafe\u0301"), ("test", "caf\u00e9")):
        shutil.copytree(root / split / source, root / split / name)
    assert ("names that look alike", "'cafe\\u0301'") in problems(root)


def test_a_missing_split_and_a_single_class(root: Path) -> None:
    shutil.rmtree(root / "test")
    for name in classes(root)[1:]:
        for split in ("train", "val"):
            shutil.rmtree(root / split / name)
    assert ("missing folder", "test") in problems(root)
    assert ("too few classes", ".") in problems(root)


@pytest.mark.parametrize(
    ("source", "target", "kind"),
    [
        (("train", 0), ("test", 0), "same picture in train and another split"),
        (("val", 0), ("train", 0), "same picture in train and another split"),
        (("val", 0), ("test", 0), "same picture in val and test"),
        (("train", 0), ("train", 1), "same picture under two labels"),
        (("train", 0), ("val", 1), "same picture under two labels"),
        (("train", 0), ("train", 0), "same picture twice"),
    ],
)
def test_duplicates_are_found_by_their_pixels(
    root: Path, source: tuple[str, int], target: tuple[str, int], kind: str
) -> None:
    """The copy has another format: no byte of the file is equal."""
    names = classes(root)
    path = first(root / source[0] / names[source[1]])
    with Image.open(path) as image:
        image.save(root / target[0] / names[target[1]] / "zz.bmp")
    [problem], _ = check.find_problems(root, 32)
    assert problem.kind == kind
    pair = {problem.path, problem.detail.removeprefix("as ")}
    assert pair == {
        str(path.relative_to(root)), f"{target[0]}/{names[target[1]]}/zz.bmp"
    }  # fmt: skip


def test_pictures_that_differ_are_not_copies(root: Path) -> None:
    """Training keeps the upper byte of 16 bits; cut off at 255, all of them would be white."""
    folder = root / "train" / classes(root)[0]
    for level in (20_000, 40_000):
        Image.fromarray(np.full((40, 40), level, np.uint16)).save(folder / f"{level}.png")
    for size in ((40, 50), (50, 40)):  # equal bytes
        Image.new("RGB", size, "grey").save(folder / f"{size[0]}.png")
    assert problems(root) == set()


def write_grey(folder: Path, low: int, high: int, name: str = "deep.png") -> None:
    ramp = np.linspace(low, high, 1600).astype(np.uint16).reshape(40, 40)
    Image.fromarray(ramp).save(folder / name)


def test_the_check_names_the_scale_of_images_of_more_than_eight_bits(root: Path, capsys) -> None:
    for split, high in (("train", 900), ("test", 4095)):
        write_grey(root / split / "class 0", 0, high)
    line = "Images of more than 8 bits have values from 0 to 4,095: one scale for all.\n"
    assert check.run(root, 32, as_json=False) == 0
    assert capsys.readouterr().out == f"{root}: no problem.\n{line}"
    assert check.refuse_errors(root, 32) == (0, 4095)
    assert capsys.readouterr().out == line


def test_images_that_the_scale_leaves_dark_are_a_warning(root: Path) -> None:
    """An image of another camera makes all others black."""
    write_grey(root / "train" / "class 0", 0, 200, "black.png")
    write_grey(root / "train" / "class 0", 0, 4095, "dark.png")
    write_grey(root / "train" / "class 0", 4096, 16384, "enough.png")
    write_grey(root / "test" / "class 1", 0, 65535, "bright.png")
    listed, _ = check.find_problems(root, 32)
    assert [(problem.kind, problem.path, problem.detail) for problem in listed] == [
        ("few grey levels", "train/class 0/black.png", "2 to 197 become 0 to 0"),
        ("few grey levels", "train/class 0/dark.png", "40 to 4,054 become 0 to 15"),
    ]
    assert "stretch the values of all images" in KINDS["few grey levels"]


def test_images_with_hot_pixels_are_a_warning(root: Path) -> None:
    """A hot pixel in each image would hide that all others are dark."""
    for label in range(2):
        values = np.arange(1600, dtype=np.uint16).reshape(40, 40) // 8 + label
        values[:2, :2] = 65535
        Image.fromarray(values).save(root / "train" / f"class {label}" / "hot.png")
    assert problems(root) == {
        ("few grey levels", f"train/class {label}/hot.png") for label in range(2)
    }


def test_images_of_eight_bits_in_sixteen_are_no_copies_of_each_other(root: Path) -> None:
    """Both were black, and so the same picture under two labels."""
    write_grey(root / "train" / "class 0", 0, 250)
    write_grey(root / "train" / "class 1", 5, 255)
    assert problems(root) == set()


def test_copies_of_more_than_eight_bits_are_found(root: Path) -> None:
    values = np.arange(1600, dtype=np.int32).reshape(40, 40)
    Image.fromarray(values).save(root / "train" / "class 0" / "long.tif")
    Image.fromarray(values.astype(np.uint16)).save(root / "test" / "class 0" / "short.png")
    [problem], _ = check.find_problems(root, 32)
    assert problem.kind == "same picture in train and another split"


def test_a_value_that_is_no_number_is_an_error(root: Path) -> None:
    Image.new("F", (40, 40), float("nan")).save(root / "train" / "class 0" / "a.tif")
    assert problems(root) == {("values that are not finite", "train/class 0/a.tif")}


def test_images_of_many_formats_are_no_problem(root: Path) -> None:
    for number, name in enumerate(["a.gif", "b.tif", "c.TIFF", "d.ppm", "e.pgm", "f.jfif"]):
        image = Image.new("L" if name.endswith("pgm") else "RGB", (40, 40), number + 1)
        image.save(root / "train" / "class 0" / name)
    Image.new("RGB", (40, 40), "red").save(root / "train" / "class 0" / "g.jpg", "GIF")
    assert problems(root) == {("suffix of another format", "train/class 0/g.jpg")}


def test_formats_that_are_not_read_are_named(root: Path) -> None:
    folder = root / "train" / "class 0"
    (folder / "a.heic").write_bytes(b"x")
    (folder / "b.jpg").write_bytes(b"\0\0\0\x1cftypavif")
    details = {problem.path[-6:]: problem.detail for problem in check.find_problems(root, 32)[0]}
    assert details == {"a.heic": "a HEIC image", "/b.jpg": "an AVIF image"}


def test_a_gif_whose_later_frames_are_damaged_is_read(root: Path) -> None:
    path = root / "train" / "class 0" / "a.gif"
    colours = (Image.new("RGB", (40, 40), colour) for colour in ("red", "blue", "green"))
    next(colours).save(path, save_all=True, append_images=list(colours))
    path.write_bytes(path.read_bytes()[:-30])
    assert {kind for kind, _ in problems(root)} <= {"animated image"}


@pytest.mark.parametrize("name", ["valid", "validation", "Val", "VALIDATION"])
def test_a_split_of_another_name_is_named(root: Path, name: str) -> None:
    (root / "val").rename(root / name)
    [problem] = [p for p in check.find_problems(root, 32)[0] if p.path == "val"]
    assert problem == Problem("missing folder", "val", f"rename {name!r} to 'val'")


def test_classes_that_differ_in_spaces_are_a_warning(root: Path) -> None:
    for split in ("train", "val", "test"):
        shutil.copytree(root / split / "class 0", root / split / "class 0 ")
    kinds = {kind for kind, _ in problems(root) if "picture" not in kind}
    assert kinds == {"names that differ in spaces"}
    shutil.rmtree(root / "val" / "class 0 ")
    [missing] = [p for p in check.find_problems(root, 32)[0] if p.kind == "missing folder"]
    assert missing.detail == "'class 0 ' is spelled 'class 0' there"


def test_a_folder_of_images_within_a_class_is_an_error_that_removes_nothing(root: Path) -> None:
    (root / "train" / "class 0" / "more").mkdir()
    shutil.copy(first(root / "train" / "class 1"), root / "train" / "class 0" / "more")
    assert problems(root) == {("folder within a class", "train/class 0/more")}
    assert "emove" not in KINDS["folder within a class"]


def test_a_phones_file_of_several_pictures_is_a_jpeg(root: Path) -> None:
    """The first picture of the file counts; the others are previews or depths."""
    path = root / "train" / classes(root)[0] / "phone.jpg"
    red, blue = (Image.new("RGB", (40, 40), colour) for colour in ("red", "blue"))
    red.save(path, "MPO", save_all=True, append_images=[blue])
    assert problems(root) == set()


def test_a_file_without_the_right_to_read_it_is_named(root: Path, monkeypatch) -> None:
    """root may read everything, so `open_image` is replaced by a function that refuses."""

    def refuse(path: Path, content: None) -> Image.Image:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(examination, "open_image", refuse)
    secret = first(root / "train" / classes(root)[0])
    assert examination.examine(secret)[0].problem == "not readable"


def test_a_format_that_is_not_read_is_not_an_image_whatever_its_suffix(root: Path) -> None:
    path = root / "train" / classes(root)[0] / "tga.png"
    Image.new("RGB", (40, 40), "grey").save(path, "TGA")
    assert problems(root) == {("not an image", str(path.relative_to(root)))}


def test_what_is_read_but_may_surprise_is_a_warning(root: Path) -> None:
    folder = root / "train" / classes(root)[0]
    shade = (Image.new("RGB", (40, 40), (grey, 0, 0)) for grey in range(60))
    next(shade).save(folder / "png.jpg", "PNG")
    next(shade).save(
        folder / "moving.webp", save_all=True, append_images=[Image.new("RGB", (40, 40), "white")]
    )
    Image.new("RGB", (40, 20), "blue").save(folder / "small.png")
    for number in range(48):
        next(shade).save(folder / f"more{number}.png")
    name = folder.name
    assert problems(root) == {
        ("suffix of another format", f"train/{name}/png.jpg"),
        ("animated image", f"train/{name}/moving.webp"),
        ("image smaller than the crop", f"train/{name}/small.png"),
        ("uneven classes", "train"),
    }  # fmt: skip
    check.refuse_errors(root, 32)


def test_errors_are_refused_in_one_line(root: Path, capsys) -> None:
    folder = root / "train" / classes(root)[0]
    for number in range(2):
        (folder / f"empty{number}.png").write_bytes(b"")
    (folder / "text.png").write_text("not an image")
    message = (
        r"empty file \(2\), not an image \(1\)\. List them: "
        r"\.venv/bin/python -m benchmark check .*dataset\.$"
    )
    with pytest.raises(UserError, match=message):
        check.refuse_errors(root, 32)
    assert check.run(root, 32, as_json=True) == 1
    listed = json.loads(capsys.readouterr().out)
    assert {problem["kind"] for problem in listed} == {"empty file", "not an image"}


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The list of files that the check decodes, in order."""
    paths: list[Path] = []
    examine = reading.examine

    def record(path: Path, *arguments: Any) -> Any:
        paths.append(path)
        return examine(path, *arguments)

    monkeypatch.setattr(reading, "examine", record)
    return paths


def test_only_what_changed_is_decoded_again(root: Path, decoded: list[Path]) -> None:
    path = first(root / "train" / classes(root)[0])
    assert problems(root) == set()
    assert len(decoded) == len(list(root.rglob("*.png")))
    decoded.clear()
    assert problems(root) == set()
    assert decoded == []
    path.write_bytes(b"")
    assert ("empty file", str(path.relative_to(root))) in problems(root)
    assert decoded == [path]


def overwrite(path: Path, source: Path) -> None:
    path.write_bytes(source.read_bytes())


def replace(path: Path, source: Path) -> None:
    shutil.copyfile(source, path.with_suffix(".new"))
    path.with_suffix(".new").rename(path)


def exchange_folders(path: Path, source: Path) -> None:
    """Exchange the class's folder with one that has the image of `source` by the same name."""
    other, aside = path.parent.with_name("class 1"), path.parent.with_name("aside")
    overwrite(other / path.name, source)
    os.utime(other / path.name, ns=(0, 0))
    path.parent.rename(aside)
    other.rename(path.parent)
    aside.rename(other)


@pytest.mark.parametrize("bring", [overwrite, replace, exchange_folders])
def test_another_image_of_the_same_size_and_time_is_decoded(
    root: Path, bring: Callable[[Path, Path], None]
) -> None:
    """Archives with fixed times bring it, and BMPs are all of one size."""
    trained, tested = (root / split / "class 0" / "x.bmp" for split in ("train", "test"))
    for path, colour in ((trained, "red"), (tested, "blue")):
        Image.new("RGB", (40, 40), colour).save(path)
        os.utime(path, ns=(0, 0))
    assert problems(root) == set()
    bring(tested, trained)
    os.utime(tested, ns=(0, 0))
    assert ("same picture in train and another split", "test/class 0/x.bmp") in problems(root)


def test_checks_of_several_datasets_do_not_decode_each_other_again(
    root: Path, decoded: list[Path]
) -> None:
    other = write_images(root.with_name("other"))
    for dataset in (root, other):
        problems(dataset)
    decoded.clear()
    Image.new("RGB", (40, 40), "red").save(other / "train" / classes(other)[0] / "new.png")
    for dataset in (root, other, root):
        problems(dataset)
    assert [path.name for path in decoded] == ["new.png"]


def test_facts_of_the_datasets_checked_last_are_kept(
    root: Path, decoded: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "KEPT", 2)
    second, third = (write_images(root.with_name(name)) for name in ("second", "third"))
    for time, dataset in enumerate((root, second, root, third)):
        problems(dataset)
        for store in stores():
            if store.stat().st_mtime > 10:  # written or used just now
                os.utime(store, (time, time))
    decoded.clear()
    problems(root)
    assert decoded == []
    problems(second)
    assert decoded
    assert len(stores()) == 2


def stores() -> list[Path]:
    """The paths of the files of facts."""
    return sorted(check.CACHES.glob("check-*.json"))


@pytest.mark.parametrize("place", ["file", "link to /proc"])
def test_problems_are_listed_where_facts_cannot_be_stored(
    root: Path, capsys, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """The folder of caches cannot be written to, not even by root."""
    unwritable = root.with_name("caches")
    if place == "file":
        unwritable.touch()
    else:
        unwritable.symlink_to("/proc")
    monkeypatch.setattr(check, "CACHES", unwritable)
    (root / "train" / classes(root)[0] / "empty.png").touch()
    assert check.run(root, 32, as_json=True) == 1
    output = capsys.readouterr()
    assert [problem["kind"] for problem in json.loads(output.out)] == ["empty file"]
    assert output.err.startswith(f"warning: {unwritable}")
    assert output.err.endswith(". The next check decodes all images.\n")
    assert output.err.count("\n") == 1


def test_facts_that_other_code_found_are_not_used(root: Path) -> None:
    assert problems(root) == set()
    [store] = stores()
    content = json.loads(store.read_text())
    wrong = {key: ["", "", 0, 0, "", 1, [], "not an image"] for key in content["facts"]}
    store.write_text(json.dumps({**content, "code": "other", "facts": wrong}))
    assert problems(root) == set()
    store.write_text(json.dumps({**content, "facts": wrong}))
    assert len(problems(root)) == len(wrong)


@pytest.mark.parametrize("content", ["{", "[]", '{"code": "other"}', "{}"])
def test_damaged_or_foreign_facts_are_not_used(root: Path, content: str) -> None:
    (root / "train" / classes(root)[0] / "text.png").write_text("not an image")
    before = problems(root)
    [store] = stores()
    store.write_text(content)
    assert problems(root) == before


def test_many_images_are_read_with_lines_of_progress(root: Path, monkeypatch, capsys) -> None:
    (root / "train" / classes(root)[0] / "text.png").write_text("not an image")
    alone = check.find_problems(root, 64)
    stores()[0].unlink()
    monkeypatch.setattr(reading, "FEW", 0)
    assert check.find_problems(root, 64) == alone
    assert capsys.readouterr().err == ""
    stores()[0].unlink()
    monkeypatch.setattr(reading, "QUIET", 0)
    assert check.find_problems(root, 64) == alone
    output = capsys.readouterr()
    assert "images" in output.err
    assert output.out == ""  # the list of problems as JSON may be written there


def test_a_long_list_is_cut_and_each_kind_has_its_remedy() -> None:
    many = [Problem("empty file", f"{number}.png") for number in range(12)]
    printed = list(
        report_lines(
            [*many, Problem("not an image", "x.png"), Problem("damaged image", "y", "why")]
        )
    )
    assert printed[0] == "error: empty file (12). Replace or remove it."
    assert printed[11] == "    and 2 more"
    assert printed[-1] == "    y: why"
    assert all(remedy.endswith(".") for remedy in KINDS.values())


def test_a_directory_that_does_not_exist_is_named(root: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere is not a directory\. Name one with train"):
        check.run(root / "nowhere", 32, as_json=False)


def acknowledge(root: Path, text: str) -> None:
    root.with_name(f"{root.name}.known.yaml").write_text(text)


def test_an_acknowledged_problem_stops_nothing_and_is_counted(root: Path, capsys) -> None:
    name = classes(root)[0]
    (root / "train" / name / "empty.png").write_bytes(b"")
    acknowledge(root, f"- {{kind: empty file, path: train/{name}/empty.png, reason: on purpose}}")
    assert check.run(root, 32, as_json=False) == 0
    output = capsys.readouterr().out
    assert "no problem." in output
    assert "dataset.known.yaml: empty file (1)." in output
    check.refuse_errors(root, 32)
    (root / "val" / name / "empty.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"empty file \(1\)"):
        check.refuse_errors(root, 32)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- {kind: empty file, path: x.png, reason: y}", r"lists x\.png: empty file, which does"),
        ("- {kind: empty file, path: x.png}", r"not a list of problems: 0\.reason: field required"),
        ("- {kind: empty file, path: x.png, reason: ''}", "0.reason: string should"),
        ("- {kind: nothing, path: x.png, reason: y}", "unknown kind of problem 'nothing'"),
        ("kind: [", "is not YAML: line 1: "),
    ],
)
def test_a_wrong_list_of_acknowledged_problems_is_refused(
    root: Path, text: str, message: str
) -> None:
    acknowledge(root, text)
    with pytest.raises(UserError, match=message):
        check.run(root, 32, as_json=False)


@pytest.mark.parametrize("place", ["train/linked", "train/class 0/linked.png"])
def test_a_link_whose_target_is_too_long_is_broken(root: Path, place: str) -> None:
    (root / place).symlink_to("x" * 300)
    assert problems(root) == {("broken link", place)}


@pytest.mark.parametrize("place", ["val", "val/class 0", "val/class 0/000.png"])
@pytest.mark.parametrize("target", ["dataset/linked", "linked"])
def test_a_link_is_a_problem_wherever_it_points(root: Path, place: str, target: str) -> None:
    """DVC leaves linked folders out, and replaces a linked file by a copy. The images are checked
    all the same."""
    (root / place).rename(root.parent / target)
    (root / place).symlink_to(root.parent / target)
    assert problems(root) == {("symbolic link", place)}


def test_hard_links_and_links_of_the_dataset_or_of_dvc_to_its_cache_are_no_problem(
    root: Path, tmp_path: Path
) -> None:
    """DVC makes such links if its `cache.type` is symlink."""
    linked, named = root / "train/class 0/000.png", root / "train/class 0/001.png"
    cached = tmp_path / "cache/files/md5" / ("0" * 2) / ("1" * 30)
    cached.parent.mkdir(parents=True)
    linked.rename(cached)
    linked.symlink_to(cached)
    os.link(named, tmp_path / "second name.png")
    root.rename(tmp_path / "elsewhere")
    root.symlink_to(tmp_path / "elsewhere")
    assert problems(root) == set()


@pytest.mark.parametrize("name", [".", "..", "../dataset"])
def test_a_dataset_may_be_named_from_within(root: Path, monkeypatch, capsys, name: str) -> None:
    """The list of acknowledged problems lies next to the dataset's directory."""
    monkeypatch.chdir(root / ("train" if name == ".." else "."))
    animal = classes(root)[0]
    (root / "train" / animal / "empty.png").touch()
    acknowledge(root, f"- {{kind: empty file, path: train/{animal}/empty.png, reason: test}}")
    assert check.run(Path(name), 32, as_json=False) == 0
    assert "dataset.known.yaml: empty file (1)." in capsys.readouterr().out


def test_a_root_that_is_not_text_is_checked_and_remembered(
    root: Path, capsys, decoded: list[Path]
) -> None:
    odd = root.rename(root.with_name(os.fsdecode(b"odd\xff\n")))
    first(odd / "train" / classes(odd)[0]).rename(odd / "train" / classes(odd)[0] / "\udcff.png")
    assert check.run(odd, 32, as_json=False) == 1
    assert capsys.readouterr().out.splitlines()[1] == (f"    train/{classes(odd)[0]}/\\udcff.png")
    decoded.clear()
    check.run(odd, 32, as_json=False)
    assert decoded == []


def photograph(seed: int = 0, size: tuple[int, int] = (640, 480)) -> Image.Image:
    """Make a picture of smooth colours with fine noise."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(size)
    noise = random.normal(0, 4, (size[1], size[0], 1))
    return Image.fromarray(np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8))


def of_copies(root: Path) -> set[tuple[str, str]]:
    return {(kind, path) for kind, path in problems(root, 8) if kind.startswith("same picture")}


def test_a_large_photograph_in_another_format_is_a_copy(root: Path, decoded: list[Path]) -> None:
    """The JPEG is decoded at a reduced scale, the PNG in full."""
    for number in range(4):
        photograph(number).save(root / f"train/class 0/photo {number}.jpg", quality=90)
    with Image.open(root / "train/class 0/photo 2.jpg") as image:
        image.save(root / "test/class 0/copy.png")
        image.convert("RGB").save(root / "val/class 0/other.bmp")
    copies = {
        ("same picture in train and another split", "test/class 0/copy.png"),
        ("same picture in train and another split", "val/class 0/other.bmp"),
    }
    assert of_copies(root) == copies
    decoded.clear()
    assert of_copies(root) == copies
    assert decoded == []


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the images that are decoded in full to compare them."""
    names: list[str] = []
    load = duplicates.load
    monkeypatch.setattr(duplicates, "load", lambda path: (names.append(path.name), load(path))[1])
    return names


def test_large_photographs_that_differ_are_not_decoded_in_full(
    root: Path, loaded: list[str]
) -> None:
    """Even if their thumbnails are equal: all are JPEGs, decoded at the same scale."""
    for number in range(4):
        photograph(number).save(root / f"train/class 0/photo {number}.jpg")
    burst = np.asarray(photograph(3)).astype(int) + np.eye(480, 640, dtype=int)[..., None]
    Image.fromarray(np.clip(burst, 0, 255).astype(np.uint8)).save(root / "val/class 0/burst.jpg")
    assert of_copies(root) == set()
    assert loaded == []


def test_only_photographs_that_look_like_one_of_another_format_are_decoded_in_full(
    root: Path, loaded: list[str]
) -> None:
    for number in range(4):
        photograph(number).save(root / f"train/class 0/photo {number}.jpg")
    photograph(3).save(root / "val/class 0/similar.png")
    assert of_copies(root) == set()
    assert loaded == ["photo 3.jpg"]
    loaded.clear()
    assert of_copies(root) == set()
    assert loaded == []


def test_a_photograph_encoded_in_another_way_is_a_copy(root: Path, loaded: list[str]) -> None:
    """Both JPEGs contain the same coefficients; the second one is progressive, with EXIF data."""
    exif = Image.Exif()
    exif[0x010F] = "camera"
    original, again = root / "train/class 0/photo.jpg", root / "test/class 0/again.jpg"
    photograph().save(original, quality=90)
    photograph().save(again, quality=90, progressive=True, exif=exif)
    assert of_copies(root) == {
        ("same picture in train and another split", "test/class 0/again.jpg")
    }
    assert sorted(loaded) == ["again.jpg", "photo.jpg"]


@pytest.mark.parametrize("image_size", [16, 24])
def test_a_photograph_known_at_another_scale_is_a_copy(root: Path, image_size: int) -> None:
    """The image size changed between the checks: to 1/2 or to the full scale."""
    exif = Image.Exif()
    exif[0x010F] = "camera"
    photograph().save(root / "train/class 0/photo.jpg", quality=90)
    problems(root, 8)
    photograph().save(root / "test/class 0/again.jpg", quality=90, exif=exif)
    copies = [path for kind, path in problems(root, image_size) if kind.startswith("same picture")]
    assert copies == ["test/class 0/again.jpg"]


def test_photographs_with_equal_pixels_at_a_reduced_scale_are_no_copies(root: Path) -> None:
    """Stripes and a chequerboard have the same mean in each block of 8 x 8 pixels."""
    y, x = np.mgrid[:480, :640]
    for name, pattern in (("stripes", y % 2), ("board", (x + y) % 2)):
        grey = np.repeat((100 + 50 * pattern)[..., None], 3, axis=2).astype(np.uint8)
        Image.fromarray(grey).save(root / f"train/class 0/{name}.jpg", quality=95, subsampling=0)
    reduced = [
        load(root / f"train/class 0/{name}.jpg", stored=(40, 40)).tobytes()
        for name in ("stripes", "board")
    ]
    assert reduced[0] == reduced[1]
    assert of_copies(root) == set()


def test_the_same_file_twice_is_a_copy_at_any_scale(root: Path) -> None:
    photograph().save(root / "train/class 0/photo.jpg")
    shutil.copy(root / "train/class 0/photo.jpg", root / "train/class 1/again.jpg")
    assert of_copies(root) == {("same picture under two labels", "train/class 1/again.jpg")}


def test_a_photograph_turned_by_its_exif_data_is_a_copy(root: Path) -> None:
    """Both are read upright; the grey one has the same pixels in another orientation."""
    upright = photograph().convert("L")
    upright.save(root / "train/class 0/upright.jpg", quality=95)
    with Image.open(root / "train/class 0/upright.jpg") as image:
        exif = Image.Exif()
        exif[0x0112] = 6
        turned = image.transpose(Image.Transpose.ROTATE_90)
        turned.save(root / "test/class 0/turned.png", exif=exif)
    assert of_copies(root) == {
        ("same picture in train and another split", "test/class 0/turned.png")
    }


def test_facts_at_another_size_are_those_of_the_first(root: Path, decoded: list[Path]) -> None:
    for number in range(3):
        photograph(number).save(root / f"train/class 0/photo {number}.jpg")
    other = write_images(root.with_name("other"))
    for dataset, size in ((root, 8), (other, 8), (root, 32), (other, 32)):
        problems(dataset, size)
    assert len(decoded) == 30 + 27
    problems(root, 8)
    assert len(decoded) == 57


def test_the_check_keeps_pixels_only_of_what_is_trained_on(
    root: Path, capsys, decoded: list[Path]
) -> None:
    other = write_images(root.with_name("other"))
    settings = root.parent / "params.yaml"
    text = PARAMETERS.read_text().replace("root: data", f"root: {root.name}")
    settings.write_text(text)
    for dataset in (root, other):
        assert main(["check", "--json", str(dataset)]) == 0
        output = capsys.readouterr()
        assert json.loads(output.out)
        assert output.err == ""
    decoded.clear()
    data = load_parameters().data
    for dataset in (root, other):
        module = ImageDataModule(str(dataset), data.image_size, cache_gib=data.cache_gib)
        module.prepare_data()
    assert len(decoded) == 27
    assert all(path.is_relative_to(other) for path in decoded)
