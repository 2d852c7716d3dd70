"""Probe: a model that does not learn, and records every batch."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from lightning_conformance import digests, generators

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule as Module
else:  # the base class depends on Lightning's package, see probe_for
    Module = object

LABELS = ("labels", "label", "targets", "target", "y")
"""Names of labels in a batch that is a mapping or an object."""
UNLABELLED = -1
"""Value of all labels in a batch without labels."""
EDGES = "edge_index"
"""Name of a graph's edges in PyTorch Geometric and similar libraries."""

SampleDigests = tuple[str, ...]
"""Digests of the samples of one batch, as the dataset returned them before collate_fn."""


class Layout(NamedTuple):
    """Dtype and shape of the samples in a tensor."""

    dtype: str
    shape: tuple[int | None, ...]
    """None: any length."""

    def __str__(self) -> str:
        return f"{self.dtype} ({', '.join('*' if n is None else str(n) for n in self.shape)})"


class BatchRecord(NamedTuple):
    """One batch, as one step of the probe gets it."""

    digest: str | None
    """Digest of the complete batch; None if it has no tensor, string or number."""
    rows: tuple[str, ...]
    """One digest per row of the batch, over all its tensors and texts."""
    samples: SampleDigests | None
    """Digests of the samples before collate_fn; None if they were not recorded."""
    labels: Tensor | None
    """Integers (n,): the second element of a tuple, or the value under one of LABELS; or None."""
    layout: tuple[Layout, ...]
    """The layout of each tensor, except those of one sample in a list of samples."""
    lengths: tuple[int, ...]
    """The first dimension of each of these tensors."""
    images: tuple[tuple[float, float], ...]
    """Minimum and maximum of each float tensor with four dimensions; NaN if any value is NaN."""
    generators: dict[str, str]
    """Digests of the states of the global generators when the step begins."""
    loader: int
    """Lightning's dataloader_idx."""
    graph: bool
    """Whether the batch contains graphs, or rows that are assigned to its samples."""

    @property
    def countable(self) -> bool:
        """Whether the number of samples is known: a graph has any number of rows."""
        return self.samples is not None or not self.graph

    @property
    def size(self) -> int:
        """The number of samples; if none were recorded, the most common length of a tensor."""
        if self.samples is not None:
            return len(self.samples)
        return Counter(self.lengths).most_common(1)[0][0] if self.lengths else 0


Epochs = list[list[BatchRecord]]
"""Epochs of training or passes of evaluation, each a list of batches."""


