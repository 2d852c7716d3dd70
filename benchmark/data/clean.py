"""`python -m benchmark clean`: remove what the next run makes anew."""

import shutil

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
        shutil.rmtree(CACHES)
    print(f"Removed {CACHES} ({size / 2**30:.1f} GiB).")
