from types import SimpleNamespace

import pytest

from benchmark.errors.user_error import UserError
from benchmark.interleave.pair import BLOCKS, DISCARDED, time_alternating_blocks, trimmed_mean
from benchmark.timing.schema import Block


def test_a_disturbed_block_does_not_change_a_pairs_mean() -> None:
    assert trimmed_mean([1.0] * 8 + [9.0, 0.1]) == pytest.approx(1.0)
    assert trimmed_mean([0.5, 2.0]) == pytest.approx(1.0)


def turns(seed: int, number: int) -> tuple[list[str], list[tuple[Block, Block]]]:
    """The order of blocks, and the blocks that count: each takes a second more than the last."""
    order: list[str] = []

    def side(name: str) -> SimpleNamespace:
        def time(steps: int) -> Block:
            order.append(f"{name}{steps}")
            return Block(seconds=float(len(order)), compilations=0)

        return SimpleNamespace(time=time)

    return order, time_alternating_blocks((side("a"), side("b")), (1, 2), seed, number)


def test_blocks_alternate_and_the_first_do_not_count() -> None:
    order, kept = turns(seed=1, number=0)
    firsts = order[::2]
    assert len(order) == 2 * (DISCARDED + BLOCKS)
    assert all({*order[k : k + 2]} == {"a1", "b2"} for k in range(0, len(order), 2))
    assert set(firsts) == {"a1", "b2"}
    for k, (one, other) in enumerate(kept, start=DISCARDED):
        first, second = 2.0 * k + 1, 2.0 * k + 2
        assert (one.seconds, other.seconds) == (
            (first, second) if firsts[k] == "a1" else (second, first)
        )


def test_pairs_have_different_orders() -> None:
    assert turns(1, 0)[0] == turns(1, 0)[0]
    assert len({tuple(turns(seed, number)[0]) for seed in (1, 2) for number in (0, 1)}) == 4


def compiling(blocks: set[int]) -> SimpleNamespace:
    """A process that compiles a graph in these blocks, counted from 0."""
    count = iter(range(DISCARDED + BLOCKS))

    def time(steps: int) -> Block:
        number = next(count)
        return Block(seconds=1.0 + number, compilations=int(number in blocks))

    return SimpleNamespace(time=time)


def test_blocks_that_compiled_do_not_count() -> None:
    late = DISCARDED + 3
    pairs = time_alternating_blocks((compiling({0, late}), compiling(set())), (1, 1), 1, 0)
    assert [block.seconds for block, _ in pairs] == [
        1.0 + number for number in range(DISCARDED, DISCARDED + BLOCKS) if number != late
    ]


def test_a_graph_compiled_in_each_block_is_an_error() -> None:
    always = compiling({*range(DISCARDED + BLOCKS)})
    with pytest.raises(UserError, match=r"compiled in each block\. Raise throughput.warmup_steps"):
        time_alternating_blocks((always, compiling(set())), (1, 1), 1, 0)
