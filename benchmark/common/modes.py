"""The modes of throughput: one entry for each, which parameters, measurements and reports read.

`benchmark/timing/` contains the code that runs them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal


@dataclass(frozen=True)
class ModeEntry:
    """What the suite needs to know about a mode, except how to run it."""

    trains: bool = True
    """Whether a step trains; else it only asks a loader for a batch."""
    loader: Literal["none", "data", "cores"] = "none"
    """Loader processes: none, `data.num_workers`, or one for each core."""
    compared_with: str | None = None
    """The mode whose rate is divided by the rate of this mode."""
    ratio: str = ""
    """The ratio's name in reports."""
    question: str = ""
    """What the ratio answers."""
    peer: bool = False
    """Whether it is other software, installed by `make peers` and measured in its own process."""
    needs: frozenset[str] = frozenset()
    """The modes that bring this one with them; empty if params.yaml names it itself."""

    def loader_processes(self, num_workers: int, cores: int) -> int:
        """Number of processes of the mode's loader."""
        return {"none": 0, "data": num_workers, "cores": cores}[self.loader]


MODES = {
    "trainer": ModeEntry(loader="data"),
    "loop": ModeEntry(
        loader="data",
        compared_with="trainer",
        ratio="Trainer / plain loop",
        question="What does Lightning cost?",
    ),
    "compute": ModeEntry(
        compared_with="trainer",
        ratio="Trainer / resident batch",
        question="What do input and Lightning cost?",
    ),
    "baseline": ModeEntry(
        loader="cores",
        compared_with="trainer",
        ratio="Trainer / ImageFolder loop",
        question="Is it faster than the usual way?",
    ),
    "timm": ModeEntry(loader="cores", compared_with="trainer", ratio="Trainer / timm", peer=True),
    "fastai": ModeEntry(
        loader="cores", compared_with="trainer", ratio="Trainer / fastai", peer=True
    ),
    "transformers": ModeEntry(
        loader="cores", compared_with="trainer", ratio="Trainer / transformers", peer=True
    ),
    "nondeterministic": ModeEntry(
        compared_with="compute",
        ratio="Deterministic / any kernels, resident batch",
        question="What do deterministic kernels cost?",
    ),
    "input": ModeEntry(trains=False, loader="data"),
    "baseline_input": ModeEntry(
        trains=False,
        loader="cores",
        compared_with="input",
        ratio="Loader / ImageFolder loader, per core",
        question="Is the loader faster than the usual one?",
        needs=frozenset({"baseline", "input"}),
    ),
}
"""By name."""
PEERS = tuple(name for name, mode in MODES.items() if mode.peer)
RATIOS = {
    f"{mode.compared_with}_over_{name}": (mode.compared_with, name)
    for name, mode in MODES.items()
    if mode.compared_with
}
"""The two modes of each ratio of rates, by the ratio's key in results."""

if TYPE_CHECKING:
    ModeName = str
else:
    ModeName = Literal[tuple(name for name, mode in MODES.items() if not mode.needs)]
    """A mode that params.yaml may name."""
