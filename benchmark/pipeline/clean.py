"""`python -m benchmark clean`: remove what the next run makes anew."""

import shutil
from contextlib import suppress

from benchmark.data.cache import CACHES
from benchmark.machine.lock import measuring_lock


def run() -> None:
    """Remove the decode caches, and with them what the dataset check has seen, when nobody
    measures or trains here."""
    if not CACHES.is_dir():
        print(f"There is no {CACHES} here.")
        return
    with measuring_lock():
        size = sum(path.stat().st_size for path in CACHES.rglob("*") if path.is_file())
        _remove()
    print(f"Removed {CACHES} ({size / 2**30:.1f} GiB).")


def _remove() -> None:
    for path in CACHES.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    with suppress(OSError):  # a link to a larger disk, or a mount of one, stays
        CACHES.rmdir()
