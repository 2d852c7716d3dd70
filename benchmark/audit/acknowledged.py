"""Problems that are known and stay: `<dataset>.known.yaml`, beside the dataset.

A list of what is acknowledged, each with the reason:

    - {kind: animated image, path: train/monarch/7.webp, reason: the first frame shows it well}
"""

from pathlib import Path

from pydantic import Field, TypeAdapter, ValidationError

from benchmark.audit.problems import KINDS, Problem
from benchmark.common import yaml_file
from benchmark.common.results import ResultModel, complaint
from benchmark.errors.user_error import UserError


class Acknowledged(ResultModel):
    """One problem that is known."""

    kind: str
    """Of KINDS."""
    path: str
    """Relative to the dataset."""
    reason: str = Field(min_length=1)
    """Why it stays."""


LIST = TypeAdapter(list[Acknowledged])


def place(root: Path) -> Path:
    """Where those of the dataset `root` are listed; `.` and `..` are no names."""
    named = root if root.name.strip(".") else root.resolve()
    return Path(f"{named}.known.yaml")


def split(problems: list[Problem], root: Path) -> tuple[list[Problem], list[Problem]]:
    """Problems that are new, and those that are acknowledged.

    Raises:
        UserError: the list is wrong, or names a problem that is no longer there.
    """
    path = place(root)
    listed = {(each.kind, each.path) for each in _read(path)} if path.is_file() else set()
    there = {(problem.kind, problem.path) for problem in problems}
    for kind, name in sorted(listed - there):
        raise UserError(f"{path} lists {name}: {kind}, which is not there.", "Remove that line.")
    known = [problem for problem in problems if (problem.kind, problem.path) in listed]
    return [problem for problem in problems if (problem.kind, problem.path) not in listed], known


def _read(path: Path) -> list[Acknowledged]:
    remedy = "Write a list of {kind: ..., path: ..., reason: ...}."
    try:
        found = LIST.validate_python(yaml_file.read(path))
    except ValidationError as error:
        raise UserError(f"{path} is no such list: {complaint(error)}.", remedy) from None
    for each in found:
        if each.kind not in KINDS:
            raise UserError(
                f"{path}: there is no problem {each.kind!r}.", f"Kinds: {', '.join(KINDS)}."
            )
    return found
