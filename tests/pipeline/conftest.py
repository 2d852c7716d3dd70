"""What the tests of stages share: a repository with this pipeline, and made-up reports."""

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.repo import Repo

from tests.support.forked_python import python
from tests.support.pages import drawn_pages, pages
from tests.support.repository import (
    make_repository,
    replace_python,
    set_parameters,
    write_python,
)

__all__ = ["drawn_pages", "pages"]
ALWAYS = {"dataset", "environment cpu"}
"""Stages that run each time."""


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository with this pipeline and a small dataset."""
    root = make_repository(tmp_path_factory.mktemp("pipeline") / "template")
    write_python(root, f'exec {shlex.quote(python())} "$@"\n')
    return root


@pytest.fixture
def repository(template: Path, tmp_path: Path) -> Path:
    """A copy of the template, for one test to change."""
    return Path(shutil.copytree(template, tmp_path / "repository", symlinks=True))


@pytest.fixture
def rerun(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], set[str]]:
    """Runs the pipeline with stand-ins for the stages that compute; returns the stages that ran."""
    set_parameters(repository, accelerators=["cpu"], seeds=[8], controls=["cpu"])
    replace_python(repository, "tests.support.stand_in", python())
    monkeypatch.setenv("PYTHONPATH", str(repository))
    monkeypatch.chdir(repository)

    def run() -> set[str]:
        Path("ran").unlink(missing_ok=True)
        with Repo() as opened:
            opened.reproduce()
        return set(Path("ran").read_text().splitlines()) - ALWAYS

    return run
