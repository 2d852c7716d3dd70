"""Pause a mode's loader processes while other modes are measured."""

import atexit
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import psutil


class LoaderWorkers:
    """The loader processes of one mode, paused (SIGSTOP) while the mode does not run.

    Otherwise they would prefetch between the mode's blocks, and slow down the other modes.
    """

    def __init__(self) -> None:
        self._processes: list[psutil.Process] = []
        # A paused process cannot be ended: its parent would wait for it at exit.
        atexit.register(self.release)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Resume the loader processes; on exit, pause them and those that started within."""
        before = {process.pid for process in multiprocessing.active_children()}
        self._apply(psutil.Process.resume)
        try:
            yield
        finally:
            now = {process.pid for process in multiprocessing.active_children()}
            self._processes += map(psutil.Process, now - before)
            self._apply(psutil.Process.suspend)
            wait_until_stopped(self._processes)

    def release(self) -> None:
        """Resume the loader processes for good, so that their loaders can end them."""
        self._apply(psutil.Process.resume)
        self._processes.clear()
        atexit.unregister(self.release)

    def _apply(self, action: Callable[[psutil.Process], None]) -> None:
        self._processes = [process for process in self._processes if process.is_running()]
        for process in self._processes:
            with suppress(psutil.NoSuchProcess):
                action(process)


def wait_until_stopped(processes: Iterable[psutil.Process]) -> None:
    """Wait until all of the processes have stopped or ended: SIGSTOP is asynchronous."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            while process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
                time.sleep(0.001)
