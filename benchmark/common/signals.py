"""What a signal ends, in one line."""

import os
import signal
import sys
import time
from threading import Thread
from types import FrameType

RANK = "TORCHELASTIC_RUN_ID"
"""A variable that PyTorch's launcher sets for those that it starts."""


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
    raise SystemExit(128 + number)


def _outlive(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _leave_signals() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
