"""The one error a user is meant to read."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
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


def visible(text: str) -> str:
    """Text on one line, without what would steer a terminal, turn its order round or fail to be
    written: each such character as Python writes it. A file may be called anything."""
    return STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


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
