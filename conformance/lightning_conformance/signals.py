"""SIGINT and SIGTERM end the kit. They are not an error of the DataModule.

Lightning turns both into a SystemExit during a fit, and ignores further SIGINTs; the DataModule may
catch it. So the kit remembers the signal, and asks for it after each scenario and each rule.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_received: list[int] = []
"""Numbers of the signals that ended the kit."""


@contextlib.contextmanager
def catch_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt in the block when SIGINT or SIGTERM arrives.

    Afterwards the earlier handlers are restored. Signals that are ignored stay so. Outside the main
    thread, do nothing.
    """
    handlers: dict[signal.Signals, Any] = {}
    process = os.getpid()

    def handle(number: int, frame: FrameType | None) -> None:
        if os.getpid() == process:
            end(number)
        # In a forked process, such as a worker of a loader:
        signal.signal(number, handlers[signal.Signals(number)])
        signal.raise_signal(number)

    _received.clear()
    try:
        with contextlib.suppress(ValueError):  # not the main thread
            for number in SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:
                    handlers[number] = signal.signal(number, handle)
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def end(number: int) -> NoReturn:
    """Remember that the signal `number` ends the kit, and raise KeyboardInterrupt."""
    _received.append(number)
    raise KeyboardInterrupt


def received() -> int | None:
    """Return the number of the signal that ended the kit, or None."""
    return _received[0] if _received else None


def raise_if_received() -> None:
    """Raise KeyboardInterrupt again if a signal has arrived."""
    if _received:
        raise KeyboardInterrupt


def die_by_signals() -> None:
    """Let SIGINT and SIGTERM kill this process at once, also during a fit."""

    def die(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    for number in SIGNALS:
        signal.signal(number, die)
