"""A third-party training loop as a coroutine."""

from collections.abc import Callable
from typing import Any

from greenlet import greenlet


class Coroutine:
    """A fit that runs a number of steps and then waits.

    A greenlet is a second stack in the same thread. So the modes of a process can alternate while
    each keeps its loop, and all steps run on the same OpenMP threads. The fit's callbacks call
    `ready` and `stepped`.
    """

    over = False
    """Whether the fit must end after its current step."""

    def __init__(self, fit: Callable[[], Any]) -> None:
        self._greenlet = greenlet(fit)
        self._left = 0

    @property
    def ended(self) -> bool:
        """Whether the fit has returned."""
        return bool(self._greenlet.dead)

    def start(self) -> None:
        """Run the fit up to its first `ready`."""
        self._greenlet.switch()

    def run(self, steps: int) -> None:
        """Run `steps` more steps of the fit."""
        self._left = steps
        self._greenlet.switch()
        assert not self.ended, "the fit ended before `stop`"

    def stop(self) -> None:
        """Let the fit end regularly: after a step its callbacks check `over`."""
        self.over = True
        while not self.ended:
            self._left = 1
            self._greenlet.switch()

    def ready(self) -> None:
        """Wait for the first `run`; the fit calls this before each step."""
        if not self._left:
            self._wait()

    def stepped(self) -> None:
        """Wait for the next `run` if this one is done; the fit calls this after each step."""
        self._left -= 1
        if not self._left:
            self._wait()

    def _wait(self) -> None:
        self._greenlet.parent.switch()
