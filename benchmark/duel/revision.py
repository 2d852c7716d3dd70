"""A revision's code, in a directory of its own for as long as it is needed."""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from benchmark.common import git
from benchmark.common.errors import UserError
from benchmark.common.parameters import PARAMETERS_FILE
from benchmark.common.temporary import temporary_directory

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
        with tarfile.open(fileobj=BytesIO(_archive(name))) as archive:
            archive.extractall(folder, filter="data")
        yield folder


def _archive(name: str) -> bytes:
    try:
        done = git.run("archive", name, "benchmark", str(PARAMETERS_FILE))
    except FileNotFoundError:
        raise UserError(f"{name!r} needs git, which is not installed.", "Install it.") from None
    if done.returncode:
        reason = " ".join(done.stderr.decode(errors="replace").split())
        raise UserError(f"{name!r} is no git revision of this suite ({reason}).", "Name another.")
    return done.stdout
