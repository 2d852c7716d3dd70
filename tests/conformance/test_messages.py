"""The message of a broken rule names the error and the place in the user's code."""

import functools
import json
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader

from lightning_conformance.call_log import CallLog, with_call_log
from lightning_conformance.messages import describe_error
from lightning_conformance.probe import probe_for
from lightning_conformance.scenario import make_trainer
from tests.conformance.datamodules.broken import SetupWithoutStage


def message(function: Callable[[], Any]) -> str:
    """Return the message for the exception that `function` raises."""
    try:
        function()
    except Exception as error:
        # Without the frame of this function, which is not part of the user's code.
        traceback = error.__traceback__ and error.__traceback__.tb_next
        return describe_error(error.with_traceback(traceback))
    raise AssertionError("no exception")


def place(function: Callable[..., Any]) -> str:
    """Return the place of a function's first line as a message names it."""
    code = function.__code__
    return f"({code.co_name} in {__file__}:{code.co_firstlineno + 1})"


def parse() -> None:
    json.loads("{")


def load() -> None:
    DataLoader([], batch_size=-1)


def test_the_place_is_in_the_users_code_whichever_library_raises() -> None:
    text = "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
    assert message(parse) == f"JSONDecodeError: {text} {place(parse)}"
    assert message(load).endswith(place(load))


def test_an_installed_datamodule_is_named_and_not_the_package_that_it_calls() -> None:
    code = "def parse(called):\n    called()\n"
    first, other = ({"__name__": name} for name in ("theirs.data", "numbers_.core"))
    for names in (first, other):
        path = f"/venv/site-packages/{names['__name__'].replace('.', '/')}.py"
        exec(compile(code, path, "exec"), names)
    failing = functools.partial(first["parse"], functools.partial(other["parse"], None))
    assert message(failing) == (
        "TypeError: 'NoneType' object is not callable "
        "(parse in /venv/site-packages/theirs/data.py:2)"
    )


def test_no_place_is_named_if_only_the_kit_and_lightning_were_running() -> None:
    data = with_call_log(SetupWithoutStage, CallLog())("folder")
    assert message(functools.partial(data.setup, stage="fit")) == (
        "TypeError: SetupWithoutStage.setup() got an unexpected keyword argument 'stage'"
    )


def test_an_error_in_a_worker_is_its_last_line() -> None:
    try:
        raise OSError("no disk")
    except OSError:
        sent = ExceptionWrapper(where="in DataLoader worker process 0")
    assert message(sent.reraise) == "OSError: no disk"


def test_an_error_of_many_lines_is_its_first() -> None:
    def fail() -> None:
        raise ValueError("no such file\n\n  1) look for it\n  2) ask")

    assert message(fail) == f"ValueError: no such file {place(fail)}"


class Loader(DataLoader[Any]):
    def __init__(self, dataset: Any, size: int, **options: Any) -> None:
        super().__init__(dataset, size, **options)


class Positional(pl.LightningDataModule):
    def predict_dataloader(self) -> Any:
        return Loader(torch.zeros(2, 3), 1)


def test_lightnings_message_about_a_batch_size_by_position_is_translated() -> None:
    trainer = make_trainer(logger=False, enable_progress_bar=False, enable_model_summary=False)
    text = message(functools.partial(trainer.predict, probe_for(pl), datamodule=Positional()))
    assert "Loader passes batch_size on by position" in text
    assert "pass batch_size by keyword: Lightning re-creates the loader for predict" in text
    assert "implementation has an error" not in text
