"""Result models of timed blocks and of peers."""

from pydantic import Field

from benchmark.common.results import ResultModel

AA = "trainer_aa"
"""The Trainer's second block of each round. Its ratio to the first block is the noise floor."""


class Block(ResultModel):
    """Consecutive steps of one mode between two synchronised readings of the clock."""

    seconds: float
    """Wall time of the block."""
    compilations: int
    """Number of graphs that were compiled in the block."""


class PeerStatus(ResultModel):
    """Which versions of a peer were measured, or why it was not."""

    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of the peer's packages; empty if they are not installed."""
    reason: str | None = None
    """Why the peer was not measured; null if it was."""
