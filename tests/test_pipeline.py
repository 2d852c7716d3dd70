"""The pipeline as DVC runs it, and the files that it stands on."""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import pytest
import yaml
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import _yaml, modify_yaml
from yaml import CSafeLoader

from benchmark.common import code
from benchmark.common.files import read_json
from benchmark.common.parameters import load_parameters
from benchmark.errors.user_error import UserError
from benchmark.pipeline import dataset
from benchmark.pipeline.dataset import read_pin
from tests import PARAMETERS, REPOSITORY
from tests.support.forked_python import python
from tests.support.repository import make_repository, replace_python, write_python

PIPELINE: dict[str, Any] = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())


@pytest.mark.parametrize("stage", PIPELINE["stages"])
def test_a_stage_depends_on_its_code_by_one_digest(stage: str) -> None:
    """Stages that always run need none."""
    declared = PIPELINE["stages"][stage]
    digests = [d for d in declared.get("deps", []) if "benchmark" in d or "code" in d]
    kind = {"seeds": "train", "replay_seeds": "replay", "replay_control": "replay"}.get(
        stage, stage
    )
    expected = [] if declared.get("always_changed") else [f"reports/code/{kind}.json"]
    assert digests == expected


def test_the_code_stage_writes_what_stages_depend_on() -> None:
    outs = [next(iter(out)) for out in PIPELINE["stages"]["code"]["outs"]]
    assert outs == [f"reports/code/{stage}.json" for stage in code.STAGES]


def test_declared_parameters_exist() -> None:
    content = load_parameters(PARAMETERS).model_dump()
    for stage in PIPELINE["stages"].values():
        for name in stage.get("params", []):
            value = content
            for part in name.split("."):
                value = value[part]


@pytest.mark.parametrize("stage", ["environment", "throughput"])
def test_stages_run_once_for_each_accelerator(stage: str) -> None:
    declared = PIPELINE["stages"][stage]
    assert declared["matrix"] == {"accelerator": "${accelerators}"}
    assert declared["cmd"].endswith(f" -m benchmark {stage} ${{item.accelerator}}")


def dvc(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run DVC from a shell in which `python` is another program."""
    decoy = root.parent / "decoy/python"
    decoy.parent.mkdir(exist_ok=True)
    decoy.write_text("#!/bin/sh\necho another Python >&2\nexit 3\n")
    decoy.chmod(0o755)
    path = os.pathsep.join([str(decoy.parent), "/usr/bin", "/bin"])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(REPOSITORY)}
    command = [python(), "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository with this pipeline and a small dataset."""
    root = make_repository(tmp_path_factory.mktemp("pipeline") / "template")
    write_python(root, f'exec {shlex.quote(python())} "$@"\n')
    return root


@pytest.fixture
def repository(template: Path, tmp_path: Path) -> Path:
    """A copy of the template, for one test to change."""
    return Path(shutil.copytree(template, tmp_path / "repository", symlinks=True))


@pytest.fixture
def stages(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], set[str]]:
    """The names of the pipeline's stages."""
    monkeypatch.chdir(repository)

    def names() -> set[str]:
        with Repo() as opened:
            return {stage.addressing for stage in opened.index.stages}

    return names


def test_the_dataset_stage_fetches_and_records_what_is_pinned(repository: Path) -> None:
    shutil.rmtree(repository / "data")
    shutil.rmtree(repository / "weights")
    shutil.rmtree(repository / ".dvc/cache")
    done = dvc(repository, "repro", "dataset")
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


def set_parameters(root: Path, **changes: Any) -> None:
    content = yaml.safe_load((root / "params.yaml").read_text())
    for name, value in changes.items():
        content[name] = content[name] | value if isinstance(value, dict) else value
    (root / "params.yaml").write_text(yaml.safe_dump(content))


def test_weights_from_elsewhere_need_no_pin(repository: Path) -> None:
    set_parameters(repository, model={"weights": "random"})
    (repository / "weights.dvc").unlink()
    done = dvc(repository, "repro", "dataset")
    assert done.returncode == 0, done.stderr
    assert read_json(repository / "reports/weights.json") == {"weights": "random"}


