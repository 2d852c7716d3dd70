"""What several measuring processes found, as rates and ratios with intervals.

A process is one sample. Its rate is the median over its blocks; its ratio of two modes the
median of the ratios of their blocks of the same round, which ran within seconds of each other.
Blocks are compared one by one: times are skewed, so that a mean of two would be disturbed more
often than the one block that it is compared with, and equal things would differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import median
from typing import Any

from benchmark.errors import UserError
from benchmark.statistics import Interval, interval
from benchmark.worker import AGAIN

RATIOS = (
    ("trainer", "loop"),
    ("trainer", "compute"),
    ("trainer", "baseline"),
    ("input", "baseline_input"),
)


@dataclass(frozen=True)
class Sample:
    """What one process found, and the images in a step."""

    found: Mapping[str, Any]
    batch_size: int

    @property
    def modes(self) -> list[str]:
        """What it measured."""
        return [name for name in self.found["steps"] if name != AGAIN]

    def rate(self, mode: str) -> float:
        """Images per second, the median over blocks without compilation."""
        return median(_known(self.rates(mode), mode))

    def ratio(self, one: str, other: str) -> float:
        """Of the rates of two modes, the median over pairs of blocks; of two loaders, per core.

        ImageFolder's loader hands over finished floats, the DataModule's bytes that the
        accelerator finishes within its step: only ratios of whole steps compare the same work.
        """
        pairs = product(_names(one), _names(other))
        known = _known([ratio for pair in pairs for ratio in self._quotients(*pair)], one, other)
        cores = self.found["cores"]
        return median(known) * cores.get(other, 1) / cores.get(one, 1)

    def noise(self) -> float:
        """The trainer against itself, the median over rounds."""
        return median(_known(self._quotients("trainer", AGAIN), "trainer"))

    def rates(self, mode: str) -> list[float | None]:
        """Images per second in each block; None where a graph was compiled."""
        return [rate for name in _names(mode) for rate in self._blocks(name)]

    def share_waited(self, mode: str) -> float:
        """Part of a plain loop's time in which the host waited for the loader."""
        seconds = sum(turn[mode]["seconds"] for turn in self.found["rounds"])
        return float(self.found["waited_seconds"][mode] / seconds)

    @property
    def trainer_images(self) -> int:
        """In all of the trainer's blocks."""
        return 2 * len(self.found["rounds"]) * self.found["steps"]["trainer"] * self.batch_size

    def _quotients(self, one: str, other: str) -> list[float | None]:
        pairs = zip(self._blocks(one), self._blocks(other), strict=True)
        return [a / b if a and b else None for a, b in pairs]

    def _blocks(self, name: str) -> list[float | None]:
        images = self.found["steps"][name] * self.batch_size
        blocks = [turn[name] for turn in self.found["rounds"]]
        return [None if b["compilations"] else images / b["seconds"] for b in blocks]


def rates(samples: Sequence[Sample]) -> dict[str, Interval]:
    """Images per second of each mode."""
    return {mode: interval([s.rate(mode) for s in samples]) for mode in samples[0].modes}


def ratios(samples: Sequence[Sample]) -> dict[str, Interval]:
    """Those of RATIOS whose modes were measured, by name: "trainer_over_loop"."""
    modes = samples[0].modes
    pairs = [(one, other) for one, other in RATIOS if one in modes and other in modes]
    return {f"{a}_over_{b}": interval([s.ratio(a, b) for s in samples]) for a, b in pairs}


def noise_floor(samples: Sequence[Sample]) -> Interval:
    """What the ratio of two equal things came to."""
    return interval([sample.noise() for sample in samples])


def _names(mode: str) -> list[str]:
    """The blocks that each round has of `mode`."""
    return [mode, AGAIN] if mode == "trainer" else [mode]


def _known(values: list[float | None], *modes: str) -> list[float]:
    known = [value for value in values if value is not None]
    if not known:
        raise UserError(
            f"{', '.join(modes)}: a graph was compiled in each of {len(values)} blocks.",
            "Raise throughput.warmup_steps or throughput.rounds.",
        )
    return known
