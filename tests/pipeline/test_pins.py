"""The dataset stage in a repository: what it fetches, records and refuses."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from PIL import Image

from benchmark.common.files import read_json
from benchmark.common.parameters import load_parameters
from benchmark.common.results import DATASET, WEIGHTS
from benchmark.errors.user_error import UserError
from benchmark.pipeline import dataset
from benchmark.pipeline.dataset import read_pin
from tests import REPOSITORY
from tests.support.repository import run_dvc, set_parameters


def test_the_dataset_stage_fetches_and_records_what_is_pinned(repository: Path) -> None:
    shutil.rmtree(repository / "data")
    shutil.rmtree(repository / "weights")
    shutil.rmtree(repository / ".dvc/cache")
    done = run_dvc(repository, "repro", "dataset")
    assert done.returncode == 0, done.stderr
    recorded = read_json(repository / "reports/dataset.json")
    assert recorded == read_pin(repository / "data.dvc") | {
        "classes": 3,
        "images": {"train": 15, "val": 6, "test": 6},
    }
    assert read_json(repository / "reports/weights.json") == {
        "weights": "source",
        "sha256": hashlib.sha256(b"weights").hexdigest(),
        "card": {"seed": 7},
    }
    assert (repository / "weights/source.safetensors").read_bytes() == b"weights"


@pytest.fixture
def in_repository(
    repository: Path, forked_processes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Makes the repository the working directory."""
    monkeypatch.chdir(repository)


@pytest.mark.usefixtures("in_repository")
def test_weights_from_elsewhere_need_no_pin(repository: Path) -> None:
    set_parameters(repository, model={"weights": "random"})
    Path("weights.dvc").unlink()
    dataset.run(load_parameters())
    assert read_json(WEIGHTS) == {"weights": "random"}


@pytest.mark.usefixtures("in_repository")
def test_a_changed_file_of_weights_is_another_input(repository: Path) -> None:
    set_parameters(repository, model={"weights": "my.pt"})
    recorded = []
    for content in (b"one", b"other"):
        Path("my.pt").write_bytes(content)
        dataset.run(load_parameters())
        recorded.append(read_json(WEIGHTS))
    assert recorded[0] != recorded[1]


@pytest.mark.usefixtures("in_repository")
def test_a_deleted_image_is_fetched_again() -> None:
    deleted = Path("data/train/class 1/003.png")
    content = deleted.read_bytes()
    deleted.unlink()
    dataset.run(load_parameters())
    assert deleted.read_bytes() == content


def test_an_edited_image_is_refused_by_name_and_the_pin_is_unchanged(repository: Path) -> None:
    pin = (repository / "data.dvc").read_bytes()
    edited = repository / "data/train/class 1/003.png"
    edited.unlink()
    edited.write_bytes(b"edited")
    done = run_dvc(repository, "repro", "dataset")
    assert done.returncode != 0
    assert "Not what data.dvc pins: data/train/class 1/003.png. To use" in done.stderr
    assert edited.read_bytes() == b"edited"
    assert (repository / "data.dvc").read_bytes() == pin


@pytest.fixture
def refusal(in_repository: None) -> Callable[[], str]:
    """Runs the dataset stage in the repository as the test changed it; returns its error."""

    def run() -> str:
        with pytest.raises(UserError) as error:
            dataset.run(load_parameters())
        assert "\n" not in str(error.value)
        return str(error.value)

    return run


def test_edited_weights_are_refused_by_name(refusal) -> None:
    edited = Path("weights/source.json")
    edited.unlink()
    edited.write_text("{}")
    assert refusal().startswith("Not what weights.dvc pins: weights/source.json.")
    assert edited.read_text() == "{}"


def test_a_corrupt_remote_object_is_refused(refusal) -> None:
    """`verify = true` in .dvc/config: without it DVC does not check what it fetches."""
    shutil.rmtree("data")
    shutil.rmtree(".dvc/cache")
    for victim in filter(Path.is_file, Path(".dvc/remote").rglob("*")):
        victim.chmod(0o644)
        victim.write_bytes(b"corrupt")
    assert refusal().startswith("DVC could not fetch what data.dvc pins: ")


