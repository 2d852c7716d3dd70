"""A log of every call of a DataModule's public methods, in order, extra ones included."""

import inspect
from collections.abc import Callable
from typing import Any

from pytorch_lightning import LightningDataModule

from datamodule_conformance.packages import package_of

Call = tuple[Any, ...]
"""The name of a method and those of its arguments that are texts or whole numbers."""

NOT_HOOKS = {"load_from_checkpoint", "remove_ignored_hparams", "save_hyperparameters"}
HOOKS = sorted(
    name
    for name, _ in inspect.getmembers(LightningDataModule, inspect.isfunction)
    if not name.startswith("_") and name not in NOT_HOOKS
)


def with_call_log(kind: type[LightningDataModule], calls: list[Call]) -> type[Any]:
    """`kind` with each of its hooks recording its calls in `calls` before it does its work.

    Loaders that `kind` lacks stay as they are: Lightning asks for those that are overridden.
    """
    names = [name for name in HOOKS if has(kind, name) or not name.endswith("_dataloader")]
    hooks = {name: _recorded(kind, name, calls) for name in names}
    return type(kind.__name__, (kind,), {"__module__": kind.__module__, **hooks})


def has(kind: type[LightningDataModule], hook: str) -> bool:
    """Whether `kind` has a `hook` of its own."""
    package = package_of(kind)
    assert package is not None
    return getattr(kind, hook) is not getattr(package.LightningDataModule, hook)


def _recorded(kind: type[LightningDataModule], name: str, calls: list[Call]) -> Callable[..., Any]:
    hook = getattr(kind, name)

    # Not functools.wraps: Lightning looks through it and would find the hook not overridden.
    def recorded(self: LightningDataModule, *arguments: Any, **named: Any) -> Any:
        plain = [value for value in (*arguments, *named.values()) if isinstance(value, (str, int))]
        calls.append((name, *(getattr(value, "value", value) for value in plain)))
        return hook(self, *arguments, **named)

    return recorded
