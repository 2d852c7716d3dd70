from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch
from torch.utils.data import DataLoader

from benchmark.common.temporary import temporary_directory
from benchmark.throughput import run_process
from benchmark.timing.loader_workers import LoaderWorkers
from benchmark.timing.modes import LoaderOnly
from tests.support.forked_python import python


class Numbers(torch.utils.data.Dataset[int]):
    def __len__(self) -> int:
        return 1000

    def __getitem__(self, index: int) -> int:
        return index


@pytest.fixture
def two_loaders() -> Iterator[tuple[LoaderWorkers, LoaderWorkers]]:
    two = LoaderWorkers(), LoaderWorkers()
    yield two
    for workers in two:
        workers.release()


def statuses(workers: LoaderWorkers) -> set[str]:
    return {process.status() for process in workers._processes}


def test_workers_are_paused_between_blocks(
    two_loaders: tuple[LoaderWorkers, LoaderWorkers],
) -> None:
    workers, _ = two_loaders
    loader = DataLoader(Numbers(), batch_size=2, num_workers=2, persistent_workers=True)
    with workers.running():
        source = LoaderOnly(loader, steps_per_epoch=5)
        source.run(1)
    processes = list(workers._processes)
    assert len(processes) == 2
    assert statuses(workers) == {psutil.STATUS_STOPPED}
    with workers.running():
        source.run(20)  # four epochs
        assert psutil.STATUS_STOPPED not in statuses(workers)
    assert workers._processes == processes
    workers.release()
    assert psutil.STATUS_STOPPED not in {process.status() for process in processes}
    del source, loader
    assert not any(process.is_running() for process in processes)


def test_workers_that_end_with_their_epoch_are_forgotten(
    two_loaders: tuple[LoaderWorkers, LoaderWorkers],
) -> None:
    workers, _ = two_loaders
    with workers.running():
        source = LoaderOnly(DataLoader(Numbers(), num_workers=1), steps_per_epoch=2)
        source.run(1)
    (first,) = workers._processes
    with workers.running():
        source.run(2)  # into the second epoch, whose worker is another
    assert first not in workers._processes or not first.is_running()
    assert statuses(workers) <= {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}
    workers.release()


def test_workers_of_two_loaders_do_not_touch_each_other(
    two_loaders: tuple[LoaderWorkers, LoaderWorkers],
) -> None:
    sources = []
    for workers in two_loaders:
        with workers.running():
            sources.append(LoaderOnly(DataLoader(Numbers(), num_workers=1), 5))
            sources[-1].run(1)
        assert len(workers._processes) == 1
    with two_loaders[0].running():
        assert statuses(two_loaders[1]) == {psutil.STATUS_STOPPED}
    for workers in two_loaders:
        workers.release()


def test_loader_processes_end_with_a_killed_parent(tmp_path: Path) -> None:
    """They are paused and could not notice; the system wakes an orphaned process group."""
    program = f"""
import multiprocessing, os, pathlib, signal, sys
from torch.utils.data import DataLoader
from benchmark.timing.modes import LoaderOnly
from benchmark.timing.loader_workers import LoaderWorkers
workers = LoaderWorkers()
with workers.running():
    source = LoaderOnly(DataLoader(range(100), num_workers=2), 5)
    source.run(1)
pids = [str(child.pid) for child in multiprocessing.active_children()]
pathlib.Path({str(tmp_path / "pids")!r}).write_text(" ".join(pids))
os.kill(os.getpid(), signal.SIGKILL)
"""
    with temporary_directory() as folder:  # a test's own has too long a name for sockets
        assert run_process._execute([python(), "-c", program], "", folder) == -9
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) == 2
    left = [psutil.Process(int(pid)) for pid in pids if psutil.pid_exists(int(pid))]
    _, alive = psutil.wait_procs(left, timeout=60)
    assert not alive
