"""Which variables git and DVC get: the directory says which repository is meant."""

import os
import subprocess

import pytest

from benchmark.common import git

SETTINGS = {"GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT"}
"""Of git's own list, those that hold settings and name no repository."""


def test_every_variable_that_names_a_repository_is_known() -> None:
    command = ["git", "rev-parse", "--local-env-vars"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "GIT_DIR" in listed
    assert set(listed) - SETTINGS <= git.REPOSITORY_VARIABLES


def test_all_but_these_variables_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -v")
    before = dict(os.environ)
    for name in git.REPOSITORY_VARIABLES:
        monkeypatch.setenv(name, "elsewhere")
    assert git.environment() == before