def test_a_changed_file_of_weights_is_another_input(repository: Path) -> None:
    set_parameters(repository, model={"weights": "my.pt"})
    recorded = []
    for content in (b"one", b"other"):
        (repository / "my.pt").write_bytes(content)
        assert dvc(repository, "repro", "dataset").returncode == 0
        recorded.append(read_json(repository / "reports/weights.json"))
    assert recorded[0] != recorded[1]


def test_controls_may_be_left_out(repository: Path, stages) -> None:
    set_parameters(repository, controls=[])
    names = stages()
    assert "train@cpu-own" in names
    assert not [name for name in names if "control" in name]


def test_each_further_seed_is_a_stage(repository: Path, stages) -> None:
    assert not [name for name in stages() if name.startswith("seeds")]
    set_parameters(repository, seeds=[8, 9])
    named = {"train@cpu-own", "seeds@cpu-8", "seeds@cpu-9", "replay_seeds@cpu-8"}
    assert named <= stages()


def test_each_training_is_replayed(repository: Path, stages) -> None:
    set_parameters(repository, seeds=[8], accelerators=["cpu", "gpu"], controls=["gpu"])
    replays = {name for name in stages() if name.startswith("replay")}
    assert replays == {
        "replay@cpu-own", "replay@gpu-own", "replay_seeds@cpu-8", "replay_seeds@gpu-8",
        "replay_control@gpu-control",
    }  # fmt: skip


def test_edited_weights_are_refused_by_name(repository: Path) -> None:
    edited = repository / "weights/source.json"
    edited.unlink()
    edited.write_text("{}")
    done = dvc(repository, "repro", "dataset")
    assert done.returncode != 0
    assert "Not what weights.dvc pins: weights/source.json." in done.stderr
    assert edited.read_text() == "{}"


def test_an_edited_image_is_refused_by_name_and_the_pin_is_unchanged(repository: Path) -> None:
    pin = (repository / "data.dvc").read_bytes()
    edited = repository / "data/train/class 1/003.png"
    edited.unlink()
    edited.write_bytes(b"edited")
    done = dvc(repository, "repro", "dataset")
    assert done.returncode != 0
    named = "Not what data.dvc pins: data/train/class 1/003.png. To use"
    assert named in done.stderr
    assert edited.read_bytes() == b"edited"
    assert (repository / "data.dvc").read_bytes() == pin


def test_a_corrupt_remote_object_is_refused(repository: Path) -> None:
    """`verify = true` in .dvc/config: without it DVC takes what it gets."""
    shutil.rmtree(repository / "data")
    shutil.rmtree(repository / ".dvc/cache")
    victim = next(path for path in (repository / ".dvc/remote").rglob("*") if path.is_file())
    victim.chmod(0o644)
    victim.write_bytes(b"corrupt")
    done = dvc(repository, "repro", "dataset")
    assert done.returncode != 0
    assert "error: DVC could not fetch what data.dvc pins: " in done.stderr


def test_a_deleted_image_is_fetched_again(repository: Path) -> None:
    deleted = repository / "data/train/class 1/003.png"
    content = deleted.read_bytes()
    deleted.unlink()
    assert dvc(repository, "repro", "dataset").returncode == 0
    assert deleted.read_bytes() == content


TRAININGS = ("own", "8", "control")
TRAIN = {f"train cpu --training {name}" for name in TRAININGS}
REPLAY = {f"replay cpu --training {name}" for name in TRAININGS}
ALL = {*TRAIN, *REPLAY, "throughput cpu", "report"}
ALWAYS = {"dataset", "environment cpu"}


@pytest.fixture
def rerun(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], set[str]]:
    """Runs the pipeline with stand-ins for the stages that compute; returns the stages that ran."""
    set_parameters(repository, accelerators=["cpu"], seeds=[8], controls=["cpu"])
    replace_python(repository, "tests.support.stand_in", python())
    monkeypatch.setenv("PYTHONPATH", str(repository))
    monkeypatch.chdir(repository)

    def run() -> set[str]:
        Path("ran").unlink(missing_ok=True)
        with Repo() as opened:
            opened.reproduce()
        return set(Path("ran").read_text().splitlines()) - ALWAYS

    return run


