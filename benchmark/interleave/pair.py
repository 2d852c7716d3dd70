"""Time a pair of processes whose blocks alternate: one runs a block while the other is stopped.

So the momentary state of the machine (load, clock) affects both. This state changes speed from one
minute to the next by more than most changes of code. A process keeps its memory layout for life:
two processes of equal work differ more than two blocks of one process. So a pair is one sample, and
each sample needs two new processes.
"""

from collections.abc import Sequence
from math import exp, log
from statistics import fmean

from benchmark.data.randomness import permutation
from benchmark.errors.user_error import UserError
from benchmark.interleave.training_process import TrainingProcess
from benchmark.timing.schema import Block

DISCARDED, BLOCKS = 2, 15
"""Number of blocks of each process at the start of a pair that are discarded, and that count."""
TRIMMED = 0.2
"""Fraction of a pair's smallest quotients that the mean leaves out, and of the largest."""
BlockPair = tuple[Block, Block]


def time_alternating_blocks(
    processes: tuple[TrainingProcess, TrainingProcess],
    steps: tuple[int, int],
    seed: int,
    number: int,
    blocks: int | None = None,
) -> list[BlockPair]:
    """Time blocks of two warm processes in turn, and return the pairs of blocks that count.

    DISCARDED + `blocks` pairs are timed. The first DISCARDED do not count, nor do pairs in which a
    graph was compiled. The blocks of a returned pair have the order of `processes`.

    Args:
        processes: both have returned from `warm_up`.
        steps: steps in a block of each process.
        seed: decides, with `number`, which process runs first in each pair of blocks.
        number: how many pairs of processes the caller timed before this one.
        blocks: number of pairs of blocks that count, BLOCKS by default.

    Raises:
        UserError: a process failed, or a graph was compiled in every pair after the first
            DISCARDED.
    """
    pairs, turns = [], DISCARDED + (blocks or BLOCKS)
    for turn in range(turns):
        order = permutation(seed, number * turns + turn, 2)
        timed = {int(index): processes[index].time(steps[index]) for index in order}
        pairs.append((timed[0], timed[1]))
    clean = [pair for pair in pairs[DISCARDED:] if not any(b.compilations for b in pair)]
    if not clean:
        raise UserError("A graph was compiled in each block.", "Raise throughput.warmup_steps.")
    return clean


def trimmed_mean(quotients: Sequence[float]) -> float:
    """Return the trimmed geometric mean of positive quotients; disturbed blocks are outliers."""
    logarithms = sorted(map(log, quotients))
    trimmed = int(TRIMMED * len(logarithms))
    return exp(fmean(logarithms[trimmed : len(logarithms) - trimmed]))
