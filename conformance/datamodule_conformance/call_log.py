"""A log of every call of a DataModule's public methods, in order, extra ones included."""

import contextlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pytorch_lightning import LightningDataModule

from datamodule_conformance import generators
from datamodule_conformance.packages import package_of

Call = tuple[Any, ...]
"""The name of a method and those of its arguments that are texts or whole numbers."""

NOT_HOOKS = {"load_from_checkpoint", "remove_ignored_hparams", "save_hyperparameters"}
HOOKS = sorted(
    name
    for name, _ in inspect.getmembers(LightningDataModule, inspect.isfunction)
    if not name.startswith("_") and name not in NOT_HOOKS
)
LOADER = "_dataloader"
BATCH = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")


@dataclass
class CallLog:
    """What a DataModule's hooks do."""

    calls: list[Call] = field(default_factory=list)
    """But those of a loader hook by another: test_dataloader may be what predict_dataloader
    returns."""
    moved: dict[str, set[str]] = field(default_factory=dict)
    """By hook: the global generators that it uses or seeds."""
    steady: str = ""
    """If any, a seed: each hook draws from generators that start from it and are put back."""
    _inside: list[str] = field(default_factory=list)

    def called(self, name: str, hook: Callable[[], Any]) -> Any:
        """What `hook` returns, its call noted."""
        self.note(name)
        return self.watch(name, hook)

    def watch(self, name: str, hook: Callable[[], Any]) -> Any:
        """What `hook` returns."""
        seed = f"{self.steady} {name}"
        steadily = generators.seeded(seed) if self.steady else contextlib.nullcontext()
        before = generators.digests()
        self._inside.append(name)
        try:
            with steadily:
                return hook()
        finally:
            self._inside.pop()
            if moved := generators.moved(before):
                self.moved.setdefault(name, set()).update(moved)

    @property
    def is_inside(self) -> bool:
        """Whether a hook is at work."""
        return bool(self._inside)

    def note(self, name: str, *arguments: Any) -> None:
        """That `name` is called."""
        within = self._inside[-1].endswith(LOADER) if self._inside else False
        if not (within and name.endswith(LOADER)):
            self.calls.append((name, *arguments))


def with_call_log(kind: type[LightningDataModule], log: CallLog) -> type[Any]:
    """`kind` with each of its hooks noting its calls in `log` before it does its work.

    Loaders that `kind` lacks stay as they are: Lightning asks for those that are overridden.
    """
    names = [name for name in HOOKS if has(kind, name) or not name.endswith(LOADER)]
    hooks = {name: _recorded(kind, name, log) for name in names}
    return type(kind.__name__, (kind,), {"__module__": kind.__module__, **hooks})


def has(data: Any, hook: str) -> bool:
    """Whether a DataModule, or its class, has a `hook` of its own."""
    package = package_of(data if isinstance(data, type) else type(data))
    assert package is not None
    found = getattr(data, hook, None)
    inherited = getattr(package.LightningDataModule, hook)
    return getattr(found, "__func__", found) not in (None, inherited)


def _recorded(kind: type[LightningDataModule], name: str, log: CallLog) -> Callable[..., Any]:
    hook = getattr(kind, name)

    # Not functools.wraps: Lightning looks through it and would find the hook not overridden.
    def recorded(self: LightningDataModule, *arguments: Any, **named: Any) -> Any:
        plain = [value for value in (*arguments, *named.values()) if isinstance(value, (str, int))]
        log.note(name, *(getattr(value, "value", value) for value in plain))
        if name in BATCH and not log.steady:  # of a batch; its draws are judged with its samples
            return hook(self, *arguments, **named)
        return log.watch(name, lambda: hook(self, *arguments, **named))

    return recorded
