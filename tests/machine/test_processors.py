import os
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import psutil
import pytest
import torch

from benchmark.machine import accelerators, processors
from benchmark.machine.processors import OtherLoad, processor_count, warn_if_busy
from tests import REPOSITORY
from tests.support.burn import burn
from tests.support.forked_python import python


class Times(NamedTuple):
    """CPU times of one processor, as psutil returns them."""

    user: float
    idle: float


class Readings:
    """Simulates a machine on which this process and other work run for ten seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, processors: int) -> None:
        self.used = [0.0] * processors
        """Seconds for which each processor works."""
        self.ours = 0.0
        """Seconds of this process."""
        self._ended = False
        zero = dict.fromkeys(("children_user", "children_system", "system"), 0.0)
        process = SimpleNamespace(
            children=lambda recursive: [],
            cpu_times=lambda: SimpleNamespace(user=self.ours if self._ended else 0.0, **zero),
        )
        monkeypatch.setattr(psutil, "Process", lambda: process)
        monkeypatch.setattr(psutil, "cpu_times", self._cpu_times)
        monkeypatch.setattr(psutil, "cpu_percent", lambda seconds: None)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))

    def _cpu_times(self, percpu: bool) -> list[Times]:
        seconds = [used if self._ended else 0.0 for used in self.used]
        length = 10.0 if self._ended else 0.0
        self._ended = not self._ended
        return [Times(user=used, idle=length - used) for used in seconds]

    def load(self) -> OtherLoad:
        with OtherLoad() as load:
            pass
        return load


def test_other_work_is_distinguished_from_our_own(monkeypatch) -> None:
    readings = Readings(monkeypatch, 2)
    readings.used, readings.ours = [5.0, 3.0], 5.0
    load = readings.load()
    assert load.processors == pytest.approx((8 - 5) / 10)
    assert load.share == pytest.approx((8 - 5) / 20)


def test_other_work_is_never_negative(monkeypatch) -> None:
    readings = Readings(monkeypatch, 2)
    readings.used, readings.ours = [1.0, 0.0], 5.0
    assert readings.load().share == 0


def test_work_on_processors_that_this_process_may_not_use_does_not_count(monkeypatch) -> None:
    readings = Readings(monkeypatch, 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    readings.used = [0.0, 1.0, 10.0, 10.0]
    assert readings.load().processors == pytest.approx(0.1)


@pytest.mark.parametrize(("busy", "expected"), [(60, 0.0), (62, 2.0)])
def test_other_work_may_use_what_a_quota_leaves(
    groups: Path, monkeypatch, busy: int, expected: float
) -> None:
    readings = Readings(monkeypatch, 64)
    write(groups / "cpu.max", "400000 100000")
    readings.used = [10.0] * busy + [0.0] * (64 - busy)
    assert readings.load().processors == pytest.approx(expected)


@pytest.mark.parametrize(
    ("processors", "busy", "expected"),
    [
        (2, 0.3, True),
        (2, 0.1, False),
        (4, 0.45, True),
        (128, 12.0, True),
        (128, 0.6, True),
        (128, 0.4, False),
    ],
)
def test_half_a_processor_disturbs_however_many_there_are(
    monkeypatch, capsys, processors: int, busy: float, expected: bool
) -> None:
    """Parallel threads wait for the thread that shares its processor."""
    readings = Readings(monkeypatch, processors)
    for number in range(processors):
        readings.used[number] = 10 * min(1.0, max(0.0, busy - number))
    warn_if_busy()
    warning = f"warning: other work takes {busy:.1f} processors"
    assert (warning in capsys.readouterr().err) == expected


def test_a_thread_that_is_bound_to_a_processor_does_not_hide_the_others(monkeypatch) -> None:
    """OMP_PROC_BIND leaves the main thread one processor."""
    readings = Readings(monkeypatch, 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda thread: {0} if thread == 0 else {0, 1})
    readings.used = [0.0, 10.0]
    assert readings.load().processors == pytest.approx(1)


def test_other_work_of_this_machine_is_between_none_and_all() -> None:
    with OtherLoad() as load:
        burn(time.process_time() + 0.05)
    assert 0 <= load.share <= 1


PROGRAM = """
import multiprocessing, sys
from benchmark.machine import processors
from tests.support.burn import burn

context = multiprocessing.get_context(sys.argv[1])
before = processors._own_seconds()
ends, goes_on = (context.Process(target=burn, args=[seconds]) for seconds in (0.5, 600.0))
goes_on.start()
ends.start()
ends.join()
print(processors._own_seconds() - before)
goes_on.kill()
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_what_loader_processes_do_is_our_own(method: str) -> None:
    """Under `forkserver`, the default of Python 3.14, loader processes are grandchildren, for which
    this process does not wait: one that still runs and one that has ended."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [python(), "-c", PROGRAM, method]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert float(done.stdout) > 0.75, done.stderr


@pytest.fixture
def groups(tmp_path: Path, monkeypatch) -> Path:
    """Create a hierarchy of control groups as files."""
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
    assert processor_count() == expected


@pytest.mark.parametrize(("limit", "expected"), [("400000", 4), ("-1", 64)])
def test_a_quota_of_the_first_version_counts(groups: Path, limit: str, expected: int) -> None:
    """In a container, the container's group is mounted as the root."""
    write(groups / "cpu,cpuacct/cpu.cfs_quota_us", limit)
    write(groups / "cpu,cpuacct/cpu.cfs_period_us", "100000")
    assert processor_count() == expected


def test_torch_computes_with_no_more_threads_than_the_quota(groups: Path, monkeypatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 32)
    assert accelerators.thread_count() == 32
    write(groups / "cpu.max", "400000 100000")
    assert accelerators.thread_count() == 4


def test_threads_that_are_bound_to_processors_count_each(groups: Path, monkeypatch) -> None:
    """OMP_PROC_BIND=true leaves the main thread one processor of all."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 32)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert accelerators.thread_count() == 32
