"""What git gets of what surrounds it and of what users write, and what is unpacked of what it
gives."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from benchmark.common import git

SETTINGS = {"GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT"}
"""Of git's own list, those that hold settings and name no repository."""

OPTIONS = ("--output=x", "-h", "-ox", "--upload-pack=touch x", "--remote=.", "--exec=touch x", "--")
"""What git would take for no revision."""


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
        tarfile.TarInfo("../beside"),
        tarfile.TarInfo("reports/../../beside"),
        link("reports/x", "/etc/hostname"),
        link("reports/x", "../../beside"),
        link("reports/x", "../beside", tarfile.LNKTYPE),
        link("reports/x", "", tarfile.FIFOTYPE),
        link("reports/x", "", tarfile.CHRTYPE),
    ],
)
def test_an_archive_cannot_leave_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: tarfile.TarInfo
) -> None:
    """git writes none like these but for links; whoever replaces git might."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as file:
        file.addfile(member)
    monkeypatch.setattr(git, "run", lambda *command: answer(command, archive.getvalue()))
    (tmp_path / "folder").mkdir()
    (tmp_path / "beside").write_text("kept")
    with pytest.raises(ValueError, match=r"reports/x|beside") as refused:
        git.unpack("HEAD", ["reports"], tmp_path / "folder")
    assert str(refused.value).isprintable()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beside", "folder"]
    assert (tmp_path / "beside").read_text() == "kept"
    assert not [path for path in (tmp_path / "folder").rglob("*") if path.is_symlink()]


def answer(command: tuple[str, ...], output: bytes) -> "subprocess.CompletedProcess[bytes]":
    """What a git that somebody replaced writes."""
    return subprocess.CompletedProcess(command, 0, stdout=output)


def test_an_archive_that_is_none_is_one_line(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(git, "run", lambda *command: answer(command, b"no archive"))
    with pytest.raises(ValueError, match="truncated header") as refused:
        git.unpack("HEAD", ["reports"], tmp_path)
    assert str(refused.value).isprintable()
