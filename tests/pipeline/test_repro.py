"""`dvc repro`, with stand-ins for the stages that compute: which stages run again, and refusals."""

import hashlib
import os
import re
from pathlib import Path

import dvc.stage.run
import pytest
from dvc.exceptions import DvcException
from dvc.repo import Repo

from tests.support.repository import run_dvc, set_parameters

pytestmark = pytest.mark.usefixtures("quick_yaml")

TRAININGS = ("own", "8", "control")
TRAIN = {f"train cpu --training {name}" for name in TRAININGS}
REPLAY = {f"replay cpu --training {name}" for name in TRAININGS}
ALL = {*TRAIN, *REPLAY, "throughput cpu", "report"}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_what_must_rerun_does_and_nothing_else(repository: Path, rerun) -> None:
    package = repository / "benchmark"
    assert rerun() == ALL

    model = package / "training/model.py"
    text = model.read_text(encoding="utf-8").replace('"""', '"""Other words. ', 1)
    model.write_text(f"# A comment.\n{text}", encoding="utf-8")
    assert rerun() == set()

    edit(package / "pipeline/report.py", "at both ends of every block", "around every block")
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
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one starts while a stage of the first one runs."""
    monkeypatch.chdir(repository)
    seconds = []
    monkeypatch.setattr(
        dvc.stage.run, "cmd_run", lambda *_, **__: seconds.append(run_dvc(repository, "repro"))
    )
    with Repo() as first, pytest.raises(DvcException, match="failed to reproduce"):
        first.reproduce("dataset")  # its command has not written its output
    (second,) = seconds
    assert second.returncode != 0
    assert re.search(rf"is busy.*\(PID {os.getpid()}\)", second.stderr, re.DOTALL)
