"""Experiments of DVC: `make experiment` and `dvc exp apply`."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.repo import Repo

from tests import REPOSITORY
from tests.support.forked_python import python


def commit(repository: Path) -> None:
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b.invalid"]
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "everything"], check=True)


def test_an_experiment_that_fails_leaves_the_parameters_alone(
    repository: Path, tmp_path: Path
) -> None:
    shutil.copy(REPOSITORY / "Makefile", repository)
    commit(repository)
    before = (repository / "params.yaml").read_bytes()
    command = ["make", "-o", "setup", "experiment", "S=train.max_epochs=0 controls=[]"]
    (program := tmp_path / "dvc").write_text(f'#!/bin/sh\nexec {python()} -m dvc "$@"\n')
    program.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    # `make test LOCK=newest` passes its variables on in these two.
    environment = os.environ | {"PATH": path, "MAKEFLAGS": "", "LOCK": ""}
    done = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert "train.max_epochs = 0: input should be greater" in done.stderr
    assert (repository / "params.yaml").read_bytes() == before


@pytest.mark.usefixtures("quick_yaml")
def test_an_experiment_is_applied_with_its_model(
    repository: Path, rerun: Callable[[], set[str]]
) -> None:
    """It ran in another directory. The new reports must not be next to the old model."""
    (repository / ".gitignore").write_text("/.venv\n/models\n/data\n/weights\n")
    Path("reports/machines/.gitkeep").touch()
    rerun()
    commit(repository)
    result, model = Path("reports/train/cpu/own.json"), Path("models/cpu/own/weights")
    before = result.read_text()
    with Repo() as opened:
        opened.experiments.run(name="try", params=["train.learning_rate=0.5"], tmp_dir=True)
        assert result.read_text() == model.read_text() == before
        opened.experiments.apply("try")
    assert result.read_text() == model.read_text() != before
