"""What a signal ends, in one line."""

import os
import signal
import sys
import threading
import time
from functools import partial
from types import FrameType
from typing import NoReturn

RANK = "TORCHELASTIC_RUN_ID"
"""A variable that PyTorch's launcher sets for those that it starts."""

AGAIN = 1.0
"""Seconds after which a signal that was not noticed, or an end that was lost, comes again."""


def end_on_signals() -> None:
    """From now on SIGINT and SIGTERM end this process with one line and the status that a shell
    gives. What waits in a `with` is cleared away; a second signal does not wait. Processes that
    it forks are ended as before. Where DVC or PyTorch's launcher started this one, its end is a
    SIGTERM too: a stage that outlived it would keep the next one waiting."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    signal.signal(signal.SIGALRM, lambda *_: None)
    received, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    threading.Thread(target=_remind, args=[received], daemon=True).start()
    os.register_at_fork(after_in_child=_in_child)
    if "DVC_ROOT" in os.environ or RANK in os.environ:  # DVC sets the one for its stages
        threading.Thread(target=_outlive, args=[os.getppid()], daemon=True).start()


def _remind(received: int) -> NoReturn:
    """Python handles a signal in its main thread, between two instructions: one that comes just
    before a call that waits would not be noticed until that call ends. Another signal ends it."""
    while ord(os.read(received, 1)) not in (signal.SIGINT, signal.SIGTERM):
        pass
    main = threading.main_thread().ident
    assert main
    while True:
        time.sleep(AGAIN)
        signal.pthread_kill(main, signal.SIGALRM)


def _end(number: int, frame: FrameType | None) -> None:
    _leave_signals()
    if RANK not in os.environ:  # its launcher says so
        print(f"Ended by {signal.Signals(number).name}.", file=sys.stderr, flush=True)
    end = SystemExit(128 + number)
    signal.signal(signal.SIGALRM, partial(_end_again, end, _outermost(frame)))
    sys.unraisablehook = partial(_report, end)
    raise end


def _end_again(
    end: SystemExit, program: FrameType | None, number: int, frame: FrameType | None
) -> None:
    """Python ignores what is raised while it clears an object away: `end` was lost, and the process
    would go on. Where it is being handled, a `with` clears away, which may take its time; where
    `program` has been left, Python itself does."""
    handled = sys.exception()
    while handled is not None and handled is not end:
        handled = handled.__context__
    if handled is None and _outermost(frame) is program:
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


def _in_child() -> None:
    _leave_signals()
    signal.set_wakeup_fd(-1)


def _leave_signals() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
