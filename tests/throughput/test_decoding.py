import os
import tempfile
from pathlib import Path

import pytest

from benchmark.common.parameters import Parameters
from benchmark.data.cache import DecodeCache
from benchmark.throughput import decoding


@pytest.fixture
def built(monkeypatch) -> list[int]:
    """The number of images in each cache that is built."""
    found: list[int] = []
    plain = DecodeCache.prepare

    def prepare(cache: DecodeCache) -> None:
        found.append(len(cache.images.paths))
        plain(cache)
        assert (cache.directory / "pixels.npy").exists()

    monkeypatch.setattr(DecodeCache, "prepare", prepare)
    return found


def test_decoding_has_an_interval_and_leaves_nothing(parameters: Parameters, built) -> None:
    before = os.listdir(tempfile.gettempdir())
    found = decoding.measure(parameters.data)
    assert 0 < found.low < found.estimate
    assert built == [15 + 6 + 6] * decoding.BUILDS
    assert os.listdir(tempfile.gettempdir()) == before
    assert not Path(".cache").exists()


def test_a_cache_that_is_built_to_time_it_is_bounded(parameters: Parameters, built, monkeypatch):
    monkeypatch.setattr(decoding, "IMAGES", 9)
    decoding.measure(parameters.data)
    assert built[0] == 9
    monkeypatch.setattr(decoding, "BYTES", 1)
    decoding.measure(parameters.data)
    assert built[-1] == 3


def test_a_dataset_beyond_the_cache_is_decoded_all_the_more(change, workspace, built) -> None:
    """It is decoded in each epoch."""
    assert decoding.measure(change(data={"cache_gib": 0}).data).estimate > 0
