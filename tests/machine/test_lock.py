import multiprocessing
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from benchmark.machine import lock
from benchmark.machine.lock import measuring_lock
from tests import REPOSITORY


def hold(ready: Any, done: Any) -> None:
    with measuring_lock():
        ready.set()
        done.wait(60)


def test_a_second_measurement_waits_for_the_first(capsys, monkeypatch) -> None:
    spawn = multiprocessing.get_context("spawn")
    ready, done = spawn.Event(), spawn.Event()
    other = spawn.Process(target=hold, args=(ready, done))
    other.start()
    assert ready.wait(60)
    say = print

    def released(*words: Any, **options: Any) -> None:
        say(*words, **options)
        done.set()

    monkeypatch.setattr("builtins.print", released)
    with measuring_lock():
        assert done.is_set()
        assert "Another measurement is running on this machine" in capsys.readouterr().out
    other.join(60)
    assert other.exitcode == 0


def test_the_lock_is_given_back(capsys) -> None:
    for _ in range(2):
        with measuring_lock():
            pass
    assert capsys.readouterr().out == ""


SAY = "from benchmark.machine import lock; print(lock.lock_file())"


def test_the_tests_and_their_processes_have_a_lock_of_their_own() -> None:
    """So that they run beside a measurement without waiting for it."""
    child = subprocess.run([sys.executable, "-c", SAY], capture_output=True, text=True)
    assert child.stdout.strip() == str(lock.lock_file()), child.stderr
    assert lock.lock_file().parent == Path(os.environ["TMPDIR"])


def test_jobs_with_temporary_directories_of_their_own_have_one_lock(tmp_path: Path) -> None:
    found = set()
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        own = {k: v for k, v in os.environ.items() if k != "BENCHMARK_LOCK_DIRECTORY"}
        job = own | {"TMPDIR": str(tmp_path / name)}
        child = subprocess.run([sys.executable, "-c", SAY], capture_output=True, text=True, env=job)
        found.add(child.stdout.strip())
    assert len(found) == 1
    assert not found.pop().startswith(str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("measured", [True, False])
def test_tests_beside_a_measurement_say_that_they_disturb_it(
    measured: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCHMARK_LOCK_DIRECTORY", str(tmp_path))
    command = [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:xdist", __file__]
    with measuring_lock() if measured else nullcontext():
        done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout
    assert ("A measurement is running on this machine." in done.stdout) == measured
