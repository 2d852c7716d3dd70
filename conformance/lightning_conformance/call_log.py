"""A log of every call of a DataModule's hooks, in order."""

import contextlib
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pytorch_lightning import LightningDataModule

from lightning_conformance import generators
from lightning_conformance.source import package_of

Call = tuple[Any, ...]
"""The name of a method, then those of its arguments that are strings or integers."""

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
    """The hooks that were called, and their effect on the global generators."""

    calls: list[Call] = field(default_factory=list)
    """A loader hook that another one calls is left out: predict_dataloader may return
    test_dataloader()."""
    generators: dict[str, set[str]] = field(default_factory=dict)
    """By hook: names of the global generators from which it drew, or which it seeded."""
    seed: str = ""
    """If not empty: while a hook runs, the global generators are seeded from this text."""
    running: list[str] = field(default_factory=list)
    """Names of the hooks that are running now, the innermost last."""

    def call(self, name: str, hook: Callable[[], Any]) -> Any:
        """Log a call without arguments, then call `hook` and return its value."""
        self.log(name)
        return self.run(name, hook)

    def run(self, name: str, hook: Callable[[], Any]) -> Any:
        """Call `hook` and return its value.

        Adds the global generators whose state changed to `generators`.
        """
        seed = f"{self.seed} {name}"
        context = generators.seed_temporarily(seed) if self.seed else contextlib.nullcontext()
        before = generators.state_digests()
        self.running.append(name)
        try:
            with context:
                return hook()
        finally:
            self.running.pop()
            if names := generators.changed_names(before, generators.state_digests()):
                self.generators.setdefault(name, set()).update(names)

    def run_within_a_hook(self, function: Callable[[], Any]) -> Any:
        """Call `function` and return its value, but only while a hook runs."""
        return function() if self.running else None

    def log(self, name: str, *arguments: Any) -> None:
        """Append a call to the log."""
        in_loader_hook = self.running[-1].endswith(LOADER) if self.running else False
        if not (in_loader_hook and name.endswith(LOADER)):
            self.calls.append((name, *arguments))


def with_call_log(kind: type[LightningDataModule], log: CallLog) -> type[Any]:
    """Return a subclass of `kind` whose hooks log their calls in `log` before they run.

    Loader hooks that `kind` does not override stay as they are: Lightning calls only overridden
    ones.
    """
    names = [name for name in HOOKS if overrides(kind, name) or not name.endswith(LOADER)]
    hooks = {name: _logged(kind, name, log) for name in names}
    return type(kind.__name__, (kind,), {"__module__": kind.__module__, **hooks})


def overrides(data: Any, hook: str) -> bool:
    """Return whether a DataModule, or a class of DataModules, overrides `hook`."""
    package = package_of(data if isinstance(data, type) else type(data))
    assert package is not None
    method = getattr(data, hook, None)
    inherited = getattr(package.LightningDataModule, hook)
    return getattr(method, "__func__", method) not in (None, inherited)


def _logged(kind: type[LightningDataModule], name: str, log: CallLog) -> Callable[..., Any]:
    """Return a method that logs the call in `log`, then calls the hook `name` of `kind`."""
    hook = getattr(kind, name)

    # Without functools.wraps: Lightning unwraps hooks, and would take this one for its own.
    def logged(self: LightningDataModule, *arguments: Any, **named: Any) -> Any:
        plain = [value for value in (*arguments, *named.values()) if isinstance(value, (str, int))]
        log.log(name, *(getattr(value, "value", value) for value in plain))
        if name in BATCH and not log.seed:  # its draws are judged with the samples of the batch
            return hook(self, *arguments, **named)
        # No lambda: the traceback of an error would keep its closure, and so the DataModule, alive.
        return log.run(name, functools.partial(hook, self, *arguments, **named))

    return logged
