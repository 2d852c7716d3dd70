"""The tests leave the user's repository alone, and do not read the user's settings."""

import os
import subprocess
from pathlib import Path

import pytest

from tests import REPOSITORY
from tests.conftest import SHORT, short_directory
from tests.support.forked_python import python

SETTINGS = """[commit]
    gpgSign = true
[gpg]
    program = no-such-program
[core]
    hooksPath = {hooks}
[init]
    defaultBranch = hook/branch
[user]
    useConfigOnly = true
"""


def content(root: Path) -> dict[str, bytes]:
    """Every file below `root`."""
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def decoy(tmp_path: Path) -> Path:
    """A user's repository with one commit and a staged file."""
    root = tmp_path / "decoy"
    subprocess.run(["git", "init", "--quiet", root], check=True)
    (root / "file").write_text("content")
    who = ("-c", "user.name=n", "-c", "user.email=e")
    for command in (("add", "file"), (*who, "commit", "--quiet", "-m", "m")):
        subprocess.run(["git", *command], cwd=root, check=True)
    (root / "file").write_text("staged")
    subprocess.run(["git", "add", "file"], cwd=root, check=True)
    return root


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user whose every commit is signed and goes through a hook that refuses it."""
    root = tmp_path / "home"
    hook = root / "hooks/pre-commit"
    hook.parent.mkdir(parents=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    (root / ".gitconfig").write_text(SETTINGS.format(hooks=hook.parent))
    return root


def hook_environment(decoy: Path, home: Path) -> dict[str, str]:
    """What git sets for a hook of `decoy`, for the user at `home`."""
    outer = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "XDG_CONFIG_HOME"):
        outer.pop(name, None)
    git = decoy / ".git"
    hook = {"GIT_DIR": str(git), "GIT_INDEX_FILE": str(git / "index"), "GIT_PREFIX": ""}
    return outer | hook | {"HOME": str(home), "PYTHONPATH": str(REPOSITORY)}


@pytest.mark.slow
def test_from_a_hook_the_tests_leave_its_repository_alone(decoy: Path, home: Path) -> None:
    """Run the tests that make commits, with the settings of a user who signs every commit."""
    before = content(decoy)
    command = [python(), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "tests/compare/test_recorded.py", "-k", "revision or commits"],
        cwd=REPOSITORY, env=hook_environment(decoy, home), capture_output=True, text=True,
    )  # fmt: skip
    assert content(decoy) == before
    assert done.returncode == 0, done.stdout  # pytest fails also if it selected no test


def test_what_a_test_starts_inherits_no_variable_and_no_settings_of_the_user() -> None:
    allowed = {"GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"}
    assert {name for name in os.environ if name.startswith("GIT_")} <= allowed
    paths = ("GIT_CONFIG_GLOBAL", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR",
           "DVC_SITE_CACHE_DIR")  # fmt: skip
    for name in paths:
        assert Path(os.environ[name]).is_relative_to(os.environ["TMPDIR"])


@pytest.mark.parametrize(("length", "place"), [(SHORT, None), (SHORT + 1, Path("/tmp"))])
def test_the_tests_have_room_for_sockets_of_processes_of_their_own(
    length: int, place: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests start DataLoaders and browsers, which need a short path for their sockets."""
    monkeypatch.setattr("tempfile.tempdir", "/" + "d" * (length - 1))
    assert short_directory() == place
