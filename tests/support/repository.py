"""A git repository with this pipeline over a small dataset of its own."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests import PARAMETERS, REPOSITORY
from tests.support.fixtures import write_images


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


def replace_python(root: Path, module: str, program: str = sys.executable) -> None:
    """From now on the pipeline's commands are those of another module than `benchmark`, and run by
    another program than Python itself if one is given."""
    shutil.copytree(REPOSITORY / "tests", root / "tests", ignore=shutil.ignore_patterns("golden"))
    (root / "reports/machines").mkdir(parents=True)
    write_python(root, f'shift 2\nexec {shlex.quote(program)} -m {module} "$@"\n')


def write_python(root: Path, script: str) -> None:
    """From now on the pipeline's Python is a script of the shell."""
    own = root / ".venv"
    own.unlink() if own.is_symlink() else shutil.rmtree(own)
    program = own / "bin/python"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o755)
