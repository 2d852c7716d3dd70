"""Unix sockets, whose paths hold about 100 characters; a cluster's TMPDIR may be longer.

Loader processes hand over tensors through sockets in the temporary directory. Where the path does
not fit, a thread of theirs fails and the training process would wait for ever.
"""

import os
import tempfile
from multiprocessing import util
from pathlib import Path

from benchmark.errors.user_error import UserError

LONGEST = 103
"""Bytes of a socket's path: 107 on Linux, 103 on macOS."""
ADDED = len("/pymp-12345678/listener-12345678")
"""What multiprocessing appends to the temporary directory."""
SHORT = (Path("/tmp"), Path("/var/tmp"))


def make_room_for_sockets() -> None:
    """Where the temporary directory's path is too long, have multiprocessing's sockets elsewhere,
    in this process and those that it starts through multiprocessing; nothing else moves.

    Raises:
        UserError: it is too long, and no shorter directory can be written to.
    """
    given = tempfile.gettempdir()
    if len(os.fsencode(given)) + ADDED <= LONGEST:
        return
    try:
        tempfile.tempdir = str(_short_directory(given))
        util.get_temp_dir()  # is made once, and kept
    finally:
        tempfile.tempdir = given


def _short_directory(given: str) -> Path:
    for directory in SHORT:
        if directory.is_dir() and os.access(directory, os.W_OK | os.X_OK):
            return directory
    raise UserError(
        f"TMPDIR has {len(os.fsencode(given))} bytes, and sockets there would need at most "
        f"{LONGEST - ADDED}: {given}.",
        "Set TMPDIR to a directory with a shorter path.",
    )
