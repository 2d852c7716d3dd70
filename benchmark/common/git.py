"""Run git (and DVC, which runs git) on the repository of the current directory.

In a hook, git sets variables that name the hook's repository. With these variables, git and DVC
would use that repository, whatever the current directory is.
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
"""Variables that name a repository: those of `git rev-parse --local-env-vars`, and two more.
GIT_CONFIG_* variables are kept, since they may set a container's safe.directory."""


def environment() -> dict[str, str]:
    """Return this process's environment variables without REPOSITORY_VARIABLES."""
    return {name: text for name, text in os.environ.items() if name not in REPOSITORY_VARIABLES}


def run(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """Run git in the current directory; return its exit status, stdout and stderr.

    Raises:
        FileNotFoundError: git is not installed.
    """
    return subprocess.run(["git", *arguments], env=environment(), capture_output=True)


def unpack(revision: str, paths: Sequence[str], folder: Path) -> None:
    """Extract the files or directories `paths` of a git revision into `folder`.

    Raises:
        FileNotFoundError: git is not installed.
        ValueError: git failed (with git's message), or a link leads out of `folder`.
    """
    # The revision must not be an option: `git archive --remote --exec` would run a program.
    commit = _output("rev-parse", "--verify", "--end-of-options", revision).decode().strip()
    try:
        with tarfile.open(fileobj=BytesIO(_output("archive", commit, *paths))) as archive:
            archive.extractall(folder, filter="data")
    except tarfile.TarError as error:
        raise ValueError(" ".join(str(error).split())) from None


def _output(*arguments: str) -> bytes:
    """Run git and return its stdout; raise ValueError with its stderr if it fails."""
    done = run(*arguments)
    if done.returncode:
        raise ValueError(" ".join(done.stderr.decode(errors="replace").split()))
    return done.stdout
