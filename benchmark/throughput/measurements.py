"""Rates and ratios of modes, with intervals, from what several measuring processes wrote.

A process is one sample. Its rate is the median over its blocks; its ratio of two modes the
median of the ratios of their blocks of the same round, which ran within seconds of each other.
What is made of several ratios, as the shares of a step, is made in each process: ratios of one
process depend on each other.
Blocks are compared one by one: times are skewed, so that a mean of two would be disturbed more
often than the one block that it is compared with, and equal things would differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import median

from numpy import quantile

from benchmark.common.parameters import PEERS
from benchmark.common.statistics import Interval, interval, mean_interval
from benchmark.errors.user_error import UserError
from benchmark.throughput.schema import Measurement, StepShares
from benchmark.timing.schema import AA

UNDISTURBED = 0.2
"""Part of a process's blocks that is taken to be undisturbed: the fastest ones."""
RATIOS = (
    ("trainer", "loop"),
    ("trainer", "compute"),
    ("trainer", "baseline"),
    *(("trainer", peer) for peer in PEERS),
    ("compute", "nondeterministic"),
    ("input", "baseline_input"),
)


@dataclass(frozen=True)
class ProcessRates:
    """The speeds that one process measured, from its blocks and the images in a step."""

    measurement: Measurement
    batch_size: int

    @property
    def modes(self) -> list[str]:
        """The modes that it measured."""
        return [name for name in self.measurement.steps if name != AA]

    def rate(self, mode: str) -> float:
        """Images per second, the median over blocks without compilation."""
        return median(_known(self.rates(mode), mode))

    def undisturbed(self) -> float:
        """The Trainer's images per second that the fastest of its blocks reach."""
        return float(quantile(_known(self.rates("trainer"), "trainer"), 1 - UNDISTURBED))

    def shares(self) -> tuple[float, float, float]:
        """Compute, input and Lightning as parts of a step of the Trainer. The ratio of its rate to
        another mode's is that mode's part of its time."""
        compute, loop = (self.ratio("trainer", mode) for mode in ("compute", "loop"))
        return compute, loop - compute, 1 - loop

    def ratio(self, one: str, other: str) -> float:
        """Of the rates of two modes, the median over pairs of blocks; of two loaders, per core.

        ImageFolder's loader hands over finished floats, the DataModule's bytes that the
        accelerator finishes within its step: only ratios of whole steps compare the same work.
        """
        pairs = product(_names(one), _names(other))
        known = _known([ratio for pair in pairs for ratio in self._quotients(*pair)], one, other)
        cores = self.measurement.cores
        return median(known) * cores.get(other, 1) / cores.get(one, 1)

    def noise(self) -> float:
        """The trainer against itself, the median over rounds."""
        return median(_known(self._quotients("trainer", AA), "trainer"))

    def rates(self, mode: str) -> list[float | None]:
        """Images per second in each block; None where a graph was compiled."""
        return [rate for name in _names(mode) for rate in self._blocks(name)]

    def _quotients(self, one: str, other: str) -> list[float | None]:
        pairs = zip(self._blocks(one), self._blocks(other), strict=True)
        return [a / b if a and b else None for a, b in pairs]

    def _blocks(self, name: str) -> list[float | None]:
        images = self.measurement.steps[name] * self.batch_size
        blocks = [turn[name] for turn in self.measurement.rounds]
        return [None if block.compilations else images / block.seconds for block in blocks]


def modes(processes: Sequence[ProcessRates]) -> list[str]:
    """Those that every process measured: a peer may fail in one."""
    return [mode for mode in processes[0].modes if all(mode in each.modes for each in processes)]


def rates(processes: Sequence[ProcessRates]) -> dict[str, Interval]:
    """Images per second of each mode."""
    return {mode: interval([p.rate(mode) for p in processes]) for mode in modes(processes)}


def ratios(processes: Sequence[ProcessRates]) -> dict[str, Interval]:
    """Those of RATIOS whose modes were measured, by name: "trainer_over_loop"."""
    measured = modes(processes)
    pairs = [(one, other) for one, other in RATIOS if one in measured and other in measured]
    return {f"{a}_over_{b}": interval([p.ratio(a, b) for p in processes]) for a, b in pairs}


def step_shares(processes: Sequence[ProcessRates]) -> StepShares | None:
    """Shares of the Trainer's time; None where the modes that tell them were not measured."""
    if not {"loop", "compute"} <= set(processes[0].modes):
        return None
    parts = zip(*(process.shares() for process in processes), strict=True)
    compute, waiting, lightning = (mean_interval(part) for part in parts)
    return StepShares(compute=compute, input=waiting, lightning=lightning)


def noise_floor(processes: Sequence[ProcessRates]) -> Interval:
    """The ratio of two equal things, the Trainer's two blocks of a round."""
    return interval([process.noise() for process in processes])


def _names(mode: str) -> list[str]:
    """The blocks that each round has of `mode`."""
    return [mode, AA] if mode == "trainer" else [mode]


def _known(values: list[float | None], *modes: str) -> list[float]:
    known = [value for value in values if value is not None]
    if not known:
        raise UserError(
            f"{', '.join(modes)}: a graph was compiled in each of {len(values)} blocks.",
            "Raise throughput.warmup_steps or throughput.rounds.",
        )
    return known
