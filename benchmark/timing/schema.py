"""What one measuring process records of its modes."""

from pydantic import Field

from benchmark.common.results import ResultModel

AA = "trainer_aa"
"""The Trainer's second block of each round. Its ratio to the first block is the noise floor."""


class Block(ResultModel):
    """Consecutive steps of one mode between two synchronised readings of the clock."""

    seconds: float
    """Wall time."""
    compilations: int
    """Graphs that were compiled meanwhile."""


class PeerStatus(ResultModel):
    """Other software that trains the same network."""

    versions: dict[str, str] = Field(default_factory=dict)
    """Of its packages; empty if they are not installed."""
    reason: str | None = None
    """Why it was not measured; null if it was."""
