"""End this process with one line when SIGINT or SIGTERM arrives."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import NoReturn

RANK = "TORCHELASTIC_RUN_ID"
"""Environment variable that PyTorch's launcher sets for its ranks."""

_ends: list[SystemExit] = []
"""The exceptions that the handler raised."""

AGAIN = 1.0
"""Seconds between two SIGALRMs after the first SIGINT or SIGTERM."""


def end_on_signals() -> None:
    """Install handlers with which SIGINT and SIGTERM end this process with one line.

    The handler raises SystemExit(128 + the signal's number), so `with` blocks clean up. A second
    signal does not wait for the cleanup. Forked child processes get the default handlers.

    If DVC or PyTorch's launcher started this process, it sends itself SIGTERM when its parent has
    ended: a stage that outlived DVC would keep the next one waiting.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    signal.signal(signal.SIGALRM, lambda *_: None)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_interrupt_main_thread, args=[reader], daemon=True).start()
    os.register_at_fork(after_in_child=_reset_after_fork)
    if "DVC_ROOT" in os.environ or RANK in os.environ:  # DVC sets DVC_ROOT for stages
        threading.Thread(target=_end_with_parent, args=[os.getppid()], daemon=True).start()


@contextmanager
def exit_with_signal_status() -> Iterator[None]:
    """After SIGINT or SIGTERM, give any SystemExit of the block the signal's status.

    In a fit, Lightning raises its own after both signals, with status 0 or 1. It would replace the
    handler's if that was lost.
    """
    try:
        yield
    except SystemExit:
        if _ends:
            raise _ends[0] from None
        raise


def _interrupt_main_thread(reader: int) -> NoReturn:
    """Wait for SIGINT or SIGTERM; then send SIGALRM to the main thread every AGAIN seconds.

    `reader` is the pipe into which Python writes the numbers of received signals. Python runs a
    handler between two instructions of the main thread, so a signal just before a blocking call
    would wait for the call's end. The next signal interrupts the call.
    """
    while ord(os.read(reader, 1)) not in (signal.SIGINT, signal.SIGTERM):
        pass
    main = threading.main_thread().ident
    assert main
    while True:
        time.sleep(AGAIN)
        signal.pthread_kill(main, signal.SIGALRM)


def _end(number: int, frame: FrameType | None) -> None:
    """Handle SIGINT or SIGTERM: print one line, raise SystemExit, and watch that it is not lost."""
    _restore_default_handlers()
    if RANK not in os.environ:  # the launcher prints this for its ranks
        print(f"Ended by {signal.Signals(number).name}.", file=sys.stderr, flush=True)
    end = SystemExit(128 + number)
    _ends.append(end)
    signal.signal(signal.SIGALRM, partial(_reraise_if_lost, end, _outermost(frame)))

    def report_unraisable(ignored: "sys.UnraisableHookArgs") -> None:
        if ignored.exc_value is not end:  # SIGALRM raises `end` again
            sys.__unraisablehook__(ignored)

    sys.unraisablehook = report_unraisable
    raise end


def _reraise_if_lost(
    end: SystemExit, program: FrameType | None, number: int, frame: FrameType | None
) -> None:
    """Handle SIGALRM, each second after SIGINT or SIGTERM: raise `end` again if it was lost.

    Python drops exceptions that are raised in `__del__`, so `end` may be lost. Do nothing while
    `with` or `finally` blocks still run because of `end`. `program` is the outermost frame when the
    first signal arrived. If it is another frame now, the interpreter shuts down: do nothing either.
    """
    handled = sys.exception()
    while handled is not None and handled is not end:
        handled = handled.__context__
    if handled is None and _outermost(frame) is program:
        raise end


def _outermost(frame: FrameType | None) -> FrameType | None:
    """Return the frame at the bottom of the call stack."""
    while frame and frame.f_back:
        frame = frame.f_back
    return frame


def _end_with_parent(parent: int) -> None:
    """Wait until the process `parent` has ended; then send SIGTERM to this process."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _reset_after_fork() -> None:
    """Restore Python's default signal handling in a forked child process."""
    _restore_default_handlers()
    signal.set_wakeup_fd(-1)


def _restore_default_handlers() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
