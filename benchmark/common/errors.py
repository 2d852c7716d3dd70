"""The one error a user is meant to read."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

REMEDIES = {
    errno.EACCES: "Change its owner or its mode, or run as a user who may.",
    errno.EPERM: "Change its owner or its mode, or run as a user who may.",
    errno.EROFS: "Work in a directory that can be written to.",
    errno.ENOSPC: "Make room.",
    errno.EDQUOT: "Make room.",
}
"""By number of the system's error: what a user can do about it."""


class UserError(ValueError):
    """Something the user can correct: says what is wrong, where, and what to do about it.

    The command line prints it as one line without a traceback and exits with 1.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what} {remedy}")
        self.what = what
        """Without the remedy, for whoever knows a better one."""


@contextmanager
def explain_system_errors() -> Iterator[None]:
    """Makes a UserError of what only the user can mend: rights, and space on the disk.

    Raises:
        UserError: names the file and says the system's reason.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        named = error.filename or "a file"
        raise UserError(f"{named}: {error.strerror}.", REMEDIES[error.errno]) from error
