"""What ends loader processes, in words for who can mend it; torch names neither cause nor key."""

from collections.abc import Iterator
from contextlib import contextmanager

from benchmark.common.errors import UserError

LOADER_ERRORS = {
    "Bus error": (
        "A loader process found no room in /dev/shm.",
        "Enlarge it (docker run --shm-size=1g), or set data.num_workers = 0.",
    ),
    "DataLoader timed out": (
        "The loader processes gave no batch for minutes.",
        "Set data.num_workers = 0 to see where they wait.",
    ),
}
"""By what torch's error says."""


@contextmanager
def explain_loader_errors() -> Iterator[None]:
    """Makes a UserError of what loader processes cannot say for themselves.

    Raises:
        UserError: they were killed for a lack of shared memory, or gave no batch for too long.
    """
    try:
        yield
    except RuntimeError as error:
        for sign, (what, remedy) in LOADER_ERRORS.items():
            if sign in str(error):
                raise UserError(what, remedy) from error
        raise
