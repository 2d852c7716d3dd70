"""A git repository with this pipeline over a small dataset of its own."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests import PARAMETERS, REPOSITORY
from tests.conftest import write_images


def make_repository(root: Path) -> Path:
    """The repository at `root`; its images and weights are pinned and in its remote."""
    root.mkdir()
    subprocess.run(["git", "init", "--quiet", root], check=True)
    for path in (REPOSITORY / "dvc.yaml", PARAMETERS, REPOSITORY / ".dvcignore"):
        shutil.copy(path, root)
    shutil.copytree(REPOSITORY / "benchmark", root / "benchmark")
    (root / ".venv").symlink_to(sys.prefix)
    (root / ".dvc").mkdir()
    shutil.copy(REPOSITORY / ".dvc/config", root / ".dvc")
    write_images(root / "data")
    (root / "weights").mkdir()
    (root / "weights/source.safetensors").write_bytes(b"weights")
    (root / "weights/source.json").write_text('{"seed": 7}')
    for command in (["add", "--quiet", "data", "weights"], ["push", "--quiet"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=root, check=True)
    return root


def replace_python(root: Path, module: str) -> None:
    """From now on the pipeline's commands are those of another module than `benchmark`."""
    shutil.copytree(REPOSITORY / "tests", root / "tests", ignore=shutil.ignore_patterns("golden"))
    (root / "reports/machines").mkdir(parents=True)
    (root / ".venv").unlink()
    stand_in = root / ".venv/bin/python"
    stand_in.parent.mkdir(parents=True)
    script = f'#!/bin/sh\nshift 2\nexec {shlex.quote(sys.executable)} -m {module} "$@"\n'
    stand_in.write_text(script)
    stand_in.chmod(0o755)
