"""What a signal ends, in one line."""

import atexit
import os
import signal
import sys
import time
from functools import partial
from threading import Thread
from types import FrameType

RANK = "TORCHELASTIC_RUN_ID"
"""A variable that PyTorch's launcher sets for those that it starts."""

AGAIN = 1.0
"""Seconds after which an end that was lost comes again."""


def end_on_signals() -> None:
    """From now on SIGINT and SIGTERM end this process with one line and the status that a shell
    gives. What waits in a `with` is cleared away; a second signal does not wait. Processes that
    it forks are ended as before. Where DVC or PyTorch's launcher started this one, its end is a
    SIGTERM too: a stage that outlived it would keep the next one waiting."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    os.register_at_fork(after_in_child=_leave_signals)
    if "DVC_ROOT" in os.environ or RANK in os.environ:  # DVC sets the one for its stages
        Thread(target=_outlive, args=[os.getppid()], daemon=True).start()


def _end(number: int, frame: FrameType | None) -> None:
    _leave_signals()
    if RANK not in os.environ:  # its launcher says so
        print(f"Ended by {signal.Signals(number).name}.", file=sys.stderr, flush=True)
    end = SystemExit(128 + number)
    signal.signal(signal.SIGALRM, partial(_end_again, end, _outermost(frame)))
    signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)
    atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)  # later, SIGALRM would kill
    sys.unraisablehook = partial(_report, end)
    raise end


def _end_again(
    end: SystemExit, program: FrameType | None, number: int, frame: FrameType | None
) -> None:
    """Python ignores what is raised while it clears an object away: `end` was lost, and the process
    would go on. Where it is being handled, a `with` clears away, which may take its time; where
    `program` has been left, Python itself does."""
    if _outermost(frame) is not program:
        signal.setitimer(signal.ITIMER_REAL, 0)
        return
    handled = sys.exception()
    while handled is not None and handled is not end:
        handled = handled.__context__
    if handled is None:
        raise end


def _outermost(frame: FrameType | None) -> FrameType | None:
    while frame and frame.f_back:
        frame = frame.f_back
    return frame


def _report(end: SystemExit, ignored: "sys.UnraisableHookArgs") -> None:
    """What Python has ignored, but for `end`, which comes again."""
    if ignored.exc_value is not end:
        sys.__unraisablehook__(ignored)


def _outlive(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _leave_signals() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
