"""The order of a round's blocks, so that no mode has the better place or the better neighbour."""

from collections.abc import Sequence

from benchmark.data.randomness import permutation


def order(names: Sequence[str], seed: int, turn: int) -> list[str]:
    """The names in the order of round `turn`, counted from 0 over all processes of a run.

    Rows of Williams' square, each followed by its reverse. Over a cycle of len(names) rounds, or
    twice as many for an odd number of names, each name has each place equally often, and each
    comes right after each other one equally often. Every cycle names the rows anew by `seed`.

    Source: Williams, Australian Journal of Scientific Research A 2 (1949).
    """
    count = len(names)
    rows = count if count % 2 else count // 2
    cycle, row = divmod(turn // 2, rows)
    drawn = permutation(seed, cycle, count)
    zigzag = [(place + 1) // 2 if place % 2 else -place // 2 for place in range(count)]
    found = [names[drawn[(step + row) % count]] for step in zigzag]
    return found[::-1] if turn % 2 else found
