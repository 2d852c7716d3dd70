"""The speed of other software that trains the same network, and the Trainer's ratio to it."""

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
    """A peer's speed; only a status with a reason where it could not be measured."""

    status: PeerStatus
    rate: Interval | None = None
    """Images per second, over pairs of processes."""
    ratio: Interval | None = None
    """The Trainer's rate divided by the peer's."""


def measure(accelerator: Accelerator, parameters: Parameters, name: str, seed: int) -> PeerSpeed:
    """Measure the peer `name` in processes of its own, which alternate with the Trainer's."""
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
