"""Measure the speed of a peer (other software), and the Trainer's ratio to it."""

from dataclasses import dataclass

from benchmark.common.parameters import Parameters
from benchmark.common.statistics import Interval, interval
from benchmark.errors.user_error import UserError
from benchmark.machine.accelerators import Accelerator
from benchmark.throughput.pairs import measure_pairs
from benchmark.timing import peers
from benchmark.timing.schema import PeerStatus


@dataclass(frozen=True)
class PeerSpeed:
    """A peer's speed; if it was not measured, rate and ratio are None and status has the reason."""

    status: PeerStatus
    rate: Interval | None = None
    """Images per second, over pairs of processes."""
    ratio: Interval | None = None
    """The Trainer's rate divided by the peer's."""


def measure(accelerator: Accelerator, parameters: Parameters, name: str, seed: int) -> PeerSpeed:
    """Measure the peer `name` in pairs of processes; a peer that refuses gives only a reason."""
    status = PeerStatus()
    try:
        status = PeerStatus(versions=peers.versions(name))
        pairs = measure_pairs(accelerator, parameters, name, parameters, seed, peer=name)
    except UserError as error:
        return PeerSpeed(status.model_copy(update={"reason": str(error)}))
    return PeerSpeed(
        status,
        rate=interval([pair.rate for pair in pairs]),
        ratio=interval([1 / pair.ratio for pair in pairs]),
    )