@pytest.mark.parametrize("verify", ["true", "false"])
def test_another_list_of_files_in_the_remote_is_refused(refusal, verify: str) -> None:
    """Names of folders are labels. DVC checks the digests of files, but not that of their list."""
    config = Path(".dvc/config")
    config.write_text(config.read_text().replace("verify = true", f"verify = {verify}"))
    md5 = read_pin(Path("data.dvc"))["md5"]
    listed = Path(".dvc/remote/files/md5", md5[:2], md5[2:])
    listed.chmod(0o644)
    listed.write_text(listed.read_text().replace("class 1/", "class 9/"))
    shutil.rmtree("data")
    shutil.rmtree(".dvc/cache")
    message = refusal()
    assert message.startswith("data.dvc pins another list of files than the remote has. Restore")
    assert message.endswith("dvc pull --force data.dvc.")


@pytest.mark.parametrize("root", ["../outside", "..", "/", ".", "./", "data/..", "{here}"])
def test_images_outside_the_repository_are_refused(repository: Path, refusal, root: str) -> None:
    """DVC silently skips paths outside the repository, and cannot pin the repository itself."""
    shutil.copytree("data", "../outside")
    shutil.copy("data.dvc", "../outside.dvc")
    root = root.format(here=repository)
    set_parameters(repository, data={"root": root})
    assert refusal() == (
        f"data.root = {root!r} is not inside this repository, where DVC could pin it. Move the "
        "images to a directory inside it."
    )


@pytest.mark.parametrize("root", ["params.yaml", "data.dvc", "params.yaml/"])
def test_images_are_not_in_a_file(repository: Path, refusal, root: str) -> None:
    set_parameters(repository, data={"root": root})
    assert refusal() == (
        f"data.root = {root!r} is not a directory. Name the one with train, val and test in it."
    )


@pytest.mark.parametrize("root", ["data/", "./data", "weights/../data", "{here}/data"])
def test_a_root_may_be_written_in_several_ways(repository: Path, in_repository, root: str) -> None:
    set_parameters(repository, data={"root": root.format(here=repository)})
    dataset.run(load_parameters())
    assert read_json(DATASET)["md5"] == read_pin(Path("data.dvc"))["md5"]


def test_an_advised_command_can_be_typed(repository: Path, refusal) -> None:
    for root, advised in (("my images", "dvc add 'my images'."), ("-x", "dvc add -- -x.")):
        set_parameters(repository, data={"root": root})
        assert refusal().endswith(advised)


def test_a_dataset_may_be_a_link_and_no_command_is_advised_that_fails_there(refusal) -> None:
    shutil.move("data", "../linked")
    Path("data").symlink_to("../linked")
    dataset.run(load_parameters())
    Path("data/train/class 1/003.png").unlink()
    Path("data/train/class 1/003.png").write_bytes(b"edited")
    assert "pin it: replace the link by the directory, then dvc add data." in refusal()
    Path("data.dvc").unlink()
    assert "Pin the directory: replace the link by the directory" in refusal()


def test_a_file_name_that_is_not_utf8_is_named(refusal) -> None:
    Path(os.fsdecode(b"data/train/class 1/caf\xe9.png")).write_bytes(b"")
    assert refusal().startswith(r"b'data/train/class 1/caf\xe9.png' is not UTF-8. Rename it")


def test_an_archive_without_git_is_refused(refusal) -> None:
    shutil.rmtree(".git")
    assert refusal() == "This is not a git repository. Clone it with git: DVC needs one."


@pytest.mark.usefixtures("in_repository")
def test_what_file_managers_leave_is_not_part_of_the_pin() -> None:
    """They write into folders that are pinned already."""
    pin = Path("data.dvc").read_bytes()
    Path("data/train/class 1/.ipynb_checkpoints").mkdir()
    names = (".DS_Store", "._003.png", "Thumbs.db", "desktop.ini", ".ipynb_checkpoints/003.png")
    for name in names:
        Path("data/train/class 1", name).write_text("none of the images")
    Path("data/.DS_Store").write_text("in the dataset's folder")
    dataset.run(load_parameters())
    with Repo() as opened:
        opened.add("data")
    assert Path("data.dvc").read_bytes() == pin


