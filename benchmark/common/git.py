"""The variables for git, and for DVC, which asks git: the directory alone says which repository.

git sets some for its hooks. What a hook starts in another directory would act on the repository of
the hook.
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
"""`git rev-parse --local-env-vars` without the settings (GIT_CONFIG_COUNT: a container's
safe.directory), and two that it leaves out."""


def environment() -> dict[str, str]:
    """This process's variables without REPOSITORY_VARIABLES."""
    return {name: text for name, text in os.environ.items() if name not in REPOSITORY_VARIABLES}


def run(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """What git says of the repository here.

    Raises:
        FileNotFoundError: git is not installed.
    """
    return subprocess.run(["git", *arguments], env=environment(), capture_output=True)


def unpack(revision: str, paths: Sequence[str], folder: Path) -> None:
    """Put what a revision holds below `paths` into `folder`, and nothing outside it.

    Raises:
        FileNotFoundError: git is not installed.
        ValueError: git's own reason, or that a link leaves the folder.
    """
    # The name is given to git as no option: `git archive --remote --exec` would run a program.
    commit = _said("rev-parse", "--verify", "--end-of-options", revision).decode().strip()
    try:
        with tarfile.open(fileobj=BytesIO(_said("archive", commit, *paths))) as archive:
            archive.extractall(folder, filter="data")
    except tarfile.TarError as error:
        raise ValueError(" ".join(str(error).split())) from None


def _said(*arguments: str) -> bytes:
    done = run(*arguments)
    if done.returncode:
        raise ValueError(" ".join(done.stderr.decode(errors="replace").split()))
    return done.stdout
