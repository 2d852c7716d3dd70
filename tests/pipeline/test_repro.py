"""`dvc repro`, with stand-ins for the stages that compute: which stages run again, and refusals."""

import hashlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import pytest
import yaml
from dvc.exceptions import DvcException
from dvc.utils.serialize import _yaml
from yaml import CSafeLoader

from tests.support.repository import replace_python, set_parameters

TRAININGS = ("own", "8", "control")
TRAIN = {f"train cpu --training {name}" for name in TRAININGS}
REPLAY = {f"replay cpu --training {name}" for name in TRAININGS}
ALL = {*TRAIN, *REPLAY, "throughput cpu", "report"}


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

    edit(package / "pipeline/replay.py", 'index + 1, "loss"', 'index + 2, "loss"')
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
    intact, kept = lock.read_bytes(), result.read_bytes()
    for damaged in (b"", intact[:-9] + bytes(9), intact.replace(b": ", b"<<<<<<< ", 1)):
        lock.write_bytes(damaged)
        with pytest.raises(DvcException, match=r"dvc\.lock"):
            rerun()
        assert result.read_bytes() == kept
    lock.write_bytes(intact[: intact.index(b"  train@cpu-own:")])
    assert "train cpu --training own" in rerun()
    lock.write_bytes(intact.replace(hashlib.md5(kept).hexdigest().encode(), b"f" * 32))
    assert "train cpu --training own" in rerun()


def test_the_second_of_two_pipelines_names_the_first(
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
