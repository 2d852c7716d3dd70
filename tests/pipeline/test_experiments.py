"""Experiments of DVC: `make experiment` and `dvc exp apply`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import REPOSITORY
from tests.support.repository import dvc


def commit(repository: Path) -> None:
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b.invalid"]
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "everything"], check=True)


def test_an_experiment_that_fails_leaves_the_parameters_alone(repository: Path) -> None:
    shutil.copy(REPOSITORY / "Makefile", repository)
    commit(repository)
    before = (repository / "params.yaml").read_bytes()
    command = ["make", "-o", "setup", "experiment", "S=train.max_epochs=0 controls=[]"]
    path = os.pathsep.join([f"{sys.prefix}/bin", os.environ["PATH"]])  # with DVC
    done = subprocess.run(
        command, cwd=repository, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "train.max_epochs = 0: input should be greater" in done.stderr
    assert (repository / "params.yaml").read_bytes() == before


@pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # DVC's own use of pygtrie
def test_an_experiment_is_applied_with_its_model(
    repository: Path, rerun: Callable[[], set[str]]
) -> None:
    """It ran in another directory. The new reports must not be next to the old model."""
    (repository / ".gitignore").write_text("/.venv\n/models\n/data\n/weights\n/ran\n")
    Path("reports/machines/.gitkeep").touch()
    rerun()
    commit(repository)
    result, model = Path("reports/train/cpu/own.json"), Path("models/cpu/own/weights")
    before = result.read_text()
    change = ["-S", "train.learning_rate=0.5"]
    done = dvc(repository, "exp", "run", "--temp", "-n", "try", *change)
    assert done.returncode == 0, done.stderr
    assert result.read_text() == model.read_text() == before
    assert dvc(repository, "exp", "apply", "try").returncode == 0
    assert result.read_text() == model.read_text() != before
