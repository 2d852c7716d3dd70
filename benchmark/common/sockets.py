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
    """Let multiprocessing use a shorter directory for sockets if the path of TMPDIR is too long.

    This applies to this process and to the processes that it starts through multiprocessing. Other
    temporary files stay in TMPDIR.

    Raises:
        UserError: the path is too long, and no shorter directory is writable.
    """
    temporary = tempfile.gettempdir()
    length = len(os.fsencode(temporary))
    if length + ADDED <= LONGEST:
        return
    writable = (folder for folder in SHORT if os.access(folder, os.W_OK | os.X_OK))
    if not (directory := next(writable, None)):
        raise UserError(
            f"TMPDIR has {length} bytes, and sockets need at most {LONGEST - ADDED}: {temporary}.",
            "Set TMPDIR to a directory with a shorter path.",
        )
    try:
        tempfile.tempdir = str(directory)
        util.get_temp_dir()  # creates multiprocessing's directory, whose path it keeps
    finally:
        tempfile.tempdir = temporary
