"""The kit in another project, which has its own modules and settings."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from lightning_conformance import plugin
from lightning_conformance.source import DataModuleSource, SourceError
from tests import REPOSITORY
from tests.support.forked_python import python

KIT = REPOSITORY / "conformance"
DISTRIBUTIONS = {
    "lightning_utilities": "pytorch-lightning", "pytorch_lightning": "pytorch-lightning",
    "ruamel": "ruamel.yaml",
}  # fmt: skip
"""By module: the distribution with another name that contains it."""
PYTEST = (str(Path(sys.executable).parent / "pytest"),)
MODULE = ("-m", "pytest")
RULES = ("--pyargs", "lightning_conformance", "--datamodule")
EPOCH = "each_epoch_has_its_own_order"
DATA = """
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, TensorDataset


class Data(LightningDataModule):
    def train_dataloader(self):
        images = torch.linspace(0, 1, 8)[:, None, None, None].expand(8, 3, 8, 8)
        return DataLoader(TensorDataset(images, torch.arange(8) % 2), 4)
"""
TEST = "import benchmark\n\n\ndef test_own_module():\n    assert benchmark.SPEED == 1\n"
SETTINGS = """
[pytest]
python_files = check_*.py
python_functions = check_*
addopts = -n 2 -m "not slow" -k mine --strict-markers
pythonpath = src
filterwarnings = error
"""
CONFTEST = """
import pytest


@pytest.fixture(autouse=True)
def database():
    pytest.skip("no database")


@pytest.fixture
def observations():
    return "of the night sky"


def pytest_collection_modifyitems(items):
    items.clear()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a module called `benchmark`, as timm has one, and strict about markers."""
    (tmp_path / "benchmark.py").write_text("SPEED = 1")
    (tmp_path / "test_own.py").write_text(TEST)
    (tmp_path / "mine.py").write_text(DATA)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    return tmp_path


def run(project: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    # The outer session's variables would make this one a worker of pytest-xdist.
    environment = {n: text for n, text in os.environ.items() if not n.startswith("PYTEST_X")}
    return subprocess.run(
        [python(), *command, "-p", "no:cacheprovider"], cwd=project, env=environment,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize("program", [PYTEST, MODULE], ids=["pytest", "python -m pytest"])
def test_a_project_keeps_its_own_modules(project: Path, program: tuple[str, ...]) -> None:
    done = run(project, *program)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert "slow" not in run(project, *program, "--markers").stdout


@pytest.mark.slow
def test_the_rules_run_with_a_fork_server_of_their_own(project: Path) -> None:
    done = run(project, *PYTEST, *RULES, "mine:Data", "-k", f"{EPOCH} or fresh_process")
    assert "mine:Data(): 1 rules hold, 1 broken, 0 not judged" in done.stdout, done.stderr


@pytest.mark.slow
def test_workers_answer_under_a_long_temporary_directory(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = project / ("d" * 120)
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    done = run(project, *PYTEST, *RULES, "mine:Data", "-k", "workers_change_nothing")
    assert "1 rules hold, 0 broken, 0 not judged" in done.stdout, done.stdout + done.stderr


def test_a_projects_settings_do_not_apply_to_the_rules(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only `pythonpath` applies: it says where the project's modules are."""
    (project / "src").mkdir()
    (project / "mine.py").rename(project / "src/mine.py")
    (project / "pytest.ini").write_text(SETTINGS)
    (project / "conftest.py").write_text(CONFTEST)
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")
    done = run(project, *PYTEST, *RULES, "mine:Data", "-k", EPOCH, "-n", "2")
    assert "mine:Data(): 0 rules hold, 1 broken, 0 not judged" in done.stdout, done.stderr
    assert done.returncode == pytest.ExitCode.TESTS_FAILED


