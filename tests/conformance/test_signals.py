"""SIGINT and SIGTERM end the kit, and are not taken for an error of the DataModule."""

import signal
from pathlib import Path

import pytest

from tests.conformance.test_elsewhere import run

DATA = """
import os
import signal

import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader


class Numbers(torch.utils.data.Dataset):
    def __init__(self, end):
        self.end = end

    def __len__(self):
        return 12

    def __getitem__(self, index):
        if index == 9:
            self.end()
        return torch.tensor([float(index)])


class Data(LightningDataModule):
    def __init__(self, number=15, where="fit"):
        super().__init__()
        self.number, self.where = number, where
        self.end("init")

    def end(self, where):
        if where == self.where:
            os.kill(os.getpid(), self.number)

    def setup(self, stage):
        try:
            self.end("swallowed")
        except BaseException:
            pass

    def train_dataloader(self):
        return DataLoader(Numbers(lambda: self.end("fit")), 4)
"""
KIT = ("-m", "pytest", "--pyargs", "lightning_conformance", "--datamodule", "mine:Data")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(DATA)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "where"),
    [
        (signal.SIGINT, "fit"),
        (signal.SIGTERM, "fit"),
        (signal.SIGTERM, "swallowed"),
        (signal.SIGINT, "init"),
    ],
)
def test_a_signal_ends_the_kit_with_its_status_and_no_rule_is_broken(
    project: Path, number: signal.Signals, where: str
) -> None:
    values = ("--datamodule-arg", f"number={number:d}", "--datamodule-arg", f"where={where}")
    done = run(project, *KIT, *values, "--conformance-report", "out.json")
    assert done.returncode == 128 + number, done.stdout + done.stderr
    assert f"Ended by {number.name}." in done.stderr
    assert "broken" not in done.stdout
    assert "failed" not in done.stdout
    assert not (project / "out.json").exists()


@pytest.mark.slow
def test_a_signal_to_a_process_of_the_kit_ends_the_kit(project: Path) -> None:
    """Lightning would let the process exit with 0."""
    values = ("--datamodule-arg", "where=rank", "-k", "fresh_process")
    text = DATA.replace('self.end("init")', "self.where = 'fit' if FORKED else 'never'")
    forked = "import multiprocessing\nFORKED = multiprocessing.parent_process() is not None\n"
    (project / "mine.py").write_text(forked + text)
    done = run(project, *KIT, *values, "--conformance-report", "out.json")
    assert done.returncode == 128 + signal.SIGTERM, done.stdout + done.stderr
    assert not (project / "out.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 2), (signal.SIGTERM, -15)])
def test_a_signal_during_check_reaches_the_projects_pytest(
    project: Path, number: signal.Signals, status: int
) -> None:
    content = f"def test_data():\n    check(Data, number={number:d})\n"
    imports = "from lightning_conformance import check\nfrom mine import Data\n\n\n"
    (project / "test_data.py").write_text(imports + content)
    done = run(project, "-m", "pytest", "test_data.py")
    assert done.returncode == status, done.stdout + done.stderr
    assert "seen" not in done.stdout
