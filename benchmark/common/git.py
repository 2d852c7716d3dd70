"""The variables for git, and for DVC, which asks git: the directory alone says which repository.

git sets some for its hooks. What a hook starts in another directory would act on the repository of
the hook.
"""

import os
import subprocess

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
