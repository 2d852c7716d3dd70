"""Signals to a launcher and its ranks, with real processes in place of both."""

import os
import signal
import subprocess
import sys

import psutil

from benchmark.distributed import launcher


def test_a_signal_to_the_tree_reaches_processes_in_other_sessions() -> None:
    """torchelastic starts ranks with `start_new_session`: SIGSTOP stops them, SIGKILL ends them."""
    child = "import sys; print('ready', flush=True); sys.stdin.read()"
    parent = (
        "import subprocess, sys; "
        f"subprocess.run([sys.executable, '-c', {child!r}], start_new_session=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as launched:
        assert launched.stdout
        assert launched.stdout.readline() == b"ready\n"
        tree = [psutil.Process(launched.pid), *psutil.Process(launched.pid).children()]
        assert os.getsid(tree[0].pid) != os.getsid(tree[1].pid)
        launcher.signal_tree(launched.pid, signal.SIGSTOP)
        while [process.status() for process in tree] != [psutil.STATUS_STOPPED] * 2:
            os.sched_yield()  # a signal is delivered asynchronously
        launcher.signal_tree(launched.pid, signal.SIGKILL)
        assert launched.stdout.read() == b""  # ends when the last process of the pipe has ended
    assert launched.returncode == -signal.SIGKILL


def test_a_process_that_has_ended_needs_no_signal() -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    launcher.signal_tree(ended.pid, signal.SIGKILL)
