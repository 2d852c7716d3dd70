"""Environment and arguments of git commands, and safe extraction of git's archives."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from benchmark.common import git

SETTINGS = {"GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT"}
"""Variables in git's list that contain settings and do not name a repository."""

OPTIONS = ("--output=x", "-h", "-ox", "--upload-pack=touch x", "--remote=.", "--exec=touch x", "--")
"""Texts that git would read as options, not as a revision."""


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


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "member",
    [
        tarfile.TarInfo("../outside"),
        tarfile.TarInfo("reports/../../outside"),
        link("reports/x", "/etc/hostname"),
        link("reports/x", "../../outside"),
        link("reports/x", "../outside", tarfile.LNKTYPE),
        link("reports/x", "", tarfile.FIFOTYPE),
        link("reports/x", "", tarfile.CHRTYPE),
    ],
)
def test_an_archive_cannot_leave_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: tarfile.TarInfo
) -> None:
    """git writes only the links among these members; a program in its place might write all."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as file:
        file.addfile(member)
    monkeypatch.setattr(git, "run", lambda *command: answer(command, archive.getvalue()))
    (tmp_path / "folder").mkdir()
    (tmp_path / "outside").write_text("kept")
    with pytest.raises(ValueError, match=r"reports/x|outside") as refused:
        git.unpack("HEAD", ["reports"], tmp_path / "folder")
    assert str(refused.value).isprintable()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "outside"]
    assert (tmp_path / "outside").read_text() == "kept"
    assert not [path for path in (tmp_path / "folder").rglob("*") if path.is_symlink()]


def answer(command: tuple[str, ...], output: bytes) -> "subprocess.CompletedProcess[bytes]":
    """Return the result of a git command that wrote `output` to stdout."""
    return subprocess.CompletedProcess(command, 0, stdout=output)


def test_an_archive_that_is_none_is_one_line(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(git, "run", lambda *command: answer(command, b"no archive"))
    with pytest.raises(ValueError, match="truncated header") as refused:
        git.unpack("HEAD", ["reports"], tmp_path)
    assert str(refused.value).isprintable()
