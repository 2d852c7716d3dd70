"""The modes of throughput: one entry for each, which parameters, measurements and reports read.

`benchmark/timing/` contains the code that runs them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal


@dataclass(frozen=True)
class ModeEntry:
    """Description of a throughput mode: its loader, its ratio, and who selects it."""

    trains: bool = True
    """Whether a step trains; if not, it only takes a batch from the loader."""
    loader: Literal["none", "data", "cores"] = "none"
    """Number of loader processes: none, `data.num_workers`, or one per processor."""
    compared_with: str | None = None
    """The mode whose rate is divided by this mode's rate; None if there is no ratio."""
    ratio: str = ""
    """The ratio's name in reports."""
    question: str = ""
    """The question that the ratio answers."""
    peer: bool = False
    """Whether the mode runs another library, which `make peers` installs, in its own process."""
    needs: frozenset[str] = frozenset()
    """The mode is measured when all of these modes are; empty if params.yaml selects it by name."""


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
"""All modes by name."""
PEERS = tuple(name for name, mode in MODES.items() if mode.peer)
RATIOS = {
    f"{mode.compared_with}_over_{name}": (mode.compared_with, name)
    for name, mode in MODES.items()
    if mode.compared_with
}
"""Modes in the numerator and the denominator of each ratio of rates, by its key in results."""

if TYPE_CHECKING:
    ModeName = str
else:
    ModeName = Literal[tuple(name for name, mode in MODES.items() if not mode.needs)]
    """A mode that params.yaml may select by name."""
