"""The one error a user is meant to read."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from benchmark.common.formatting import visible

OTHER_KIND = "A file is where a folder should be, or a folder where a file: move it away."
REMEDIES = {
    errno.EACCES: "Change its owner or its mode, or run as a user who may.",
    errno.EPERM: "Change its owner or its mode, or run as a user who may.",
    errno.EROFS: "Work in a directory that can be written to.",
    errno.ENOSPC: "Make room.",
    errno.EDQUOT: "Make room.",
    errno.EEXIST: OTHER_KIND,
    errno.EISDIR: OTHER_KIND,
    errno.ENOTDIR: OTHER_KIND,
    errno.ELOOP: "A link leads to itself: remove it.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
}
"""By number of the system's error: what a user can do about it."""


class UserError(ValueError):
    """Something the user can correct: says what is wrong, where, and what to do about it.

    The command line prints it as one line without a traceback and exits with 1. Of the names of
    files, line breaks and what else cannot be printed are written as escapes.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(visible(f"{what} {remedy}"))
        self.what = visible(what)
        """Without the remedy, for whoever knows a better one."""


@contextmanager
def explain_system_errors() -> Iterator[None]:
    """Makes a UserError of what only the user can mend: rights, space on the disk, and names.

    Raises:
        UserError: names the file and says the system's reason.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        named = error.filename2 or error.filename or "a file"  # renamed: what it was to become
        raise UserError(f"{named}: {error.strerror}.", REMEDIES[error.errno]) from error
