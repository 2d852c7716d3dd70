"""Two processes that take turns: each runs a block while the other one stands still.

So the machine's mood, which differs from one minute to the next by more than most changes do, is
the same for both. A process keeps its memory layout for life, and two processes of equal work
differ more than two blocks of one process do: a pair is one sample, and each pair is new.
"""

from collections.abc import Sequence
from math import exp, log

from scipy.stats import trim_mean

from benchmark.data.randomness import permutation
from benchmark.interleave.training_process import Side
from benchmark.timing.schema import Block

DISCARDED, BLOCKS = 2, 15
"""Blocks of each side that a pair begins with and leaves out, and those that count."""
TRIMMED = 0.2
"""Part of a pair's quotients that is left out at each end."""
Turn = tuple[Block, Block]


def take_turns(
    sides: tuple[Side, Side], steps: tuple[int, int], seed: int, number: int
) -> list[Turn]:
    """A block of each side, again and again, the first of each two drawn.

    Args:
        sides: warm.
        steps: in a block of each.
        seed: of the drawing.
        number: of the pair; each has drawings of its own.
    """
    turns = []
    for turn in range(DISCARDED + BLOCKS):
        drawn = permutation(seed, number * (DISCARDED + BLOCKS) + turn, 2)
        timed = {int(place): sides[place].time(steps[place]) for place in drawn}
        turns.append((timed[0], timed[1]))
    return turns[DISCARDED:]


def sample(quotients: Sequence[float]) -> float:
    """A pair of processes as one sample: the trimmed mean of its blocks' quotients, as logarithms.

    A block that something disturbed is an outlier of one side.
    """
    return exp(float(trim_mean([log(quotient) for quotient in quotients], TRIMMED)))
