"""Recorded batches of an evaluation, and how to evaluate the same batches again."""

import pickle
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from lightning_conformance.scenario import LOADERS

Recorded = list[list[bytes]]
"""By loader: its batches, pickled."""


class RecordedLoader:
    """Loads recorded batches. Each pass makes new ones, so that a step may change its batch."""

    def __init__(self, batches: list[bytes]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return map(pickle.loads, self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def batch_recorder(package: ModuleType, recorded: Recorded) -> Any:
    """Return a Callback of `package` that adds the batch of each evaluation step to `recorded`."""

    def record(
        self: Any, trainer: Any, module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        while len(recorded) <= dataloader_idx:
            recorded.append([])
        recorded[dataloader_idx].append(pickle.dumps(batch))

    hooks = [f"on_{name}_batch_start" for name in ("validation", "test", "predict")]
    return type("BatchRecorder", (package.Callback,), dict.fromkeys(hooks, record))()


def replay(data: Any, module: Any, stage: str, recorded: Recorded) -> None:
    """From now on, let `stage` get the recorded batches, as its steps got them."""
    loaders = [RecordedLoader(batches) for batches in recorded]
    setattr(data, f"{LOADERS[stage]}_dataloader", lambda: loaders)
    for owner in (data, module):  # they were called before the batches were recorded
        owner.on_before_batch_transfer = lambda batch, dataloader_idx: batch
        owner.on_after_batch_transfer = lambda batch, dataloader_idx: batch
