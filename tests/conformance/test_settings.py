"""The rules in a project whose own settings of pytest are made for other tests."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from datamodule_conformance.source import DataModuleSource, SourceError
from tests.support.forked_python import python

PYTEST = str(Path(sys.executable).parent / "pytest")
QUIET = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
KIT = ["--pyargs", "datamodule_conformance", "-p", "no:cacheprovider", "-W", QUIET]
RULE = "each_epoch_has_its_own_order"
DATA = """
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, TensorDataset


class Data(LightningDataModule):
    def train_dataloader(self):
        images = torch.linspace(0, 1, 8)[:, None, None, None].expand(8, 3, 8, 8)
        return DataLoader(TensorDataset(images, torch.arange(8) % 2), 4)
"""
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
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One that would switch the rules off by each of its settings."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src/mine.py").write_text(DATA)
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_projects_settings_are_for_its_own_tests(project: Path) -> None:
    done = subprocess.run(
        [python(), PYTEST, *KIT, "--datamodule", "mine:Data", "-k", RULE, "-n", "2"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "mine:Data(): 0 rules hold, 1 broken, 0 not judged" in done.stdout, done.stderr
    assert done.returncode == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        ("import absent", "not found: ModuleNotFoundError: No module named 'absent'"),
        ("raise OSError('no disk')", "fails:Data was not found: OSError: no disk"),
        ("x = (", "SyntaxError: '(' was never closed (fails.py, line 1)"),
        ("raise SystemExit(2)", "fails:Data was not found: SystemExit: 2"),
        ("def Data(): raise SystemExit('usage')", "fails:Data() raised SystemExit: usage"),
    ],
)
def test_what_a_module_raises_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, content: str, seen: str
) -> None:
    (project / "fails.py").write_text(content)
    monkeypatch.syspath_prepend(project)
    monkeypatch.delitem(sys.modules, "fails", raising=False)
    with pytest.raises(SourceError, match=re.escape(seen)):
        DataModuleSource("fails:Data").make(0)


def test_an_error_of_the_module_is_one_clear_message(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "raising.py").write_text("raise OSError('no disk')")
    options = ["--datamodule", "raising:Data", "-c", os.devnull, "--noconftest"]
    assert pytest.main([*KIT, *options]) == pytest.ExitCode.USAGE_ERROR
    printed = capsys.readouterr()
    assert "raising:Data was not found: OSError: no disk" in printed.err
    assert "INTERNALERROR" not in printed.err + printed.out
    assert "Traceback" not in printed.err + printed.out


def test_other_tests_are_not_run_beside_the_rules(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--datamodule", "mine:Data", __file__]
    assert pytest.main([*KIT, *options]) == pytest.ExitCode.USAGE_ERROR
    assert "The rules run alone, without" in capsys.readouterr().err
