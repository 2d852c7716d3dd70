"""UserError, an error with a remedy, and the conversion of system errors into UserErrors."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
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
    errno.ENXIO: "A socket or a device is where a file should be: move it away.",
    errno.ELOOP: "A link leads to itself, or may not be followed: remove it.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.EMFILE: "Raise the limit (ulimit -n 65536), or lower data.num_workers.",
    errno.ENFILE: "The system's limit is reached: end other programs.",
}
"""What a user can do about a system error, by its number."""


def visible(text: str) -> str:
    """Return `text` with its control characters replaced by Python escapes.

    File names may contain them: line breaks, terminal commands, marks that change the direction
    of text, and lone surrogates.
    """
    return CONTROL_CHARACTERS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class UserError(ValueError):
    """An error that the user can correct. The message contains the fault, its place and the remedy.

    The command line prints the message as one line without a traceback. Control characters are
    escaped.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(visible(f"{what} {remedy}"))
        self.what = visible(what)
        """The message without the remedy, for callers that know a better one."""


@contextmanager
def explain_system_errors() -> Iterator[None]:
    """Turn OSErrors that the user can fix into UserErrors while a `with` block runs.

    These are errors of permissions, disk space and names. Other OSErrors pass unchanged.

    Raises:
        UserError: the message names the file, the system's reason and the remedy.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        path = error.filename2 or error.filename or "a file"  # a rename's second path is its target
        raise UserError(f"{path}: {error.strerror}.", REMEDIES[error.errno]) from error
