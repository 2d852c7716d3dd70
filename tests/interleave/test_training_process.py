"""How a process of a pair is stopped, resumed and ended."""

import threading
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from benchmark.interleave import training_process
from benchmark.interleave.training_process import TrainingProcess

LAUNCHER = """
import json, subprocess, sys
rank = subprocess.Popen(["sleep", "1000"], start_new_session=True)
sys.stdin.readline()
print(json.dumps({"step_seconds": 0.1}), flush=True)
for line in sys.stdin:
    running = open(f"/proc/{rank.pid}/stat").read().split()[2] != "T"
    print(json.dumps({"seconds": 1.0 + running, "compilations": 0}), flush=True)
"""
"""A process with a rank in a session of its own, as torchelastic starts it; the rank keeps standard
output open. A block takes 2 s while the rank runs and 1 s while it is stopped."""


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingProcess:
    worker = tmp_path / "worker.py"
    worker.write_text(LAUNCHER)
    monkeypatch.setattr(training_process, "WORKER", worker)
    return TrainingProcess("launcher")


def test_ranks_are_stopped_between_blocks_and_end_with_their_launcher(
    launcher: TrainingProcess,
) -> None:
    with closing(launcher):
        launcher.warm_up({})
        (rank,) = psutil.Process(launcher.process.pid).children()
        assert rank.status() == psutil.STATUS_STOPPED
        assert launcher.time(1).seconds == 2.0
        assert rank.status() == psutil.STATUS_STOPPED
    rank.wait(timeout=60)


def test_close_does_not_wait_for_a_process_that_keeps_the_output_open(
    launcher: TrainingProcess,
) -> None:
    """Such as a rank whose launcher was killed before."""
    launcher.warm_up({})
    (rank,) = psutil.Process(launcher.process.pid).children()
    launcher.process.kill()
    closed = threading.Thread(target=launcher.close, daemon=True)
    closed.start()
    closed.join(timeout=60)
    rank.kill()
    assert not closed.is_alive()


def test_a_peer_has_the_environment_of_its_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import os, sys; print(sys.argv[1:], *(os.environ.get(n) for n in "
        "('THP_MEM_ALLOC_ENABLE', 'OMP_NUM_THREADS', 'RANK')))"
    )
    monkeypatch.setattr(training_process, "WORKER", worker)
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
    monkeypatch.setattr(training_process.variables, "SET", set())
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("RANK", "1")
    training_process.variables.offer_huge_pages()
    outputs = []
    for peer in ("timm", None):
        with closing(TrainingProcess("a", peer=peer)) as process:
            assert process.process.stdout
            outputs.append(process.process.stdout.readline().strip())
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE")
    assert outputs == ["['--peer', 'timm'] None 3 None", "[] 1 3 1"]