def test_an_image_that_dvc_does_not_see_changed_is_refused(refusal) -> None:
    """It has the size and times of the pinned one, as Python's tarfile writes from an archive."""
    path = Path("data/train/class 1/red.bmp")
    for colour in ("red", "blue"):
        Image.new("RGB", (40, 40), colour).save(path)
        os.utime(path, ns=(0, 0))
        if colour == "red":
            with Repo() as opened:
                opened.add("data")
            dataset.run(load_parameters())
    assert refusal().startswith("data cannot be trained on: not what is pinned (1).")


def test_an_image_that_dvc_leaves_out_is_refused(refusal) -> None:
    """Training would read it, and a clone would not have it."""
    Image.new("RGB", (40, 40), "red").save("data/train/class 1/red.bmp")
    with Path(".dvcignore").open("a") as file:
        file.write("*.bmp\n")
    with Repo() as opened:
        opened.add("data")
    assert refusal().startswith("data cannot be trained on: not in the pin (1).")


@pytest.mark.parametrize("named", [False, True])
def test_what_was_not_pushed_is_to_be_pushed(refusal, named: bool) -> None:
    if not named:
        pin = Path("data.dvc")
        pin.write_text(pin.read_text().replace("  remote: bundled\n  push: false\n", ""))
    shutil.rmtree("data")
    shutil.rmtree(".dvc/cache")
    shutil.rmtree(".dvc/remote")
    assert refusal() == (
        "DVC could not fetch what data.dvc pins: it is missing in the cache and in the remote. "
        "Where it was added, remove the lines remote and push from data.dvc, if it has them. "
        "Then run: dvc remote add --default NAME URL, dvc push."
    )


def test_a_merge_conflict_is_to_be_resolved(refusal) -> None:
    pin = Path("data.dvc")
    lines = pin.read_text().splitlines(keepends=True)
    pin.write_text("".join(["<<<<<<< HEAD\n", *lines, "=======\n", *lines, ">>>>>>> theirs\n"]))
    assert refusal() == (
        "data.dvc has the marks of a merge conflict. Keep one version: git checkout --ours "
        "data.dvc (or --theirs), then git add data.dvc."
    )


def test_a_linked_folder_of_images_is_refused(refusal) -> None:
    """DVC leaves it out of the pin without a warning."""
    shutil.copytree("data/val", "../more")
    for split in ("train", "val", "test"):
        Path("data", split, "linked").symlink_to(Path("../more/class 0").resolve())
    assert "data cannot be trained on: symbolic link (3)" in refusal()


@pytest.mark.parametrize("removed", [False, True])
def test_own_images_are_not_pushed_into_git(repository: Path, removed: bool) -> None:
    """DVC keeps the remote's name in data.dvc if it pins other images there."""
    if removed:
        (repository / "data.dvc").unlink()
    image = repository / "data/train/class 1/003.png"
    image.unlink()
    image.write_text("a private image")
    assert run_dvc(repository, "add", "data").returncode == 0
    pushed = run_dvc(repository, "push")
    git = ["git", "-C", str(repository)]
    subprocess.run([*git, "add", "--all"], check=True)
    assert subprocess.run([*git, "grep", "--cached", "a private image"]).returncode == 1
    assert pushed.returncode != 0
    assert "no remote specified" in pushed.stderr


@pytest.mark.parametrize("pin", [REPOSITORY / "data.dvc", REPOSITORY / "weights.dvc"])
def test_what_is_bundled_names_its_remote_and_is_not_pushed(pin: Path) -> None:
    if not pin.is_file():
        pytest.skip(f"{pin.name} does not exist: nothing is pinned")
    (out,) = yaml.safe_load(pin.read_text())["outs"]
    assert (out["remote"], out["push"]) == ("bundled", False)
