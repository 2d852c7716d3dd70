"""Short paths for the Unix sockets of DataLoader workers.

Workers pass tensors through sockets in the temporary directory. A socket's path has about 100 bytes
at most, and a cluster's TMPDIR may be longer. Then a thread of the worker fails, and the training
process would wait forever.
"""

import os
import tempfile
from multiprocessing import util
from pathlib import Path

from benchmark.errors.user_error import UserError

LONGEST = 103
"""Largest number of bytes of a socket's path on macOS; Linux allows 107."""
ADDED = len("/pymp-12345678/listener-12345678")
"""Number of bytes that multiprocessing appends to the temporary directory's path."""
SHORT = (Path("/tmp"), Path("/var/tmp"))


def make_room_for_sockets() -> None:
    """Let multiprocessing use a shorter directory for sockets if the temporary one is too long.

    This applies to this process and to the processes that it starts through multiprocessing. Other
    temporary files stay in TMPDIR.

    Raises:
        UserError: the path is too long, and no shorter directory is writable.
    """
    temporary = tempfile.gettempdir()
    if len(os.fsencode(temporary)) + ADDED <= LONGEST:
        return
    try:
        tempfile.tempdir = str(_short_directory(temporary))
        util.get_temp_dir()  # creates multiprocessing's directory, whose path it keeps
    finally:
        tempfile.tempdir = temporary


def _short_directory(temporary: str) -> Path:
    """Return the first writable directory of SHORT; the error names `temporary`."""
    for directory in SHORT:
        if directory.is_dir() and os.access(directory, os.W_OK | os.X_OK):
            return directory
    raise UserError(
        f"TMPDIR has {len(os.fsencode(temporary))} bytes, and sockets need at most "
        f"{LONGEST - ADDED}: {temporary}.",
        "Set TMPDIR to a directory with a shorter path.",
    )
