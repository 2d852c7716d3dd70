import signal
import sys

from benchmark.machine.accelerators import find
from benchmark.throughput import launch
from benchmark.throughput.schema import Place


def test_a_killed_process_is_one_that_lacked_memory(change, monkeypatch) -> None:
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    execute = launch._execute
    monkeypatch.setattr(
        launch, "_execute", lambda command, task: execute([sys.executable, "-c", kill], "")
    )
    assert launch.measure(find("cpu"), change(), Place(7, 0)).status == "out of memory"
    assert launch.profile(find("cpu"), change()).peak.status == "out of memory"
    assert execute([sys.executable, "-c", kill], "") == -signal.SIGKILL
