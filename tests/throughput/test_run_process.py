import signal
import sys
import tempfile
from pathlib import Path

from benchmark.machine.accelerators import find
from benchmark.throughput import run_process
from benchmark.throughput.schema import ProcessIndex


def test_a_killed_process_is_one_that_lacked_memory(change, monkeypatch, tmp_path: Path) -> None:
    """And nothing that it had in the temporary directory stays."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = "import os, signal, tempfile; tempfile.mkdtemp(); os.kill(os.getpid(), signal.SIGKILL)"
    command, execute, statuses = [sys.executable, "-c", made], run_process._execute, []

    def killed(_: list[str], task: str, folder: Path) -> int:
        statuses.append(execute(command, task, folder))
        assert any(path.is_dir() for path in folder.iterdir())
        return statuses[-1]

    monkeypatch.setattr(run_process, "_execute", killed)
    assert run_process.measure(find("cpu"), change(), ProcessIndex(7, 0)).status == "out of memory"
    assert run_process.profile(find("cpu"), change()).peak.status == "out of memory"
    assert statuses == [-signal.SIGKILL] * 2
    assert list(tmp_path.iterdir()) == []
