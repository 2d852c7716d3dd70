import tempfile
from pathlib import Path

from benchmark.machine.accelerators import find
from benchmark.throughput import run_process
from benchmark.throughput.schema import ProcessIndex

KILLED = """
import os, pathlib, signal, tempfile

with pathlib.Path(__file__).with_name("made").open("a") as file:
    print(tempfile.mkdtemp(), file=file)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_is_one_that_lacked_memory(change, monkeypatch, tmp_path: Path) -> None:
    """And nothing that it had in the temporary directory stays."""
    (temporary := tmp_path / "temporary").mkdir()
    (tmp_path / "killed.py").write_text(KILLED)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(run_process, "PROCESS_MODULE", "killed")
    assert run_process.measure(find("cpu"), change(), ProcessIndex(7, 0)).status == "out of memory"
    assert run_process.profile(find("cpu"), change()).peak.status == "out of memory"
    made = (tmp_path / "made").read_text().splitlines()
    assert [Path(folder).is_relative_to(temporary) for folder in made] == [True, True]
    assert list(temporary.iterdir()) == []
