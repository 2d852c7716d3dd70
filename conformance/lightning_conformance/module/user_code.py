"""User code: which line of the module under test calls the operator that runs now."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch

from lightning_conformance.messages import FRAMEWORK

KIT = "lightning_conformance"
STEPS = f"{KIT}.module.device_run"
"""The module of the kit that calls the Trainer: frames outside of it are not the module's."""
TORCH = str(Path(torch.__file__).parent)
WRAPPERS = tuple(
    f"{TORCH}/{name}" for name in (
        "_tensor.py", "functional.py", "nn/functional.py", "overrides.py", "_jit_internal.py",
        "_ops.py", "utils/",
    )
)  # fmt: skip
"""Files of torch whose functions only pass a call on to an operator."""


@dataclass(frozen=True, order=True)
class Place:
    """A line of code."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.function} in {self.file}:{self.line}"


@dataclass(frozen=True)
class UserCode:
    """The code of the module under test, as opposed to that of installed packages."""

    package: str
    """The top-level package of the module. It may be an installed one."""

    def nearest_line(self) -> Place | None:
        """Return the innermost line of user code that is running, or None."""
        return next((_place(frame) for frame in _frames() if self._contains(frame)), None)

    def calling_line(self) -> Place | None:
        """Return the line of user code that calls the running operator itself, or None.

        The operators that an installed package calls are that package's, except torch's wrappers.
        """
        for frame in _frames():
            if self._contains(frame):
                return _place(frame)
            if not _passes_on(frame):
                return None
        return None

    def _contains(self, frame: FrameType) -> bool:
        package, file = _package(frame), frame.f_code.co_filename
        if package in FRAMEWORK or file.startswith("<"):
            return False
        return package == self.package or "site-packages" not in file


def _frames() -> Iterator[FrameType]:
    """Yield the running frames, the innermost first, up to the call of the Trainer."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") != STEPS:
        yield frame
        frame = frame.f_back


def _passes_on(frame: FrameType) -> bool:
    """Return whether the frame's function only passes a call on to an operator."""
    package = _package(frame)
    if package == "torch":
        return frame.f_code.co_filename.startswith(WRAPPERS)
    return package == KIT or package in sys.stdlib_module_names


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _place(frame: FrameType) -> Place:
    return Place(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
