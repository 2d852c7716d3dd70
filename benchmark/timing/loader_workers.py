"""Loader processes that are paused while another mode is measured."""

import atexit
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil


class LoaderWorkers:
    """The loader processes that a mode has started. They are paused unless it runs: else they
    would fill their queues between its blocks, slow down the other modes and have a head start.
    """

    def __init__(self) -> None:
        self._processes: list[psutil.Process] = []
        # A paused process cannot be ended: its parent would wait for it at exit.
        atexit.register(self.release)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Resume them for the length of the block; those that start in it are added."""
        before = {process.pid for process in multiprocessing.active_children()}
        self._tell(psutil.Process.resume)
        try:
            yield
        finally:
            now = {process.pid for process in multiprocessing.active_children()}
            self._processes += map(psutil.Process, now - before)
            self._tell(_suspend)

    def release(self) -> None:
        """Resume them for good, so that their loaders can end them."""
        self._tell(psutil.Process.resume)
        self._processes.clear()
        atexit.unregister(self.release)

    def _tell(self, action: Callable[[psutil.Process], None]) -> None:
        self._processes = [process for process in self._processes if process.is_running()]
        for process in self._processes:
            with suppress(psutil.NoSuchProcess):
                action(process)


def _suspend(process: psutil.Process) -> None:
    """A signal is on its way for a moment: wait until the process is paused."""
    process.suspend()
    while process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
        pass
