"""A pair of processes whose blocks alternate: one runs a block while the other is stopped.

So the momentary state of the machine (load, clock) affects both. It changes from one minute to the
next by more than most changes of code do. A process keeps its memory layout for life, and two
processes of equal work differ more than two blocks of one process do. So a pair is one sample, and
each pair is new.
"""

from collections.abc import Sequence
from math import exp, log

from scipy.stats import trim_mean

from benchmark.data.randomness import permutation
from benchmark.errors.user_error import UserError
from benchmark.interleave.training_process import TrainingProcess
from benchmark.timing.schema import Block

DISCARDED, BLOCKS = 2, 15
"""Blocks of each process that a pair begins with and discards, and blocks that count."""
TRIMMED = 0.2
"""Fraction of a pair's quotients that is left out at each end."""
BlockPair = tuple[Block, Block]


def alternate(
    processes: tuple[TrainingProcess, TrainingProcess],
    steps: tuple[int, int],
    seed: int,
    number: int,
) -> list[BlockPair]:
    """Time BLOCKS blocks of each process, the first of each two drawn.

    Args:
        processes: two warm processes.
        steps: number of steps in a block of each.
        seed: of the drawing.
        number: of the pair, which has drawings of its own.

    Returns:
        Blocks in which nothing was compiled, in the order of `processes`.

    Raises:
        UserError: every pair of blocks compiled a graph; or a process failed.
    """
    pairs = []
    for turn in range(DISCARDED + BLOCKS):
        order = permutation(seed, number * (DISCARDED + BLOCKS) + turn, 2)
        timed = {int(index): processes[index].time(steps[index]) for index in order}
        pairs.append((timed[0], timed[1]))
    clean = [pair for pair in pairs[DISCARDED:] if not any(b.compilations for b in pair)]
    if not clean:
        raise UserError("A graph was compiled in each block.", "Raise throughput.warmup_steps.")
    return clean


def trimmed_mean(quotients: Sequence[float]) -> float:
    """Trimmed mean of the logarithms of a pair's quotients: a disturbed block is an outlier."""
    return exp(float(trim_mean([log(quotient) for quotient in quotients], TRIMMED)))
