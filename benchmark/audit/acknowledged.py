"""Read the list of problems that stay on purpose: `<dataset>.known.yaml`, next to the dataset.

An entry gives the reason:

    - {kind: animated image, path: train/monarch/7.webp, reason: the first frame shows it well}
"""

from pathlib import Path

from pydantic import Field, TypeAdapter, ValidationError

from benchmark.audit.problems import KINDS
from benchmark.common.files import read_yaml
from benchmark.common.results import ResultModel, complaint
from benchmark.data.folder import Problem
from benchmark.errors.user_error import UserError


class AcknowledgedProblem(ResultModel):
    """One entry of the list."""

    kind: str
    """A key of KINDS."""
    path: str
    """Path relative to the dataset."""
    reason: str = Field(min_length=1)
    """Why the problem stays."""


LIST = TypeAdapter(list[AcknowledgedProblem])


def list_path(root: Path) -> Path:
    """Return the path of the list for the dataset `root`; the file need not exist."""
    named = root if root.name.strip(".") else root.resolve()  # "." and ".." are not names
    return Path(f"{named}.known.yaml")


def split(problems: list[Problem], root: Path) -> tuple[list[Problem], list[Problem]]:
    """Split `problems` into those not on the list of the dataset `root`, and those on it.

    Raises:
        UserError: the list is not valid, or names a problem that is not among `problems`.
    """
    path = list_path(root)
    listed = {(entry.kind, entry.path) for entry in _read(path)} if path.is_file() else set()
    stale = listed - {(problem.kind, problem.path) for problem in problems}
    for kind, name in sorted(stale):
        raise UserError(f"{path} lists {name}: {kind}, which does not exist.", "Remove that line.")
    remaining = [problem for problem in problems if (problem.kind, problem.path) not in listed]
    return remaining, [problem for problem in problems if (problem.kind, problem.path) in listed]


def _read(path: Path) -> list[AcknowledgedProblem]:
    try:
        entries = LIST.validate_python(read_yaml(path))
    except ValidationError as error:
        raise UserError(
            f"{path} is not a list of problems: {complaint(error)}.",
            "Write a list of {kind: ..., path: ..., reason: ...}.",
        ) from None
    for entry in entries:
        if entry.kind not in KINDS:
            raise UserError(
                f"{path}: unknown kind of problem {entry.kind!r}.", f"Kinds: {', '.join(KINDS)}."
            )
    return entries
