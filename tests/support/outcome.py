"""What a command line ends in, run in this process, and what it says to a terminal of UTF-8."""

import io
import signal
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import NamedTuple

import pytest

from benchmark.command_line import main

LIMIT = 60
"""Seconds after which something hangs, on a busy machine too."""


class Outcome(NamedTuple):
    """Of one command."""

    status: int
    out: str
    err: str


def outcome(arguments: Sequence[str]) -> Outcome:
    """Run one command, which may not wait for ever. As Python sets them up, standard output takes
    nothing but text and the standard error's stream writes the rest as escapes."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")
    with time_limit(), redirect_stdout(out), redirect_stderr(err):
        try:
            status = main(arguments)
        except SystemExit as stopped:  # argparse's
            status = int(stopped.code or 0)
    return Outcome(status, _text(out), _text(err))


def is_one_line(message: str) -> bool:
    """Whether a message can be read as one: no control, no break and no half of a character."""
    return bool(message) and not {"Cc", "Cs", "Zl", "Zp"} & set(map(unicodedata.category, message))


@contextmanager
def time_limit() -> Iterator[None]:
    """Fails what waits for ever, also where `except Exception` stands around it."""

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
