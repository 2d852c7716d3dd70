"""Signals that end a process at unusual moments; tests/test_main.py tests stages."""

import os
import subprocess
import sys

import pytest

from tests import REPOSITORY

PROGRAM = """
import os, signal, sys, time
from benchmark.common import signals

signals.AGAIN = 0.05
LONGER = 5 * signals.AGAIN

class Cleared:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()  # the handler runs here, at the latest

class Slow:
    def __enter__(self):
        return self
    def __exit__(self, *_):
        for _ in range(3):
            signal.pause()
        print("cleared away", flush=True)

signals.end_on_signals()
"""
LOST = "Cleared(); print('went on', flush=True); time.sleep(3600)"
HANDLED = "with Slow(): os.kill(os.getpid(), signal.SIGINT); time.sleep(3600)"
REPLACED = """
with signals.exit_with_signal_status():
    Cleared()
    raise SystemExit  # Lightning's, after a SIGTERM in a fit: its status is 0
"""
LEFT = """
import threading
threading.Thread(target=lambda: (time.sleep(LONGER), print("waited for"))).start()
os.kill(os.getpid(), signal.SIGINT)
"""
LATE = """
class Late:
    def __del__(self, sleep=time.sleep, seconds=LONGER):
        sleep(seconds)
late = Late()
os.kill(os.getpid(), signal.SIGINT)
"""
UNNOTICED = """
import threading
def send():
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)  # interrupts this thread alone
threading.Timer(LONGER, send).start()
time.sleep(3600)
"""


@pytest.mark.parametrize(
    ("what", "printed"),
    [
        (LOST, "went on\n"),
        (HANDLED, "cleared away\n"),
        (REPLACED, ""),
        (LEFT, "waited for\n"),
        (LATE, ""),
        (UNNOTICED, ""),
    ],
    ids=["lost", "handled", "replaced", "left", "late", "unnoticed"],
)
def test_an_end_comes_again_where_it_was_lost_and_nowhere_else(what: str, printed: str) -> None:
    """Python ignores an exception while it clears an object away. What clears away after the end
    is not disturbed, in a `with` or at Python's own end."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + what], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (130, printed)
    assert done.stderr == "Ended by SIGINT.\n"
