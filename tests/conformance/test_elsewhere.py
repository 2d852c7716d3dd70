"""The kit in a project of somebody else's, whose modules are called as they like."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from datamodule_conformance import plugin
from tests import REPOSITORY
from tests.support.forked_python import python

KIT = REPOSITORY / "conformance"
DISTRIBUTIONS = {
    "lightning_utilities": "pytorch-lightning", "pytorch_lightning": "pytorch-lightning",
    "yaml": "pyyaml", "torch_xla": None,
}  # fmt: skip
"""What brings a module, where it is called otherwise; None: the kit does without it."""
OWN = "SPEED = 1"
TEST = "import benchmark\n\n\ndef test_own_module():\n    assert benchmark.SPEED == 1\n"
DATA = """
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, TensorDataset


class Data(LightningDataModule):
    def train_dataloader(self):
        images = torch.linspace(0, 1, 8)[:, None, None, None].expand(8, 3, 8, 8)
        return DataLoader(TensorDataset(images, torch.arange(8) % 2), 4)
"""


@pytest.fixture(params=["benchmark.py", "benchmark/__init__.py"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """One with a module called `benchmark`, as timm has one, and strict about markers."""
    own = tmp_path / request.param
    own.parent.mkdir(exist_ok=True)
    own.write_text(OWN)
    (tmp_path / "test_own.py").write_text(TEST)
    (tmp_path / "mine.py").write_text(DATA)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    return tmp_path


def run(project: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    environment = {n: text for n, text in os.environ.items() if not n.startswith("PYTEST_")}
    return subprocess.run(
        [python(), *command, "-p", "no:cacheprovider"], cwd=project, env=environment,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


PYTEST = (str(Path(sys.executable).parent / "pytest"),)
MODULE = ("-m", "pytest")


@pytest.mark.parametrize("program", [PYTEST, MODULE], ids=["pytest", "python -m pytest"])
def test_a_project_keeps_its_own_modules(project: Path, program: tuple[str, ...]) -> None:
    done = run(project, *program)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("project", ["benchmark.py"], indirect=True)
def test_rules_run_there(project: Path) -> None:
    rule = "each_epoch_has_its_own_order or fresh_process"
    done = run(
        project, *PYTEST, "--pyargs", "datamodule_conformance", "--datamodule", "mine:Data",
        "-k", rule,
    )  # fmt: skip
    assert "mine:Data(): 1 rules hold, 1 broken, 0 not judged" in done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("project", ["benchmark.py"], indirect=True)
def test_workers_answer_under_a_long_temporary_directory(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = project / ("d" * 120)
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    rule = ["--datamodule", "mine:Data", "-k", "workers_change_nothing"]
    done = run(project, *PYTEST, "--pyargs", "datamodule_conformance", *rule)
    assert "1 rules hold, 0 broken, 0 not judged" in done.stdout, done.stdout + done.stderr


def write_lightning(folder: Path) -> None:
    """A package `lightning`, as its makers do it: their two others under new names."""
    for name, part in (("lightning_fabric", "fabric"), ("pytorch_lightning", "pytorch")):
        source = Path(next(iter(find_spec(name).submodule_search_locations)))
        shutil.copytree(source, folder / "lightning" / part)
    (folder / "lightning/__init__.py").touch()
    for path in folder.glob("lightning/**/*.py"):
        text = path.read_text().replace("lightning_fabric", "lightning.fabric")
        path.write_text(text.replace("pytorch_lightning", "lightning.pytorch"))


@pytest.mark.slow
@pytest.mark.parametrize("project", ["benchmark.py"], indirect=True)
def test_the_package_called_lightning_has_its_own_trainer(project: Path) -> None:
    """Its DataModules are none of pytorch_lightning's, whose Trainer refuses them."""
    write_lightning(project)
    theirs = DATA.replace("from pytorch_lightning", "from lightning.pytorch")
    (project / "theirs.py").write_text(theirs)
    rules = "plain_fit or alone_calls or works_again or state_is_plain"
    named = ["--datamodule", "theirs:Data", "-k", rules]
    done = run(project, *PYTEST, "--pyargs", "datamodule_conformance", *named)
    assert "4 rules hold, 0 broken, 0 not judged" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("project", ["benchmark.py"], indirect=True)
def test_a_project_that_does_not_ask_gets_no_marker(project: Path) -> None:
    assert "slow" not in run(project, *PYTEST, "--markers").stdout


def test_a_project_that_does_not_ask_gets_nothing() -> None:
    """But options: no hook of its session, and no module that takes time to load."""
    hooks = {name for name in vars(plugin) if name.startswith("pytest_")}
    assert hooks == {"pytest_addoption", "pytest_cmdline_main"}
    program = f"import sys, pytest; before = {{*sys.modules}}; import {plugin.__name__}"
    own = "print(*{name.partition('.')[0] for name in {*sys.modules} - before})"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}; {own}"], capture_output=True, text=True, timeout=60
    )
    assert set(done.stdout.split()) <= {"datamodule_conformance"} | sys.stdlib_module_names, done


def test_it_imports_what_it_declares_and_nothing_else() -> None:
    content = tomllib.loads((KIT / "pyproject.toml").read_text())
    declared = {text.split(">")[0] for text in content["project"]["dependencies"]}
    files = (KIT / "datamodule_conformance").glob("*.py")
    modules = set().union(*(_imported(path) for path in files)) - sys.stdlib_module_names
    needed = {DISTRIBUTIONS.get(name, name) for name in modules - {"datamodule_conformance"}}
    assert needed - {None} == declared


def test_what_is_no_module_is_installed_too() -> None:
    content = tomllib.loads((KIT / "pyproject.toml").read_text())
    listed = content["tool"]["setuptools"]["package-data"]["datamodule_conformance"]
    files = [path for path in (KIT / "datamodule_conformance").iterdir() if path.is_file()]
    assert {path.name for path in files if path.suffix != ".py"} == set(listed)


def _imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[0] for name in names}
