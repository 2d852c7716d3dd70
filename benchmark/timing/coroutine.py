"""Somebody else's training loop as a coroutine."""

from collections.abc import Callable
from typing import Any

from greenlet import greenlet


class Coroutine:
    """A fit that goes on for so many steps and then waits.

    A greenlet is a second stack in the same thread. So the modes can take turns while each keeps
    its own loop, and its steps run on the same OpenMP threads as those of the others. The fit's
    callbacks call `ready` and `stepped`.
    """

    over = False
    """Whether the fit is to end after the step that it is in."""

    def __init__(self, fit: Callable[[], Any]) -> None:
        self._greenlet = greenlet(fit)
        self._left = 0

    @property
    def ended(self) -> bool:
        """Whether the fit has returned."""
        return bool(self._greenlet.dead)

    def start(self) -> None:
        """Begin, up to `ready`."""
        self._greenlet.switch()

    def run(self, steps: int) -> None:
        """Go on with the fit."""
        self._left = steps
        self._greenlet.switch()
        assert not self.ended, "the fit ended before it was told to"

    def stop(self) -> None:
        """Let the fit end as a fit does: after a step, its callbacks ask whether it is `over`."""
        self.over = True
        while not self.ended:
            self._left = 1
            self._greenlet.switch()

    def ready(self) -> None:
        """Called before each step: wait for the first `run`."""
        if not self._left:
            self._wait()

    def stepped(self) -> None:
        """Called after each step: wait for the next `run`, if this one is done."""
        self._left -= 1
        if not self._left:
            self._wait()

    def _wait(self) -> None:
        self._greenlet.parent.switch()
