"""The rules without a session of pytest's: what `check` does."""

import inspect
import pickle
import sys
import warnings
from collections.abc import Callable
from importlib.machinery import PathFinder
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning import LightningDataModule

from datamodule_conformance.acknowledged import Deviations
from datamodule_conformance.observations import Observations, require
from datamodule_conformance.packages import package_of
from datamodule_conformance.report import counted
from datamodule_conformance.rules import BrokenRule, judged_tests
from datamodule_conformance.source import DataModuleSource, SourceError
from datamodule_conformance.verdicts import Outcome, Verdict, verdict_of

SEED = "seed"
"""An argument that the rules choose."""
CLASS = "Give its class and arguments: check(MyDataModule, key=value)."


class NotConforming(AssertionError):
    """Rules are broken: which ones, and what each says."""


def judge(source: DataModuleSource) -> None:
    """Raise what is broken.

    Raises:
        NotConforming: a rule is, and the project does not acknowledge it.
        SourceError: there is no DataModule to judge.
    """
    __tracebackhide__ = True
    deviations = Deviations.load(source.path, Path.cwd())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a project's tests may make errors of them
        source.make(0)
        observations = Observations(source)
        verdicts = [deviations.applied(_verdict(test, observations)) for test in judged_tests()]
    broken = [str(verdict) for verdict in verdicts if verdict.outcome is Outcome.BROKEN]
    if broken:
        raise NotConforming("\n".join(["", *broken, f"{source}: {counted(verdicts)}"]))


def source_of(datamodule: Any, arguments: dict[str, Any]) -> DataModuleSource:
    """How new ones are made of what `check` is given.

    Raises:
        SourceError: they can't be.
    """
    if package_of(type(datamodule)):
        if arguments:
            raise SourceError(f"{type(datamodule).__name__}(...) is made already. {CLASS}")
        arguments = _kept(datamodule)
        datamodule = type(datamodule)
    if not callable(datamodule):
        kind = type(datamodule).__name__
        raise SourceError(f"check takes a LightningDataModule, not a {kind}. {CLASS}")
    path = _path(datamodule)
    try:
        pickle.dumps(arguments)
    except Exception as error:
        raise SourceError(
            f"An argument of {path} can't be sent to another process: {error}. "
            "Give a function of a module that makes the DataModule instead."
        ) from error
    return DataModuleSource(path, tuple(arguments.items()))


def _verdict(test: Callable[..., None], observations: Observations) -> Verdict:
    rule = test.rule  # type: ignore[attr-defined]
    try:
        require(test, observations)
        test(observations)
    except (BrokenRule, pytest.skip.Exception) as raised:
        return verdict_of(rule, raised)
    return verdict_of(rule, None)


def _kept(data: LightningDataModule) -> dict[str, Any]:
    """The arguments that an object was made with."""
    kind, kept = type(data), dict(data.hparams_initial)
    parameters = inspect.signature(kind).parameters.values()
    any_name = any(p.kind is p.VAR_KEYWORD for p in parameters)
    several = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    names = [p.name for p in parameters if p.kind not in several and p.name != SEED]
    if missing := [f'"{name}"' for name in names if name not in kept]:
        raise SourceError(
            f"{kind.__name__}(...) does not say with which {', '.join(missing)} it was made. "
            f"{CLASS} Or call self.save_hyperparameters() in its __init__."
        )
    kept.pop(SEED, None)
    return kept if any_name else {name: kept[name] for name in names}


def _path(target: Callable[..., Any]) -> str:
    """ "module:name", by which another process finds the same."""
    name = getattr(target, "__qualname__", repr(target))
    module = getattr(target, "__module__", None) or "__main__"
    if _imported(module, name) is not target:
        raise SourceError(
            f"{module}:{name} can't be imported, and other processes must: "
            "define it in a module, outside any function."
        )
    return f"{module}:{name}"


def _imported(module: str, name: str) -> Any:
    if module == "__main__" or PathFinder.find_spec(module.partition(".")[0]) is None:
        return None
    try:
        return attrgetter(name)(sys.modules[module])
    except (AttributeError, KeyError):
        return None
