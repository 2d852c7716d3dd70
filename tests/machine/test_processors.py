import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from benchmark.machine import accelerators, processors
from benchmark.machine.processors import OtherLoad, cores
from tests import REPOSITORY
from tests.support.forked_python import python


@pytest.fixture
def clock(monkeypatch) -> Iterator[list[tuple[float, float, float]]]:
    """Readings of (busy, own, all) processor seconds, handed out in turn."""
    readings: list[tuple[float, float, float]] = []
    monkeypatch.setattr(processors, "_clock", lambda: readings.pop(0))
    yield readings
    assert readings == []


def test_other_work_is_told_from_our_own(clock) -> None:
    clock += [(100.0, 10.0, 1000.0), (108.0, 15.0, 1020.0)]
    with OtherLoad() as load:
        pass
    assert load.share == pytest.approx((8 - 5) / 20)


def test_other_work_is_never_less_than_nothing(clock) -> None:
    clock += [(100.0, 10.0, 1000.0), (101.0, 15.0, 1020.0)]
    with OtherLoad() as load:
        pass
    assert load.share == 0


def test_the_clock_counts_us_and_the_machine() -> None:
    busy, own, total = processors._clock()
    assert 0 < own <= busy <= total
    assert total >= sum(os.times()[:2])


@pytest.mark.parametrize(("busy", "warned"), [(0.5, True), (0.05, False)])
def test_other_work_is_warned_of(clock, capsys, monkeypatch, busy: float, warned: bool) -> None:
    clock += [(0.0, 0.0, 0.0), (busy, 0.0, 1.0)]
    monkeypatch.setattr(psutil, "cpu_percent", lambda seconds: None)
    processors.warn_if_busy()
    assert ("warning: other work takes 50%" in capsys.readouterr().err) == warned


def burn(seconds: float) -> None:
    """Of processor time."""
    while time.process_time() < seconds:
        pass


PROGRAM = """
import multiprocessing, sys, time
from benchmark.machine import processors
from tests.machine.test_processors import burn

context = multiprocessing.get_context(sys.argv[1])
before = processors._own_seconds()
ends, goes_on = (context.Process(target=burn, args=[seconds]) for seconds in (1.0, 600.0))
goes_on.start()
ends.start()
ends.join()
time.sleep(0.2)
print(processors._own_seconds() - before)
goes_on.kill()
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_what_loader_processes_do_is_our_own(method: str) -> None:
    """Under `forkserver`, the default of Python 3.14, they are children of a child, which nobody
    waits for: one that still runs and one that has ended."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [python(), "-c", PROGRAM, method]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert float(done.stdout) > 1.5, done.stderr


@pytest.fixture
def groups(tmp_path: Path, monkeypatch) -> Path:
    """A made-up hierarchy of control groups."""
    monkeypatch.setattr(processors, "CGROUPS", tmp_path)
    monkeypatch.setattr(processors, "OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    (tmp_path / "own").write_text("4:cpu,cpuacct:/docker/x\n3:cpuset:/\n0::/jobs/mine\n")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("jobs/mine/cpu.max", "400000 100000", 4),
        ("jobs/cpu.max", "150000 100000", 2),  # of the group around it
        ("cpu.max", "50000 100000", 1),
        ("jobs/mine/cpu.max", "max 100000", 64),
        ("elsewhere/cpu.max", "400000 100000", 64),
    ],
)
def test_a_quota_of_processors_counts(groups: Path, name: str, text: str, expected: int) -> None:
    """docker run --cpus=4 on 64 processors."""
    write(groups / name, f"{text}\n")
    assert cores() == expected


@pytest.mark.parametrize(("limit", "expected"), [("400000", 4), ("-1", 64)])
def test_a_quota_of_the_first_version_counts(groups: Path, limit: str, expected: int) -> None:
    """Within a container its own group is mounted as the root."""
    write(groups / "cpu,cpuacct/cpu.cfs_quota_us", limit)
    write(groups / "cpu,cpuacct/cpu.cfs_period_us", "100000")
    assert cores() == expected


def test_torch_computes_with_no_more_threads_than_the_quota(groups: Path, monkeypatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 32)
    assert accelerators.threads() == 32
    write(groups / "cpu.max", "400000 100000")
    assert accelerators.threads() == 4


def test_threads_that_are_bound_to_processors_count_each(groups: Path, monkeypatch) -> None:
    """OMP_PROC_BIND=true leaves the main thread one processor of all."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 32)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert accelerators.threads() == 32
