"""Rates and ratios of modes, with intervals, from the results of several measuring processes.

A process is one sample. Its rate is the median over its blocks. Its ratio of two modes is the
median of the ratios of their blocks of one round, which ran within seconds of each other. Shares
of a step are computed in each process, because ratios of one process depend on each other.

Each block is compared with single blocks. Times are skewed: a mean of two blocks would be disturbed
more often than the one block that it is compared with, so that equal modes would differ.
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
    """The speeds that one process measured."""

    measurement: Measurement
    batch_size: int

    @property
    def modes(self) -> list[str]:
        """Names of the modes that the process measured."""
        return [name for name in self.measurement.steps if name != AA]

    def rate(self, mode: str) -> float:
        """Images per second of a mode, the median over blocks without compilation."""
        return median(_without_compilation(self.rates(mode), mode))

    def undisturbed(self) -> float:
        """Images per second that the fastest fifth of the Trainer's blocks reach."""
        return float(
            quantile(_without_compilation(self.rates("trainer"), "trainer"), 1 - UNDISTURBED)
        )

    def shares(self) -> tuple[float, float, float]:
        """Compute, input and Lightning as fractions of a step of the Trainer.

        The Trainer's rate divided by another mode's is that mode's fraction of the Trainer's time.
        """
        compute, loop = (self.ratio("trainer", mode) for mode in ("compute", "loop"))
        return compute, loop - compute, 1 - loop

    def ratio(self, one: str, other: str) -> float:
        """Ratio of two modes' rates, the median over pairs of blocks; for two loaders, per core.

        ImageFolder's loader delivers normalised floats; the DataModule's delivers bytes, which the
        accelerator crops and normalises within the step. Only ratios of full steps compare the
        same work.
        """
        pairs = product(_names(one), _names(other))
        quotients = [quotient for pair in pairs for quotient in self._quotients(*pair)]
        cores = self.measurement.cores
        return (
            median(_without_compilation(quotients, one, other))
            * cores.get(other, 1)
            / cores.get(one, 1)
        )

    def noise(self) -> float:
        """Ratio of the Trainer's two blocks of a round, the median over rounds."""
        return median(_without_compilation(self._quotients("trainer", AA), "trainer"))

    def rates(self, mode: str) -> list[float | None]:
        """Images per second in each block of a mode; None where a graph was compiled."""
        return [rate for name in _names(mode) for rate in self._blocks(name)]

    def _quotients(self, one: str, other: str) -> list[float | None]:
        pairs = zip(self._blocks(one), self._blocks(other), strict=True)
        return [a / b if a and b else None for a, b in pairs]

    def _blocks(self, name: str) -> list[float | None]:
        images = self.measurement.steps[name] * self.batch_size
        blocks = [turn[name] for turn in self.measurement.rounds]
        return [None if block.compilations else images / block.seconds for block in blocks]


def rates(processes: Sequence[ProcessRates]) -> dict[str, Interval]:
    """Images per second of each mode, over processes."""
    return {mode: interval([p.rate(mode) for p in processes]) for mode in processes[0].modes}


def ratios(processes: Sequence[ProcessRates]) -> dict[str, Interval]:
    """Ratios of rates whose two modes were measured, by key: "trainer_over_loop"."""
    return {
        key: interval([process.ratio(*pair) for process in processes])
        for key, pair in RATIOS.items()
        if {*pair} <= {*processes[0].modes}
    }


def step_shares(processes: Sequence[ProcessRates]) -> StepShares | None:
    """Shares of the Trainer's time; None unless `loop` and `compute` were measured."""
    if not {"loop", "compute"} <= set(processes[0].modes):
        return None
    parts = zip(*(process.shares() for process in processes), strict=True)
    compute, waiting, lightning = (mean_interval(part) for part in parts)
    return StepShares(compute=compute, input=waiting, lightning=lightning)


def noise_floor(processes: Sequence[ProcessRates]) -> Interval:
    """Ratio of the Trainer's two blocks of a round, over processes: 1 but for noise."""
    return interval([process.noise() for process in processes])


def _names(mode: str) -> list[str]:
    """Keys of a mode's blocks in a round: the Trainer has two."""
    return [mode, AA] if mode == "trainer" else [mode]


def _without_compilation(values: list[float | None], *modes: str) -> list[float]:
    clean = [value for value in values if value is not None]
    if not clean:
        raise UserError(
            f"{', '.join(modes)}: a graph was compiled in each of {len(values)} blocks.",
            "Raise throughput.warmup_steps or throughput.rounds.",
        )
    return clean