@pytest.fixture
def quick_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes DVC read and write dvc.lock in C: its YAML in Python takes most of the time."""

    def dump(data: Any, stream: TextIO) -> None:
        yaml.dump(json.loads(json.dumps(data)), stream, yaml.CSafeDumper, sort_keys=False)

    monkeypatch.setattr(_yaml, "parse_yaml", lambda text, *_, **__: yaml.load(text, CSafeLoader))
    monkeypatch.setattr(_yaml, "_dump", dump)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.usefixtures("quick_yaml")
@pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # DVC's own use of pygtrie
def test_what_must_rerun_does_and_nothing_else(repository: Path, rerun) -> None:
    package = repository / "benchmark"
    assert rerun() == ALL

    model = package / "training/model.py"
    text = model.read_text(encoding="utf-8").replace('"""', '"""Other words. ', 1)
    model.write_text(f"# A comment.\n{text}", encoding="utf-8")
    assert rerun() == set()

    edit(package / "report/charts.py", "SMOOTHING = 0.9", "SMOOTHING = 0.8")
    assert rerun() == {"report"}

    edit(package / "pipeline/replay.py", 'step + 1, "loss"', 'step + 2, "loss"')
    assert rerun() == REPLAY

    edit(package / "data/crops.py", "ATTEMPTS = 10", "ATTEMPTS = 9")
    assert rerun() == ALL

    set_parameters(repository, report={"target_accuracy": 0.5})
    assert rerun() == {"report"}

    set_parameters(repository, train={"patience": 2})
    assert rerun() == {*TRAIN, *REPLAY, "report"}

    set_parameters(repository, seed=9)
    assert rerun() == ALL - {"train cpu --training 8", "replay cpu --training 8"}


@pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")
def test_a_damaged_lock_file_is_refused_or_its_stages_run_again(repository: Path, rerun) -> None:
    """A result that the lock file does not prove is not used."""
    lock, result = repository / "dvc.lock", repository / "reports/train/cpu/own.json"
    assert rerun() == ALL
    whole, kept = lock.read_bytes(), result.read_bytes()
    for damaged in (b"", whole[:-9] + bytes(9), whole.replace(b": ", b"<<<<<<< ", 1)):
        lock.write_bytes(damaged)
        with pytest.raises(DvcException, match=r"dvc\.lock"):
            rerun()
        assert result.read_bytes() == kept
    lock.write_bytes(whole[: whole.index(b"  train@cpu-own:")])
    assert "train cpu --training own" in rerun()
    lock.write_bytes(whole.replace(hashlib.md5(kept).hexdigest().encode(), b"f" * 32))
    assert "train cpu --training own" in rerun()


def test_of_two_pipelines_at_once_one_ends_by_naming_the_other(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_python(repository, "tests.support.stand_in")
    python, begun, held = repository / ".venv/bin/python", tmp_path / "begun", tmp_path / "held"
    wait = f"touch {begun}\nwhile [ -e {held} ]; do sleep 0.1; done\n"
    edit(python, "shift 2\n", f"shift 2\n{wait}")
    held.touch()
    command = [sys.executable, "-m", "dvc", "repro"]
    monkeypatch.setenv("PYTHONPATH", str(repository))
    with subprocess.Popen(command, cwd=repository, stdout=subprocess.DEVNULL) as first:
        while not begun.exists():
            assert first.poll() is None
            time.sleep(0.1)
        second = subprocess.run(command, cwd=repository, capture_output=True, text=True)
        held.unlink()
    assert first.returncode == 0
    assert second.returncode != 0
    assert re.search(rf"is busy.*\(PID {first.pid}\)", second.stderr, re.DOTALL)


def test_nothing_in_the_repository_names_a_machine_or_an_index() -> None:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    words = re.compile(
        "|".join(("pypi" + r"\.org", "/" + "root/", "/" + "home/", "index" + "-url "))
    )
    for name in filter(None, listing.stdout.split("\0")):
        path = REPOSITORY / name
        if not name.startswith(".dvc/remote") and path.is_file():
            assert not words.search(path.read_text(encoding="utf-8", errors="replace")), name


@pytest.mark.parametrize("path", [PARAMETERS, REPOSITORY / "data.dvc", REPOSITORY / "weights.dvc"])
def test_dvc_writes_a_file_as_it_is(path: Path, tmp_path: Path) -> None:
    """Otherwise an experiment, even one that fails, would change lines that nobody changed."""
    if not path.is_file():
        pytest.skip(f"{path.name} does not exist: nothing is pinned")
    copy = Path(shutil.copy(path, tmp_path))
    if path == PARAMETERS:
        apply_overrides(copy, ["seed=7"])
    else:
        with modify_yaml(str(copy)):
            pass
    assert copy.read_text() == path.read_text()


def commit(repository: Path) -> None:
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b.invalid"]
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "everything"], check=True)


def test_an_experiment_that_fails_leaves_the_parameters_alone(repository: Path) -> None:
    shutil.copy(REPOSITORY / "Makefile", repository)
    commit(repository)
    before = (repository / "params.yaml").read_bytes()
    command = ["make", "-o", "setup", "experiment", "S=train.max_epochs=0 controls=[]"]
    path = os.pathsep.join([f"{sys.prefix}/bin", os.environ["PATH"]])  # with DVC
    done = subprocess.run(
        command, cwd=repository, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "train.max_epochs = 0: input should be greater" in done.stderr
    assert (repository / "params.yaml").read_bytes() == before


@pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # DVC's own use of pygtrie
def test_an_experiment_is_applied_with_its_model(
    repository: Path, rerun: Callable[[], set[str]]
) -> None:
    """It ran in another directory. The new reports must not be next to the old model."""
    (repository / ".gitignore").write_text("/.venv\n/models\n/data\n/weights\n/ran\n")
    Path("reports/machines/.gitkeep").touch()
    rerun()
    commit(repository)
    result, model = Path("reports/train/cpu/own.json"), Path("models/cpu/own/weights")
    before = result.read_text()
    change = ["-S", "train.learning_rate=0.5"]
    done = dvc(repository, "exp", "run", "--temp", "-n", "try", *change)
    assert done.returncode == 0, done.stderr
    assert result.read_text() == model.read_text() == before
    assert dvc(repository, "exp", "apply", "try").returncode == 0
    assert result.read_text() == model.read_text() != before


@pytest.fixture
def refusal(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Runs the dataset stage in the repository as the test changed it; returns its error."""
    monkeypatch.chdir(repository)

    def run() -> str:
        with pytest.raises(UserError) as error:
            dataset.run(load_parameters())
        assert "\n" not in str(error.value)
        return str(error.value)

    return run


