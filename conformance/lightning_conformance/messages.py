"""Messages: an exception in one line, with the place in the user's code that raised it."""

import contextlib
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from types import FrameType

FRAMEWORK = sys.stdlib_module_names | {
    "lightning_conformance", "lightning", "lightning_fabric", "lightning_utilities",
    "pytorch_lightning", "torch",
}  # fmt: skip
"""Packages that call DataModules, or that DataModules call. They are not the user's code."""
FROM_WORKER = "Caught "
"""Start of a message that a worker process sent. It contains the worker's complete traceback."""
TRANSLATIONS = {
    r"The (\w+) implementation has an error where more than one .*`(\w+)=\.\.\.`.*": (
        r"\1 passes \2 on by position; pass \2 by keyword: Lightning re-creates the loader for "
        "predict, and for several processes, with arguments by keyword"
    ),
}
"""By pattern of a Lightning message that does not name the mistake: a text that does."""

LOGGERS = ("lightning", "lightning_fabric", "pytorch_lightning")


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Let Lightning log only errors in the block. A Trainer logs four lines."""
    loggers = [
        logger for name, logger in logging.root.manager.loggerDict.items()
        if name.partition(".")[0] in LOGGERS and isinstance(logger, logging.Logger)
    ]  # fmt: skip
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def describe_error(error: BaseException) -> str:
    """Return the error in one line, with function, file and line of the user's code, if any."""
    lines = str(error).strip().splitlines() or ["no message"]
    if lines[0].startswith(FROM_WORKER):
        message = lines[-1]
    else:
        message = f"{type(error).__name__}: {lines[0]}"
        for pattern, meaning in TRANSLATIONS.items():
            message = re.sub(pattern, meaning, message)
    place = _place(error)
    return message if place is None else f"{message} ({place})"


def _place(error: BaseException) -> str | None:
    """Return function, file and line of the last call in the user's code, or None.

    If pip installed all of the code: of the last call in the package that Lightning called.
    """
    calls = [
        call for call in traceback.walk_tb(error.__traceback__)
        if _package(call[0]) not in FRAMEWORK
    ]  # fmt: skip
    if not calls:
        return None
    user_calls = [call for call in calls if "site-packages" not in call[0].f_code.co_filename]
    same_package = [call for call in calls if _package(call[0]) == _package(calls[0][0])]
    frame, line = (user_calls or same_package)[-1]
    return f"{frame.f_code.co_name} in {frame.f_code.co_filename}:{line}"


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
