"""Run a command line in this process; its exit status and what it prints to a UTF-8 terminal."""

import io
import signal
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import NamedTuple

import pytest

from benchmark.command_line import main

LIMIT = 60
"""Seconds after which a command counts as hanging, also on a busy machine."""


class Outcome(NamedTuple):
    """Exit status and output of one command."""

    status: int
    out: str
    err: str


def outcome(arguments: Sequence[str]) -> Outcome:
    """Run one command; fail after `LIMIT` seconds.

    As in Python's own streams, standard output raises for a lone surrogate, and standard error
    writes it as an escape.
    """
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")
    with time_limit(), redirect_stdout(out), redirect_stderr(err):
        try:
            status = main(arguments)
        except SystemExit as stopped:  # argparse's
            status = int(stopped.code or 0)
    return Outcome(status, _text(out), _text(err))


def is_one_line(message: str) -> bool:
    """Whether a message is one line: no control character, line break or lone surrogate."""
    return bool(message) and not {"Cc", "Cs", "Zl", "Zp"} & set(map(unicodedata.category, message))


@contextmanager
def time_limit() -> Iterator[None]:
    """Fail the test after `LIMIT` seconds, also inside `except Exception`."""

    def fail(*_: object) -> None:
        pytest.fail(f"no end after {LIMIT} s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(LIMIT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()
