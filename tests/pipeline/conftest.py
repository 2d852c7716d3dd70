"""What the tests of stages share: a repository with this pipeline, and made-up reports."""

import contextlib
import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import dvc.stage.run
import pytest
import yaml
from dvc.repo import Repo
from dvc.stage import PipelineStage
from dvc.utils.serialize import _yaml

from benchmark.common import code
from tests.support import stand_in
from tests.support.forked_python import python
from tests.support.pages import drawn_pages, pages
from tests.support.repository import make_repository, set_parameters, write_python

__all__ = ["drawn_pages", "pages"]
ALWAYS = {"dataset", "environment", "code"}
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
def quick_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes DVC read and write dvc.lock in C: its YAML in Python takes most of the time."""

    def dump(data: Any, stream: TextIO) -> None:
        yaml.dump(json.loads(json.dumps(data)), stream, yaml.CSafeDumper, sort_keys=False)

    def load(text: str, *_: Any, **__: Any) -> Any:
        return yaml.load(text, yaml.CSafeLoader)

    monkeypatch.setattr(_yaml, "parse_yaml", load)
    monkeypatch.setattr(_yaml, "_dump", dump)


@pytest.fixture
def rerun(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], set[str]]:
    """Runs the pipeline in this process, with stand-ins for all stages but `code`; returns the
    stages that ran."""
    set_parameters(repository, accelerators=["cpu"], seeds=[8], controls=["cpu"])
    (repository / "reports/machines").mkdir(parents=True)
    monkeypatch.setattr(code, "ROOT", repository)
    monkeypatch.chdir(repository)
    commands: set[str] = set()

    def run_stage(stage: PipelineStage, **_: Any) -> None:
        arguments = shlex.split(stage.cmd)[3:]
        with contextlib.chdir(stage.wdir):
            stand_in.main(arguments)
        commands.add(" ".join(arguments))

    def run() -> set[str]:
        commands.clear()
        with Repo() as opened:
            opened.reproduce()
        return commands - ALWAYS

    monkeypatch.setattr(dvc.stage.run, "cmd_run", run_stage)
    return run
