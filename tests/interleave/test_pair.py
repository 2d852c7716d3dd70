from types import SimpleNamespace

import pytest

from benchmark.interleave.pair import BLOCKS, DISCARDED, sample, take_turns
from benchmark.throughput.schema import Block


def test_a_disturbed_block_is_no_part_of_a_sample() -> None:
    assert sample([1.0] * 8 + [9.0, 0.1]) == pytest.approx(1.0)
    assert sample([0.5, 2.0]) == pytest.approx(1.0)


def turns(seed: int, number: int) -> tuple[list[str], list[tuple[Block, Block]]]:
    """Who ran when, and what was kept: a block takes a second more than the one before."""
    asked: list[str] = []

    def side(name: str) -> SimpleNamespace:
        def time(steps: int) -> Block:
            asked.append(f"{name}{steps}")
            return Block(seconds=float(len(asked)), compilations=0)

        return SimpleNamespace(time=time)

    return asked, take_turns((side("a"), side("b")), (1, 2), seed, number)


def test_both_take_turns_and_the_first_blocks_do_not_count() -> None:
    asked, kept = turns(seed=1, number=0)
    firsts = asked[::2]
    assert len(asked) == 2 * (DISCARDED + BLOCKS)
    assert all({*asked[k : k + 2]} == {"a1", "b2"} for k in range(0, len(asked), 2))
    assert set(firsts) == {"a1", "b2"}
    for k, (one, other) in enumerate(kept, start=DISCARDED):
        first, second = 2.0 * k + 1, 2.0 * k + 2
        assert (one.seconds, other.seconds) == (
            (first, second) if firsts[k] == "a1" else (second, first)
        )


def test_each_pair_has_an_order_of_its_own() -> None:
    assert turns(1, 0)[0] == turns(1, 0)[0]
    assert len({tuple(turns(seed, number)[0]) for seed in (1, 2) for number in (0, 1)}) == 4
