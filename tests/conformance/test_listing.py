"""Reversed directory listings."""

import os
from pathlib import Path

from lightning_conformance.listing import reverse_listings


def test_every_way_of_listing_is_reversed(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).touch()

    def listings() -> list[list[str]]:
        with os.scandir(path=tmp_path) as entries:
            scanned = [entry.name for entry in entries]
        walked = [name for _, _, names in os.walk(tmp_path) for name in names]
        iterated = [path.name for path in tmp_path.iterdir()]
        globbed = [path.name for path in tmp_path.glob("*")]
        return [os.listdir(path=tmp_path), scanned, walked, iterated, globbed]

    before = listings()
    with reverse_listings():
        within = listings()
    assert within == [names[::-1] for names in before]
    assert listings() == before