class Probe(Module):
    """Records every batch of every stage in `passes`, except those of the sanity check.

    Args:
        draws: draw from the global generators in each training step, as dropout does.
        fails: raise RuntimeError in the first training step.
    """

    def __init__(self, draws: bool = False, fails: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.draws = draws
        self.fails = fails
        self.passes: dict[str, Epochs] = {"fit": []}
        """By stage: its epochs or evaluation passes."""
        self.samples: dict[str, deque[SampleDigests | None]] = {}
        """By stage: a queue of the next batches' samples, if its loaders record them."""
        self.checkpoint: Path | None = None
        """Where to save a checkpoint at the end of a fit: before teardown, as Lightning does."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if self.fails:
            raise RuntimeError("this step fails on purpose")
        self._record("fit", batch, batch_idx, 0)
        if self.draws:
            generators.draw()
        return self.weight * 0

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        if self.trainer.sanity_checking:
            self._next_samples("validate")
        else:
            self._record("validate", batch, batch_idx, dataloader_idx)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._record("test", batch, batch_idx, dataloader_idx)

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._record("predict", batch, batch_idx, dataloader_idx)

    def on_train_end(self) -> None:
        if self.checkpoint:
            self.trainer.save_checkpoint(self.checkpoint)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.0)

    def _record(self, stage: str, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        """Append the batch's record to the stage's pass; the first batch begins a new pass."""
        passes = self.passes.setdefault(stage, [])
        if (batch_idx, dataloader_idx) == (0, 0):
            passes.append([])
        passes[-1].append(describe_batch(batch, dataloader_idx, self._next_samples(stage)))

    def _next_samples(self, stage: str) -> SampleDigests | None:
        """Take the samples of the stage's next batch from its queue; None if it is empty."""
        queue = self.samples.get(stage)
        return queue.popleft() if queue else None


def probe_for(package: ModuleType, **options: bool) -> Any:
    """Return a new Probe whose class also derives from the LightningModule of `package`.

    `options` are the arguments of Probe.
    """
    return type("Probe", (Probe, package.LightningModule), {})(**options)


def describe_batch(
    batch: Any, loader: int = 0, samples: SampleDigests | None = None
) -> BatchRecord:
    """Return the record of a batch in any container. The batch is not changed."""
    every = [tensor for tensor in digests.tensors(batch) if tensor.ndim]
    shortest = min((len(tensor) for tensor in every), default=0)
    parts, columns = digests.split(batch, len(samples) if samples else shortest)
    tensors = [tensor for tensor in parts if tensor.ndim]
    images = [
        tensor for tensor in tensors
        if tensor.ndim == 4 and tensor.numel() and tensor.is_floating_point()
    ]  # fmt: skip
    return BatchRecord(
        digest=digests.digest(batch),
        rows=_rows(tensors, columns),
        samples=samples,
        labels=_labels(batch) if tensors else None,
        layout=tuple(Layout(str(tensor.dtype), tuple(tensor.shape[1:])) for tensor in tensors),
        lengths=tuple(len(tensor) for tensor in tensors),
        images=tuple((float(image.min()), float(image.max())) for image in images),
        generators=generators.state_digests(),
        loader=loader,
        graph=_has_edges(batch) or _has_assignment(tensors, samples) or _has_offsets(tensors),
    )


def _rows(tensors: list[Tensor], columns: list[Sequence[Any]]) -> tuple[str, ...]:
    """Return one digest per row, as many as the shortest tensor or, without tensors, column has.

    A row is an element of each tensor, and of each column of this length.
    """
    count = min(map(len, tensors or columns), default=0)
    parts: list[Any] = [tensor.to_dense() if tensor.is_sparse else tensor for tensor in tensors]
    parts += [column for column in columns if len(column) == count]
    return tuple(digests.digest([part[i] for part in parts]) or "" for i in range(count))


def _labels(batch: Any) -> Tensor | None:
    """Return a copy of a batch's integer labels (n,); None without labels or if all are -1."""
    labels = None
    if isinstance(batch, (tuple, list)):
        lengths = {len(tensor) for tensor in digests.tensors(batch[:2]) if tensor.ndim}
        if len(batch) > 1 and len(lengths) <= 1 and not _are_lengths(*batch[:2]):
            labels = batch[1]
    elif isinstance(batch, Mapping):
        labels = next((batch[name] for name in LABELS if name in batch), None)
    elif not isinstance(batch, Tensor):
        labels = next((getattr(batch, name) for name in LABELS if hasattr(batch, name)), None)
    if isinstance(labels, Tensor) and labels.ndim == 1 and not labels.is_floating_point():
        return None if bool((labels == UNLABELLED).all()) else labels.detach().cpu().clone()
    return None


def _are_lengths(tokens: Any, numbers: Any) -> bool:
    """Return whether `numbers` (n,) are the sequence lengths of padded `tokens` (n, longest)."""
    if not (isinstance(tokens, Tensor) and isinstance(numbers, Tensor) and numbers.numel()):
        return False
    integers = not tokens.is_floating_point() and not numbers.is_floating_point()
    fit = tokens.ndim == 2 and int(numbers.min()) > 0 and int(numbers.max()) == tokens.shape[1]
    return integers and fit


def _has_edges(batch: Any) -> bool:
    """Return whether the batch, or an element of it, has the edges of a graph."""
    parts = batch if isinstance(batch, (tuple, list)) else [batch]
    return any(
        EDGES in part if isinstance(part, Mapping) else hasattr(part, EDGES) for part in parts
    )


def _has_assignment(tensors: list[Tensor], samples: SampleDigests | None) -> bool:
    """Return whether a tensor assigns rows to samples (0, 0, 1, ...), as for atoms of molecules."""
    count = len(samples or ())
    candidates = [
        tensor.unique_consecutive() for tensor in tensors
        if tensor.ndim == 1 and len(tensor) > count > 1 and not tensor.is_floating_point()
    ]  # fmt: skip
    return any(candidate.tolist() == list(range(count)) for candidate in candidates)


def _has_offsets(tensors: list[Tensor]) -> bool:
    """Return whether a tensor contains the offsets at which samples begin in another tensor."""
    for offsets in tensors:
        if offsets.ndim == 1 and len(offsets) > 2 and not offsets.is_floating_point():
            lengths = {len(tensor) for tensor in tensors} - {len(offsets)}
            ascending = not offsets[0] and bool((offsets.diff() >= 0).all())
            if ascending and int(offsets[-1]) in lengths:
                return True
    return False