def test_images_outside_the_repository_are_refused(repository: Path, refusal) -> None:
    """DVC silently skips paths outside the repository."""
    shutil.copytree("data", "../outside")
    shutil.copy("data.dvc", "../outside.dvc")
    set_parameters(repository, data={"root": "../outside"})
    assert refusal() == (
        "data.root = '../outside' is outside this repository, where DVC pins nothing. Move the "
        "images to a directory in here."
    )


def test_behind_a_link_no_command_is_advised_that_fails(repository: Path, refusal) -> None:
    shutil.move("data", "../linked")
    Path("data").symlink_to("../linked")
    Path("data/train/class 1/003.png").unlink()
    Path("data/train/class 1/003.png").write_bytes(b"edited")
    assert "pin it: put the directory in the place of the link, then dvc add data." in refusal()
    Path("data.dvc").unlink()
    assert "Pin the directory: put the directory in the place of the link" in refusal()


def test_a_file_name_that_is_no_utf8_is_named(repository: Path, refusal) -> None:
    Path(os.fsdecode(b"data/train/class 1/caf\xe9.png")).write_bytes(b"")
    assert refusal().startswith(r"b'data/train/class 1/caf\xe9.png' is no UTF-8. Rename it")


def test_an_archive_without_git_is_refused(repository: Path, refusal) -> None:
    shutil.rmtree(".git")
    assert refusal() == "This is not a git repository. Clone it with git: DVC needs one."


def test_the_cause_that_dvc_names_is_in_the_error(repository: Path, refusal) -> None:
    shutil.rmtree("data")
    shutil.rmtree(".dvc/cache")
    shutil.rmtree(".dvc/remote")
    error = refusal()
    assert error.startswith("DVC could not fetch what data.dvc pins: ")
    assert "missing" in error.lower()
    assert "dvc add" not in error
