"""Variables that are set before torch is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.common.parameters import WaitPolicy
from benchmark.machine import variables
from tests import REPOSITORY
from tests.machine.test_processors import Readings

BEFORE = (variables.WAIT_POLICY, variables.SPIN_COUNT, variables.HUGE_PAGES)


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in BEFORE:
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other work takes 0.6 of a processor, which is less than a tenth of eight."""
    readings = Readings(monkeypatch, 8)
    readings.used[0] = 6.0


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    Readings(monkeypatch, 8)


@pytest.mark.parametrize("policy", ["active", "passive"])
def test_threads_wait_as_is_asked(policy: WaitPolicy) -> None:
    variables.set_wait_policy(policy)
    assert variables.wait_policy() == policy


def test_threads_sleep_beside_other_work(busy: None) -> None:
    variables.set_wait_policy("auto")
    assert variables.wait_policy() == "passive"


def test_alone_they_spin_for_a_moment(idle: None) -> None:
    variables.set_wait_policy("auto")
    assert os.environ[variables.SPIN_COUNT] == variables.wait_policy() == "10000"


def test_ranks_of_one_job_are_no_other_work(busy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job")
    variables.set_wait_policy("auto")
    assert variables.wait_policy() == "10000"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [(variables.WAIT_POLICY, "ACTIVE", "active"), (variables.SPIN_COUNT, "9", "9")],
)
def test_what_the_user_set_counts_first(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)
    variables.set_wait_policy("passive")
    assert variables.wait_policy() == expected


@pytest.mark.parametrize(
    ("kernel", "expected"), [("always [madvise] never", True), ("always madvise [never]", False)]
)
def test_huge_pages_are_there_where_the_system_gives_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: str, expected: bool
) -> None:
    monkeypatch.setattr(variables, "THP", tmp_path / "enabled")
    variables.offer_huge_pages()
    assert not variables.huge_pages()
    variables.THP.write_text(kernel)
    assert variables.huge_pages() == expected


def test_a_user_may_want_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variables.HUGE_PAGES, "0")
    variables.offer_huge_pages()
    assert not variables.huge_pages()


STAGE = """
import os, sys
from benchmark import command_line
from benchmark.machine import variables

def record(policy):
    assert "torch" not in sys.modules
    print(policy, os.environ["THP_MEM_ALLOC_ENABLE"])
    raise SystemExit

variables.set_wait_policy = record
command_line.main(sys.argv[1:])
"""


def test_a_stage_sets_them_before_torch_is_loaded() -> None:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", STAGE, "train", "cpu"]
    output = subprocess.check_output(command, env=environment, cwd=REPOSITORY, text=True)
    assert output == "auto 1\n"


FAULTS = """
import os, resource, sys
from benchmark.machine import variables

variables.offer_huge_pages()
import torch

before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(8 << 20)  # 32 MiB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not variables.gives_huge_pages(), reason="this system gives no huge pages")
def test_torch_takes_them() -> None:
    """With huge pages, a page fault maps 2 MiB instead of 4 KiB."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", FAULTS]
    assert int(subprocess.check_output(command, env=environment, text=True)) < 1_000
