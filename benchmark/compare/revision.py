"""A revision's code, in a directory of its own for as long as it is needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.common import git
from benchmark.common.parameters import PARAMETERS_FILE
from benchmark.common.temporary import temporary_directory
from benchmark.errors.user_error import UserError

WORKING_TREE = "."


@contextmanager
def code_of(name: str) -> Iterator[Path]:
    """The directory that holds `benchmark` and params.yaml as `name` has them: a git revision, or
    "." for what stands here. Nothing is written to the repository.

    Raises:
        UserError: git has no such revision; with git's own reason.
    """
    if name == WORKING_TREE:
        yield Path.cwd()
        return
    with temporary_directory() as folder:
        _unpack(name, folder)
        yield folder


def _unpack(name: str, folder: Path) -> None:
    try:
        git.unpack(name, ["benchmark", str(PARAMETERS_FILE)], folder)
    except FileNotFoundError:
        raise UserError(f"{name!r} needs git, which is not installed.", "Install it.") from None
    except ValueError as error:
        what = f"{name!r} is no git revision of this suite ({error})."
        raise UserError(what, "Name another.") from None
