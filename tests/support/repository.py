"""A git repository with this pipeline and a small dataset."""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from dvc.repo import Repo

from tests import PARAMETERS, REPOSITORY
from tests.support.forked_python import python


def make_repository(root: Path) -> Path:
    """Make the repository at `root`, with images and weights that are pinned and pushed."""
    # conftest.py imports this module: pytest must import the fixtures first, to rewrite them.
    from tests.support.fixtures import write_images

    root.mkdir()
    subprocess.run(["git", "init", "--quiet", root], check=True)
    for path in (REPOSITORY / "dvc.yaml", PARAMETERS, REPOSITORY / ".dvcignore"):
        shutil.copy(path, root)
    shutil.copytree(REPOSITORY / "benchmark", root / "benchmark")
    (root / ".venv").symlink_to(sys.prefix)
    (root / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(REPOSITORY / ".dvc" / name, root / ".dvc")
    write_images(root / "data")
    (root / "weights").mkdir()
    (root / "weights/source.safetensors").write_bytes(b"weights")
    (root / "weights/source.json").write_text('{"seed": 7}')
    with contextlib.chdir(root), Repo() as repository:
        repository.add(["data", "weights"])
        repository.push(remote="bundled")
    for name in ("data.dvc", "weights.dvc"):
        with (root / name).open("a") as pin:
            pin.write("  remote: bundled\n  push: false\n")
    return root


def replace_python(root: Path, module: str) -> None:
    """Let the pipeline's commands run `module` instead of `benchmark`."""
    shutil.copytree(REPOSITORY / "tests", root / "tests", ignore=shutil.ignore_patterns("golden"))
    (root / "reports/machines").mkdir(parents=True)
    write_python(root, f'shift 2\nexec {shlex.quote(sys.executable)} -m {module} "$@"\n')


def write_python(root: Path, script: str) -> None:
    """Replace the Python of the pipeline's commands by a shell script."""
    environment = root / ".venv"
    environment.unlink() if environment.is_symlink() else shutil.rmtree(environment)
    program = environment / "bin/python"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o755)


def set_parameters(root: Path, **changes: Any) -> None:
    """Change params.yaml: a dict changes some keys of its section, another value replaces one."""
    content = yaml.safe_load((root / "params.yaml").read_text())
    for name, value in changes.items():
        content[name] = content[name] | value if isinstance(value, dict) else value
    (root / "params.yaml").write_text(yaml.safe_dump(content))


def run_dvc(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run DVC from a shell in which `python` is another program."""
    decoy = root.parent / "decoy/python"
    decoy.parent.mkdir(exist_ok=True)
    decoy.write_text("#!/bin/sh\necho another Python >&2\nexit 3\n")
    decoy.chmod(0o755)
    path = os.pathsep.join([str(decoy.parent), "/usr/bin", "/bin"])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(REPOSITORY)}
    command = [python(), "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
