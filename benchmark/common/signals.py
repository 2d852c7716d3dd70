"""End this process with one line when SIGINT or SIGTERM arrives."""

import os
import signal
import sys
import threading
import time
from functools import partial
from types import FrameType
from typing import NoReturn

RANK = "TORCHELASTIC_RUN_ID"
"""A variable that PyTorch's launcher sets for its ranks."""

AGAIN = 1.0
"""Seconds after which an unnoticed signal, or a lost exit exception, is raised again."""


def end_on_signals() -> None:
    """Let SIGINT and SIGTERM end this process with one line and a shell's exit status.

    `with` blocks are left properly; a second signal does not wait for them. Forked processes keep
    the default handlers. If DVC or PyTorch's launcher started this process, the parent's end counts
    as a SIGTERM: a stage that outlived it would keep the next one waiting.
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


def _interrupt_main_thread(reader: int) -> NoReturn:
    """Interrupt blocking calls of the main thread after a signal.

    Python handles a signal between two instructions of the main thread. A signal just before a
    blocking call would be noticed only after that call; another signal interrupts the call.
    """
    while ord(os.read(reader, 1)) not in (signal.SIGINT, signal.SIGTERM):
        pass
    main = threading.main_thread().ident
    assert main
    while True:
        time.sleep(AGAIN)
        signal.pthread_kill(main, signal.SIGALRM)


def _end(number: int, frame: FrameType | None) -> None:
    _restore_default_handlers()
    if RANK not in os.environ:  # the launcher prints this for its ranks
        print(f"Ended by {signal.Signals(number).name}.", file=sys.stderr, flush=True)
    end = SystemExit(128 + number)
    signal.signal(signal.SIGALRM, partial(_reraise_if_lost, end, _outermost(frame)))
    sys.unraisablehook = partial(_report_unraisable, end)
    raise end


def _reraise_if_lost(
    end: SystemExit, program: FrameType | None, number: int, frame: FrameType | None
) -> None:
    """Raise `end` again if it was lost: Python ignores exceptions that are raised in `__del__`.

    It is not lost while it is being handled, since a `with` block may take its time to end; nor
    after `program` has ended, when Python itself exits.
    """
    handled = sys.exception()
    while handled is not None and handled is not end:
        handled = handled.__context__
    if handled is None and _outermost(frame) is program:
        raise end


def _outermost(frame: FrameType | None) -> FrameType | None:
    while frame and frame.f_back:
        frame = frame.f_back
    return frame


def _report_unraisable(end: SystemExit, ignored: "sys.UnraisableHookArgs") -> None:
    """Report an ignored exception, except `end`, which is raised again."""
    if ignored.exc_value is not end:
        sys.__unraisablehook__(ignored)


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _reset_after_fork() -> None:
    _restore_default_handlers()
    signal.set_wakeup_fd(-1)


def _restore_default_handlers() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
