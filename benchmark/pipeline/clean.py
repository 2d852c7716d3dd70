"""`python -m benchmark clean`: remove the caches, which the next run creates again."""

import shutil
from contextlib import suppress

from benchmark.data.cache import CACHES
from benchmark.machine.lock import measuring_lock


def run() -> None:
    """Wait until no process measures; remove the decode caches and the dataset check's results."""
    if not CACHES.is_dir():
        print(f"{CACHES} does not exist.")
        return
    with measuring_lock():
        size = sum(path.stat().st_size for path in CACHES.rglob("*") if path.is_file())
        for path in CACHES.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        with suppress(OSError):  # a link to a larger disk, or its mount point, stays
            CACHES.rmdir()
    print(f"Removed {CACHES} ({size / 2**30:.1f} GiB).")
