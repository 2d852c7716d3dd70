"""Unix sockets, whose paths have about 100 characters at most; a cluster's TMPDIR may be longer.

DataLoader workers pass tensors through sockets in the temporary directory. If the path is too
long, one of their threads fails, and the training process would wait forever.
"""

import os
import tempfile
from multiprocessing import util
from pathlib import Path

from benchmark.errors.user_error import UserError

LONGEST = 103
"""Largest number of bytes of a socket's path: 107 on Linux, 103 on macOS."""
ADDED = len("/pymp-12345678/listener-12345678")
"""Bytes that multiprocessing appends to the temporary directory's path."""
SHORT = (Path("/tmp"), Path("/var/tmp"))


def make_room_for_sockets() -> None:
    """Move multiprocessing's sockets to a shorter path if the temporary directory's is too long.

    This holds for this process and those that it starts through multiprocessing. Other temporary
    files stay in TMPDIR.

    Raises:
        UserError: the path is too long, and no shorter directory is writable.
    """
    temporary = tempfile.gettempdir()
    if len(os.fsencode(temporary)) + ADDED <= LONGEST:
        return
    try:
        tempfile.tempdir = str(_short_directory(temporary))
        util.get_temp_dir()  # multiprocessing keeps it
    finally:
        tempfile.tempdir = temporary


def _short_directory(temporary: str) -> Path:
    for directory in SHORT:
        if directory.is_dir() and os.access(directory, os.W_OK | os.X_OK):
            return directory
    raise UserError(
        f"TMPDIR has {len(os.fsencode(temporary))} bytes, and sockets need at most "
        f"{LONGEST - ADDED}: {temporary}.",
        "Set TMPDIR to a directory with a shorter path.",
    )
