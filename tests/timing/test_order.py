"""No mode has the better place or the better neighbour."""

from collections import Counter
from itertools import pairwise

import pytest

from benchmark.timing.order import order

NAMES = "abcdefgh"


def cycle(count: int, seed: int = 1, first: int = 0) -> list[list[str]]:
    """Rounds after which everything has been balanced."""
    length = 2 * count if count % 2 else count
    return [order(NAMES[:count], seed, first * length + turn) for turn in range(length)]


@pytest.mark.parametrize("count", range(2, 9))
def test_each_comes_after_each_other_equally_often(count: int) -> None:
    pairs = Counter(pair for names in cycle(count) for pair in pairwise(names))
    assert len(pairs) == count * (count - 1)
    assert len(set(pairs.values())) == 1


@pytest.mark.parametrize("count", range(1, 9))
def test_each_has_each_place_equally_often(count: int) -> None:
    rounds = cycle(count)
    assert all(sorted(names) == sorted(NAMES[:count]) for names in rounds)
    for place in zip(*rounds, strict=True):
        assert len(set(Counter(place).values())) == 1
        assert len(set(place)) == count


def test_every_other_round_is_the_one_before_reversed() -> None:
    rounds = cycle(7)
    assert rounds[1::2] == [names[::-1] for names in rounds[::2]]


def test_runs_and_cycles_have_orders_of_their_own() -> None:
    assert cycle(7, seed=1) == cycle(7, seed=1)
    assert cycle(7, seed=1) != cycle(7, seed=2)
    assert cycle(7, first=0) != cycle(7, first=1)
