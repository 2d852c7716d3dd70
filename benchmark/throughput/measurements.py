"""Rates and ratios of modes, with intervals, from the results of several measuring processes.

A process is one sample. Its rate is the median over its blocks. Its ratio of two modes is the
median of quotients of two blocks of one round, which ran within seconds of each other. Shares
of a step are computed in each process, because ratios of one process depend on each other.

A block is always compared with a single block, never with a mean of two: a mean of two blocks is
disturbed more often than one block, so that equal modes would differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import median

from numpy import quantile

from benchmark.common.modes import RATIOS
from benchmark.common.statistics import Interval, interval, mean_interval
from benchmark.errors.user_error import UserError
from benchmark.throughput.schema import Measurement, StepShares
from benchmark.timing.schema import AA

UNDISTURBED = 0.2
"""Fraction of a process's blocks, the fastest, that count as undisturbed."""


@dataclass(frozen=True)
class ProcessRates:
    """Computes rates and ratios of modes from the measurement of one process.

    Blocks that compiled a graph are left out. If none is left, its methods raise a UserError.
    """

    measurement: Measurement
    batch_size: int

    @property
    def modes(self) -> list[str]:
        """Names of the modes that the process measured."""
        return [name for name in self.measurement.steps if name != AA]

    def rate(self, mode: str) -> float:
        """Return the images per second of a mode: the median over blocks."""
        return median(_without_compilation(self.rates(mode), mode))

    def undisturbed(self) -> float:
        """Return the images per second that the fastest fifth of the Trainer's blocks reach."""
        rates = _without_compilation(self.rates("trainer"), "trainer")
        return float(quantile(rates, 1 - UNDISTURBED))

    def shares(self) -> tuple[float, float, float]:
        """Return the fractions of a Trainer's step: compute, input and Lightning; their sum is 1.

        The Trainer's rate divided by another mode's rate is that mode's fraction of the step. The
        mode `compute` only computes. The mode `loop` also loads input, so input is the difference.
        """
        compute, loop = (self.ratio("trainer", mode) for mode in ("compute", "loop"))
        return compute, loop - compute, 1 - loop

    def ratio(self, one: str, other: str) -> float:
        """Return the rate of mode `one` over that of `other`: the median over pairs of blocks.

        Rates of modes that only load are per core. ImageFolder's loader delivers normalised floats,
        the DataModule's bytes, which the accelerator crops and normalises in the step. So only
        ratios of modes that train compare the same work.
        """
        pairs = product(_names(one), _names(other))
        quotients = [quotient for pair in pairs for quotient in self._quotients(*pair)]
        ratio, cores = median(_without_compilation(quotients, one, other)), self.measurement.cores
        return ratio * cores.get(other, 1) / cores.get(one, 1)

    def noise(self) -> float:
        """Return the ratio of the Trainer's two blocks of a round: the median over rounds."""
        return median(_without_compilation(self._quotients("trainer", AA), "trainer"))

    def rates(self, mode: str) -> list[float | None]:
        """Return the images per second in each block of a mode; None if it compiled a graph."""
        return [rate for name in _names(mode) for rate in self._blocks(name)]

    def _quotients(self, one: str, other: str) -> list[float | None]:
        pairs = zip(self._blocks(one), self._blocks(other), strict=True)
        return [a / b if a and b else None for a, b in pairs]

    def _blocks(self, name: str) -> list[float | None]:
        images = self.measurement.steps[name] * self.batch_size
        blocks = [turn[name] for turn in self.measurement.rounds]
        return [None if block.compilations else images / block.seconds for block in blocks]


def rates(processes: Sequence[ProcessRates]) -> dict[str, Interval]:
    """Return each mode's images per second, as an interval over processes."""
    return {mode: interval([p.rate(mode) for p in processes]) for mode in processes[0].modes}


def ratios(processes: Sequence[ProcessRates]) -> dict[str, Interval]:
    """Return ratios of rates, as intervals over processes, by key ("trainer_over_loop").

    Ratios of RATIOS are left out if one of the two modes was not measured.
    """
    return {
        key: interval([process.ratio(*pair) for process in processes])
        for key, pair in RATIOS.items()
        if {*pair} <= {*processes[0].modes}
    }


def step_shares(processes: Sequence[ProcessRates]) -> StepShares | None:
    """Return the shares of a Trainer's step; None unless `loop` and `compute` were measured."""
    if not {"loop", "compute"} <= set(processes[0].modes):
        return None
    parts = zip(*(process.shares() for process in processes), strict=True)
    compute, waiting, lightning = (mean_interval(part) for part in parts)
    return StepShares(compute=compute, input=waiting, lightning=lightning)


def noise_floor(processes: Sequence[ProcessRates]) -> Interval:
    """Return the ratio of the Trainer's two blocks of a round over processes; without noise, 1."""
    return interval([process.noise() for process in processes])


def _names(mode: str) -> list[str]:
    """Return the keys of a mode's blocks in a round; the Trainer has two blocks."""
    return [mode, AA] if mode == "trainer" else [mode]


def _without_compilation(values: list[float | None], *modes: str) -> list[float]:
    clean = [value for value in values if value is not None]
    if not clean:
        raise UserError(
            f"{', '.join(modes)}: a graph was compiled in each of {len(values)} blocks.",
            "Raise throughput.warmup_steps or throughput.rounds.",
        )
    return clean