def test_a_fixture_that_a_plugin_gives_to_every_test_is_not_for_the_rules(project: Path) -> None:
    fixture = "import pytest\n\n\n@pytest.fixture(autouse=True)\ndef database():\n    return 1\n"
    (project / "everywhere.py").write_text(fixture)
    done = run(project, *MODULE, *RULES, "mine:Data", "-k", EPOCH, "-p", "everywhere")
    assert "mine:Data(): 0 rules hold, 1 broken, 0 not judged" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        ("import absent", "can't be imported: ModuleNotFoundError: No module named 'absent'"),
        ("raise OSError('no disk')", "fails:Data can't be imported: OSError: no disk"),
        ("x = (", "SyntaxError: '(' was never closed (fails.py, line 1)"),
        ("raise SystemExit(2)", "fails:Data can't be imported: SystemExit: 2"),
        ("def Data(): raise SystemExit('usage')", "fails:Data() raised SystemExit: usage"),
    ],
)
def test_an_error_of_a_module_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, content: str, seen: str
) -> None:
    (project / "fails.py").write_text(content)
    monkeypatch.syspath_prepend(project)
    monkeypatch.delitem(sys.modules, "fails", raising=False)
    with pytest.raises(SourceError, match=re.escape(seen)):
        DataModuleSource("fails:Data").make(0)


def write_lightning(folder: Path) -> None:
    """A package `lightning`, made as Lightning does: two packages under new names."""
    for name, part in (("lightning_fabric", "fabric"), ("pytorch_lightning", "pytorch")):
        source = Path(next(iter(find_spec(name).submodule_search_locations)))
        shutil.copytree(source, folder / "lightning" / part)
    (folder / "lightning/__init__.py").touch()
    for path in folder.glob("lightning/**/*.py"):
        text = path.read_text().replace("lightning_fabric", "lightning.fabric")
        path.write_text(text.replace("pytorch_lightning", "lightning.pytorch"))


@pytest.mark.slow
def test_the_package_called_lightning_has_its_own_trainer(project: Path) -> None:
    """The Trainer of pytorch_lightning refuses DataModules of this package."""
    write_lightning(project)
    theirs = DATA.replace("from pytorch_lightning", "from lightning.pytorch")
    (project / "theirs.py").write_text(theirs)
    rules = "plain_fit or alone_calls or works_again or state_is_plain"
    done = run(project, *PYTEST, *RULES, "theirs:Data", "-k", rules)
    assert "4 rules hold, 0 broken, 0 not judged" in done.stdout, done.stdout + done.stderr


def test_other_sessions_get_only_options() -> None:
    """The plugin registers no other hooks, and does not import torch or Lightning."""
    hooks = {name for name in vars(plugin) if name.startswith("pytest_")}
    assert hooks == {"pytest_addoption", "pytest_cmdline_main"}
    program = f"import sys, pytest; before = {{*sys.modules}}; import {plugin.__name__}"
    imported = "print(*{name.partition('.')[0] for name in {*sys.modules} - before})"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}; {imported}"], capture_output=True, text=True, timeout=60
    )
    assert set(done.stdout.split()) <= {"lightning_conformance"} | sys.stdlib_module_names, done


def test_the_kit_imports_exactly_its_dependencies() -> None:
    content = tomllib.loads((KIT / "pyproject.toml").read_text())
    declared = {text.split(">")[0] for text in content["project"]["dependencies"]}
    files = (KIT / "lightning_conformance").glob("*.py")
    modules = set().union(*(_imported(path) for path in files)) - sys.stdlib_module_names
    needed = {DISTRIBUTIONS.get(name, name) for name in modules - {"lightning_conformance"}}
    assert needed == declared


def test_files_that_are_not_modules_are_installed_too() -> None:
    content = tomllib.loads((KIT / "pyproject.toml").read_text())
    listed = content["tool"]["setuptools"]["package-data"]["lightning_conformance"]
    files = [path for path in (KIT / "lightning_conformance").iterdir() if path.is_file()]
    assert {path.name for path in files if path.suffix != ".py"} == set(listed)


def _imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[0] for name in names}
