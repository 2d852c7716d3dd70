"""A model that learns nothing and notes what it is shown."""

from collections import Counter, deque
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from datamodule_conformance import digests, generators

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule as Module
else:  # which of Lightning's packages has it, the DataModule says
    Module = object

LABELS = ("labels", "label", "targets", "target", "y")
UNLABELLED = -1
"""In the place of a label, where all samples of a batch have none."""
EDGES = "edge_index"
"""What PyTorch Geometric, and those who follow it, call the edges of a graph."""

Given = tuple[str, ...]
"""A digest of each sample that a dataset gave for one batch."""


class Layout(NamedTuple):
    """What is alike in the samples of a tensor."""

    dtype: str
    shape: tuple[int | None, ...]
    """None: of any length."""

    def __str__(self) -> str:
        return f"{self.dtype} ({', '.join('*' if n is None else str(n) for n in self.shape)})"


class Step(NamedTuple):
    """What one step was shown, as the model gets it."""

    digest: str | None
    """Of all that was found in the batch; None where nothing was."""
    rows: tuple[str, ...]
    """One digest per row of the batch, over all its tensors."""
    given: Given | None
    """The digests of its samples as the dataset gave them, before they became a batch."""
    labels: Tensor | None
    """Integers (n,): the second thing of a tuple, or what a mapping has under one of LABELS."""
    layout: tuple[Layout, ...]
    """Of a sample, for each tensor."""
    lengths: tuple[int, ...]
    """The first dimension of each tensor."""
    images: tuple[tuple[float, float], ...]
    """Least and greatest value of each float tensor of four dimensions; NaN if any is."""
    generators: dict[str, str]
    """Digests of the states of the process's global generators, before the step."""
    loader: int
    """dataloader_idx."""
    graph: bool
    """Whether it holds graphs: edges, or rows that belong to one sample or another."""

    @property
    def counted(self) -> bool:
        """Whether the number of its samples is known: graphs are as long as their nodes."""
        return self.given is not None or not self.graph

    @property
    def size(self) -> int:
        """How many samples it holds."""
        if self.given is not None:
            return len(self.given)
        return Counter(self.lengths).most_common(1)[0][0] if self.lengths else 0


class Probe(Module):
    """Notes every batch of every stage.

    Args:
        draws: draw from the global generators in each training step, as dropout does.
        fails: raise in the first training step.
    """

    def __init__(self, draws: bool = False, fails: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.draws = draws
        self.fails = fails
        self.passes: dict[str, list[list[Step]]] = {"fit": []}
        self.given: dict[str, deque[Given | None]] = {}
        """By stage: the samples of the batches to come, where its loaders tell them."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if self.fails:
            raise RuntimeError("this step was told to fail")
        self._note("fit", batch, batch_idx, 0)
        if self.draws:
            generators.draw()
        return self.weight * 0

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        if self.trainer.sanity_checking:
            self._next_given("validate")
        else:
            self._note("validate", batch, batch_idx, dataloader_idx)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._note("test", batch, batch_idx, dataloader_idx)

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._note("predict", batch, batch_idx, dataloader_idx)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.0)

    def _note(self, stage: str, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        passes = self.passes.setdefault(stage, [])
        if (batch_idx, dataloader_idx) == (0, 0):
            passes.append([])
        passes[-1].append(seen(batch, dataloader_idx, self._next_given(stage)))

    def _next_given(self, stage: str) -> Given | None:
        waiting = self.given.get(stage)
        return waiting.popleft() if waiting else None


def probe_for(package: ModuleType, **options: bool) -> Any:
    """A Probe that the Trainer of this one of Lightning's packages takes."""
    kind = type("Probe", (Probe, package.LightningModule), {})
    return kind(**options)


def seen(batch: Any, loader: int = 0, given: Given | None = None) -> Step:
    """What can be said of a batch, whatever holds its tensors; it stays as it is."""
    full = [tensor for tensor in digests.tensors(batch) if tensor.ndim]
    pictures = [tensor for tensor in full if tensor.ndim == 4 and tensor.numel()]
    floats = [tensor for tensor in pictures if tensor.is_floating_point()]
    return Step(
        digest=digests.digest(batch),
        rows=_rows(full),
        given=given,
        labels=_labels(batch),
        layout=tuple(Layout(str(tensor.dtype), tuple(tensor.shape[1:])) for tensor in full),
        lengths=tuple(len(tensor) for tensor in full),
        images=tuple((float(tensor.min()), float(tensor.max())) for tensor in floats),
        generators=generators.digests(),
        loader=loader,
        graph=_has_edges(batch) or _has_owners(full, given) or _has_offsets(full),
    )


def _rows(tensors: list[Tensor]) -> tuple[str, ...]:
    count = min((len(tensor) for tensor in tensors), default=0)
    dense = [tensor.to_dense() if tensor.is_sparse else tensor for tensor in tensors]
    rows = ([tensor[index] for tensor in dense] for index in range(count))
    return tuple(digests.digest(row) or "" for row in rows)


def _labels(batch: Any) -> Tensor | None:
    found = None
    if isinstance(batch, (tuple, list)):
        alike = len(batch) > 1 and _have_one_length(*batch[:2]) and not _are_lengths(*batch[:2])
        found = batch[1] if alike else None
    elif isinstance(batch, Mapping):
        found = next((batch[name] for name in LABELS if name in batch), None)
    elif not isinstance(batch, Tensor):
        found = next((getattr(batch, name) for name in LABELS if hasattr(batch, name)), None)
    if isinstance(found, Tensor) and found.ndim == 1 and not found.is_floating_point():
        return None if bool((found == UNLABELLED).all()) else found.detach().cpu().clone()
    return None


def _have_one_length(one: Any, other: Any) -> bool:
    lengths = [len(tensor) for tensor in digests.tensors([one, other]) if tensor.ndim]
    return len(set(lengths)) <= 1


def _are_lengths(tokens: Any, numbers: Any) -> bool:
    """Whether the numbers are those of the tokens in each row: the longest is as long as a row."""
    if not (isinstance(tokens, Tensor) and isinstance(numbers, Tensor) and numbers.numel()):
        return False
    whole = not tokens.is_floating_point() and not numbers.is_floating_point()
    fit = tokens.ndim == 2 and int(numbers.min()) > 0 and int(numbers.max()) == tokens.shape[1]
    return whole and fit


def _has_edges(batch: Any) -> bool:
    parts = batch if isinstance(batch, (tuple, list)) else [batch]
    return any(
        EDGES in part if isinstance(part, Mapping) else hasattr(part, EDGES) for part in parts
    )


def _has_owners(tensors: list[Tensor], given: Given | None) -> bool:
    """Whether one of them says of each row to which of the batch's samples it belongs: where the
    atoms of molecules make one list, they may be connected otherwise than by edges."""
    count = len(given or ())
    rows = [tensor for tensor in tensors if tensor.ndim == 1 and len(tensor) > count > 1]
    owners = [tensor.unique_consecutive() for tensor in rows if not tensor.is_floating_point()]
    return any(len(one) == count and one.tolist() == list(range(count)) for one in owners)


def _has_offsets(tensors: list[Tensor]) -> bool:
    """Whether one of them says where each sample's rows begin and end, in another of its length."""
    ends = [tensor for tensor in tensors if tensor.ndim == 1 and not tensor.is_floating_point()]
    others = [{len(tensor) for tensor in tensors} - {len(end)} for end in ends]
    return any(
        len(end) > 2 and not end[0] and int(end[-1]) in lengths and bool((end.diff() >= 0).all())
        for end, lengths in zip(ends, others, strict=True)
    )
