"""What a broken rule says has happened, and where."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader

from datamodule_conformance.call_log import CallLog, with_call_log
from datamodule_conformance.probe import probe_for
from datamodule_conformance.rules import BrokenRule, rule
from datamodule_conformance.scenario import trainer
from tests.conformance.datamodules.broken import SetupWithoutStage


def seen(function: Callable[[], Any]) -> str:
    """What a rule says that calls `function`."""
    called = functools.update_wrapper(functools.partial(function), seen)
    with pytest.raises(BrokenRule) as caught:
        rule(why="", fix="")(called)()
    return caught.value.seen


def here(words: str, function: Callable[..., Any]) -> str:
    """Those words, said of the line in which `function` begins."""
    code = function.__code__
    return f"{words} ({code.co_name} in {__file__}:{code.co_firstlineno + 1})"


def reads() -> None:
    json.loads("{")


def loads() -> None:
    DataLoader([], batch_size=-1)


def test_the_place_is_in_the_users_code_whoever_raises() -> None:
    words = "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2"
    assert seen(reads) == here(f"{words} (char 1)", reads)
    assert seen(loads).endswith(here("", loads))


def test_an_installed_datamodule_is_named_and_not_what_it_calls(tmp_path: Path) -> None:
    """Among what pip installed, the package that is called first is the DataModule's."""
    code = "def parse(called):\n    called()\n"
    first, other = ({"__name__": name} for name in ("theirs.data", "numbers_.core"))
    for names in (first, other):
        path = f"/venv/site-packages/{names['__name__'].replace('.', '/')}.py"
        exec(compile(code, path, "exec"), names)
    failing = functools.partial(first["parse"], functools.partial(other["parse"], None))
    assert seen(failing) == (
        "TypeError: 'NoneType' object is not callable "
        "(parse in /venv/site-packages/theirs/data.py:2)"
    )


def test_no_place_is_named_where_only_the_kit_and_lightning_were() -> None:
    data = with_call_log(SetupWithoutStage, CallLog())("folder")
    words = seen(functools.partial(data.setup, stage="fit"))
    assert words == (
        "TypeError: SetupWithoutStage.setup() got an unexpected keyword argument 'stage'"
    )


def test_an_error_in_a_worker_is_its_last_line() -> None:
    try:
        raise OSError("no disk")
    except OSError:
        sent = ExceptionWrapper(where="in DataLoader worker process 0")
    assert seen(sent.reraise) == "OSError: no disk"


def test_an_error_of_many_lines_is_its_first() -> None:
    def fails() -> None:
        raise ValueError("no such file\n\n  1) look for it\n  2) ask")

    assert seen(fails) == here("ValueError: no such file", fails)


class Loader(DataLoader[Any]):
    def __init__(self, dataset: Any, size: int, **options: Any) -> None:
        super().__init__(dataset, size, **options)


class Positional(pl.LightningDataModule):
    def predict_dataloader(self) -> Any:
        return Loader(torch.zeros(2, 3), 1)


def test_a_batch_size_by_position_is_said_in_other_words_than_lightnings() -> None:
    plain = trainer(logger=False, enable_progress_bar=False, enable_model_summary=False)
    words = seen(functools.partial(plain.predict, probe_for(pl), datamodule=Positional()))
    assert "Loader passes batch_size on by position" in words
    assert "pass batch_size by keyword: Lightning re-creates the loader for predict" in words
    assert "implementation has an error" not in words
