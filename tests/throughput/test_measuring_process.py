import errno
import json
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from benchmark.common.parameters import Parameters
from benchmark.common.results import read_result
from benchmark.errors.user_error import UserError
from benchmark.machine.sensors import GpuClockLog
from benchmark.throughput import measuring_process
from benchmark.throughput.schema import (
    PROCESS,
    Block,
    EnergyReading,
    Measurement,
    NotMeasured,
    ProcessIndex,
    Profile,
)
from benchmark.timing import peers
from benchmark.timing.order import order
from tests.support.forked_python import python

pytestmark = pytest.mark.usefixtures("small_network")


def done(parameters: Parameters, place: ProcessIndex | None, monkeypatch, folder: Path) -> object:
    """What the process writes when it is given the task."""
    task = {"accelerator": "cpu", "place": place, "parameters": parameters.model_dump(mode="json")}
    (folder / "task").write_text(json.dumps(task))
    monkeypatch.setattr(measuring_process, "end_with_parent", lambda pipe: None)
    with (folder / "task").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        measuring_process.main([str(folder / "result.json")])
    return read_result(folder / "result.json", PROCESS)


def test_a_process_measures_every_mode_in_rounds(parameters, monkeypatch, tmp_path) -> None:
    found = done(parameters, ProcessIndex(7, 1), monkeypatch, tmp_path)
    assert isinstance(found, Measurement)
    modes = {
        "input", "compute", "loop", "trainer", "baseline", "baseline_input", "trainer_aa",
        "nondeterministic",
    }  # fmt: skip
    assert found.steps.keys() == modes
    assert len(found.rounds) == 2
    assert all(turn.keys() == modes for turn in found.rounds)
    assert all(block.seconds > 0 for turn in found.rounds for block in turn.values())
    trains = modes - {"input", "baseline_input"}
    assert len({found.steps[mode] for mode in trains}) == 1
    assert found.warmup["trainer"].steps >= 2
    assert found.first_step_seconds > 0
    assert 0 <= found.other_work <= 1
    assert len(found.step_seconds) >= 2 * found.steps["trainer"]


def test_a_process_says_which_peers_it_found(change, workspace, monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(peers.PACKAGES, "timm", ("no-such-package",))
    parameters = change(throughput={"modes": ["trainer", "timm"]})
    found = done(parameters, ProcessIndex(7, 0), monkeypatch, tmp_path)
    assert isinstance(found, Measurement)
    assert found.peers["timm"].reason.startswith("no-such-package is not installed.")
    assert found.steps.keys() == {"trainer", "trainer_aa"}


def test_a_process_makes_the_profile(parameters, monkeypatch, tmp_path) -> None:
    found = done(parameters, None, monkeypatch, tmp_path)
    assert isinstance(found, Profile)
    assert found.peak.flops_per_second > 0
    assert found.overhead.seconds_per_step > 0
    assert found.decoding.low > 0


def test_a_result_that_has_no_room_is_one_line(parameters, monkeypatch, tmp_path) -> None:
    def full(path: Path, result: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(measuring_process, "measure", lambda *_: None)
    monkeypatch.setattr(measuring_process, "write_result", full)
    with pytest.raises(SystemExit, match=r"error: .*/result\.json: No space left on device\. Make"):
        done(parameters, ProcessIndex(7, 0), monkeypatch, tmp_path)


def test_a_part_of_the_profile_that_fails_is_no_others_loss(parameters, monkeypatch) -> None:
    def full(data: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp")

    monkeypatch.setattr(measuring_process.decoding, "measure", full)
    found = measuring_process.profile("cpu", parameters)
    assert found.decoding.status == "refused"
    assert found.decoding.reason.startswith("/tmp: No space left on device.")
    assert found.peak.flops_per_second > 0


class Clock(SimpleNamespace):
    """In the place of a ModeTimer: a block of n steps takes n seconds, and is noted."""

    def __init__(self, parameters: Parameters) -> None:
        super().__init__(parameters=parameters, modes={}, asked=[])

    def time(self, name: str, steps: int) -> Block:
        self.asked.append(name)
        return Block(seconds=float(steps), compilations=0)


STEPS = {"loop": 1, "trainer": 1, "input": 50}


def test_the_first_round_does_not_count(change) -> None:
    """It has the order of the first that does."""
    clock = Clock(change(throughput={"rounds": 3}))
    found = measuring_process._rounds(clock, STEPS, ProcessIndex(7, 0), GpuClockLog("cpu"))
    rounds = [clock.asked[start : start + 4] for start in range(0, 16, 4)]
    assert len(found["rounds"]) == 3
    assert rounds[0] == rounds[1] == rounds[2][::-1]
    assert len(clock.asked) == 16


def test_processes_go_through_the_orders_of_a_run(change) -> None:
    names = ["loop", "trainer", "input", "trainer_aa"]
    for number in range(2):
        clock = Clock(change(throughput={"rounds": 2}))
        measuring_process._rounds(clock, STEPS, ProcessIndex(7, number), GpuClockLog("cpu"))
        expected = [order(names, 7, 2 * number + turn) for turn in range(2)]
        said = [name.replace("_aa", "") for names in expected for name in names]
        assert clock.asked[4:] == said


def test_a_process_ends_with_whoever_waits_for_it() -> None:
    """However that one ends: its end of the pipe is closed. Loader processes end as well, even
    those that stand still."""
    program = """
import os, signal, threading
from benchmark.throughput.measuring_process import end_with_parent
child = os.fork()
if not child:
    os.kill(os.getpid(), signal.SIGSTOP)
os.waitpid(child, os.WUNTRACED)
print(child, flush=True)
threading.Thread(target=end_with_parent, args=[0], daemon=True).start()
signal.pause()
"""
    command, pipe = [python(), "-c", program], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, process_group=0) as measuring_process:
        assert measuring_process.stdin
        assert measuring_process.stdout
        child = psutil.Process(int(measuring_process.stdout.readline()))
        measuring_process.stdin.close()
        assert measuring_process.wait(timeout=60) == -signal.SIGKILL
    child.wait(timeout=60)


def test_what_went_wrong_is_a_result_or_an_error() -> None:
    def fail(error: Exception):
        def measured() -> None:
            raise error

        return measuring_process.attempt(measured)

    lacking = fail(RuntimeError("out of memory\nmore words"))
    assert lacking == NotMeasured(status="out of memory", reason="out of memory")
    refused = NotMeasured(status="refused", reason="No. Do.")
    assert fail(UserError("No.", "Do.")) == refused
    killed = fail(RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error."))
    assert killed.status == "refused"
    assert killed.reason.startswith("A loader process found no room in /dev/shm. ")
    with pytest.raises(ZeroDivisionError):
        fail(ZeroDivisionError())


@pytest.mark.parametrize(("reason", "steps"), [("", 7), ("there is no counter", 0)])
def test_energy_is_that_of_a_run_longer_than_the_counters_period(reason: str, steps: int) -> None:
    """NVML's counter goes on in steps of 0.1 s: two seconds are told to 5 %. No counter, no run."""
    meter, spent = measuring_process.EnergyMeter("cpu"), []
    meter.reason, meter._read = reason, lambda: 3.0 * sum(spent)

    def time(name: str, steps: int) -> Block:
        assert name == "trainer"
        spent.append(steps)
        return Block(seconds=0.3 * steps, compilations=0)

    found = measuring_process._energy(SimpleNamespace(time=time), meter, step_seconds=0.3)
    assert sum(spent) == steps
    known = EnergyReading(joules=3.0 * steps, steps=steps)
    assert found == (EnergyReading(reason=reason) if reason else known)
