"""Run git, and DVC, which runs git, on the repository of the current directory.

git sets variables for its hooks. A command that a hook starts in another directory would act on
the hook's repository.
"""

import os
import subprocess
import tarfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

REPOSITORY_VARIABLES = frozenset({
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_DIR", "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
})  # fmt: skip
"""`git rev-parse --local-env-vars` and two more, without settings: GIT_CONFIG_COUNT may set a
container's safe.directory."""


def environment() -> dict[str, str]:
    """Return this process's variables without REPOSITORY_VARIABLES."""
    return {name: text for name, text in os.environ.items() if name not in REPOSITORY_VARIABLES}


def run(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """Run git in the current directory and return its status and output.

    Raises:
        FileNotFoundError: git is not installed.
    """
    return subprocess.run(["git", *arguments], env=environment(), capture_output=True)


def unpack(revision: str, paths: Sequence[str], folder: Path) -> None:
    """Extract `paths` of a revision into `folder`, and nothing outside it.

    Raises:
        FileNotFoundError: git is not installed.
        ValueError: git's own reason, or a link that leaves the folder.
    """
    # The revision must not be an option: `git archive --remote --exec` would run a program.
    commit = _output("rev-parse", "--verify", "--end-of-options", revision).decode().strip()
    try:
        with tarfile.open(fileobj=BytesIO(_output("archive", commit, *paths))) as archive:
            archive.extractall(folder, filter="data")
    except tarfile.TarError as error:
        raise ValueError(" ".join(str(error).split())) from None


def _output(*arguments: str) -> bytes:
    done = run(*arguments)
    if done.returncode:
        raise ValueError(" ".join(done.stderr.decode(errors="replace").split()))
    return done.stdout
