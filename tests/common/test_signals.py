"""Signals that end a process at unusual moments; tests/test_main.py tests stages."""

import os
import subprocess
import sys
import time

import pytest

from tests import REPOSITORY

PROGRAM = """
import os, signal, sys, time
from benchmark.common.signals import end_on_signals

class Cleared:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)  # the handler runs here, at the latest

class Slow:
    def __enter__(self):
        return self
    def __exit__(self, *_):
        time.sleep(2.5)
        print("cleared away", flush=True)

end_on_signals()
"""
LOST = "Cleared(); print('went on', flush=True); time.sleep(60)"
HANDLED = "with Slow(): os.kill(os.getpid(), signal.SIGINT); time.sleep(60)"
LEFT = """
import threading
threading.Thread(target=lambda: (time.sleep(2.5), print("waited for"))).start()
os.kill(os.getpid(), signal.SIGINT)
"""
LATE = """
class Late:
    def __del__(self, sleep=time.sleep):
        sleep(1.5)
late = Late()
os.kill(os.getpid(), signal.SIGINT)
"""
UNNOTICED = """
import threading
def send():
    time.sleep(0.5)
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)  # interrupts this thread alone
threading.Thread(target=send, daemon=True).start()
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("what", "printed"),
    [
        (LOST, "went on\n"),
        (HANDLED, "cleared away\n"),
        (LEFT, "waited for\n"),
        (LATE, ""),
        (UNNOTICED, ""),
    ],
    ids=["lost", "handled", "left", "late", "unnoticed"],
)
def test_an_end_comes_again_where_it_was_lost_and_nowhere_else(what: str, printed: str) -> None:
    """Python ignores an exception while it clears an object away. What clears away after the end
    is not disturbed, in a `with` or at Python's own end."""
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + what], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (130, printed)
    assert done.stderr == "Ended by SIGINT.\n"
    assert time.monotonic() - start < 30
