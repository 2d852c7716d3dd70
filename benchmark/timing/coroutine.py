"""A third-party training loop as a coroutine."""

from collections.abc import Callable
from typing import Any

from greenlet import greenlet


class Coroutine:
    """A training loop that runs a number of steps and then pauses.

    The loop `fit` runs in a greenlet: a second stack in the same thread. So the modes of a process
    can alternate, and all steps run on the same OpenMP threads. The caller uses `start`, `run` and
    `stop`; callbacks within the loop call `ready` and `stepped`.
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
        """Run the fit until it calls `ready` for the first time."""
        self._greenlet.switch()

    def run(self, steps: int) -> None:
        """Run `steps` more steps of the fit."""
        self._left = steps
        self._greenlet.switch()
        assert not self.ended, "the fit ended before `stop`"

    def stop(self) -> None:
        """Set `over`, run more steps until the fit returns; callbacks check `over` after a step."""
        self.over = True
        while not self.ended:
            self._left = 1
            self._greenlet.switch()

    def ready(self) -> None:
        """Pause until the next `run` if no steps are left. The fit calls this before each step."""
        if not self._left:
            self._greenlet.parent.switch()

    def stepped(self) -> None:
        """Count a step, and pause if this `run` is done. The fit calls this after each step."""
        self._left -= 1
        self.ready()
