import errno
import json
import signal
import subprocess
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from benchmark.common.parameters import Parameters
from benchmark.common.results import read_result
from benchmark.errors.user_error import UserError
from benchmark.machine.sensors import GpuClockLog
from benchmark.throughput import measuring_process, profile
from benchmark.throughput.measuring_process import block_order
from benchmark.throughput.schema import (
    PROCESS,
    Block,
    EnergyReading,
    Measurement,
    NotMeasured,
    ProcessIndex,
    Profile,
)
from tests.support.forked_python import python

pytestmark = pytest.mark.usefixtures("small_network")


def done(parameters: Parameters, index: ProcessIndex | None, monkeypatch, folder: Path) -> object:
    """What the process writes when it is given the task."""
    task = {"accelerator": "cpu", "index": index, "parameters": parameters.model_dump(mode="json")}
    (folder / "task").write_text(json.dumps(task))
    monkeypatch.setattr(measuring_process, "end_with_parent", lambda pipe: None)
    with (folder / "task").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        measuring_process.main([str(folder / "result.json")])
    return read_result(folder / "result.json", PROCESS)


def test_a_process_measures_every_mode_in_rounds(parameters, monkeypatch, tmp_path) -> None:
    result = done(parameters, ProcessIndex(7, 1), monkeypatch, tmp_path)
    assert isinstance(result, Measurement)
    modes = {
        "input", "compute", "loop", "trainer", "baseline", "baseline_input", "trainer_aa",
        "nondeterministic",
    }  # fmt: skip
    assert result.steps.keys() == modes
    assert len(result.rounds) == 2
    assert all(turn.keys() == modes for turn in result.rounds)
    assert all(block.seconds > 0 for turn in result.rounds for block in turn.values())
    trains = modes - {"input", "baseline_input"}
    assert len({result.steps[mode] for mode in trains}) == 1
    assert result.warmup["trainer"].steps >= 2
    assert result.first_step_seconds > 0
    assert 0 <= result.other_work <= 1
    assert len(result.step_seconds) >= 2 * result.steps["trainer"]


def test_a_process_makes_the_profile(parameters, monkeypatch, tmp_path) -> None:
    result = done(parameters, None, monkeypatch, tmp_path)
    assert isinstance(result, Profile)
    assert result.peak.flops_per_second > 0
    assert result.overhead.seconds_per_step > 0
    assert result.decoding.low > 0


def test_a_result_that_has_no_room_is_one_line(parameters, monkeypatch, tmp_path) -> None:
    def full(path: Path, result: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(measuring_process, "measure", lambda *_: None)
    monkeypatch.setattr(measuring_process, "write_result", full)
    with pytest.raises(SystemExit, match=r"error: .*/result\.json: No space left on device\. Make"):
        done(parameters, ProcessIndex(7, 0), monkeypatch, tmp_path)


def test_a_failed_part_of_the_profile_does_not_lose_the_other_parts(
    parameters, monkeypatch
) -> None:
    def full(data: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp")

    monkeypatch.setattr(profile, "decoding_rate", full)
    result = measuring_process.make_profile("cpu", parameters)
    assert result.decoding.status == "refused"
    assert result.decoding.reason.startswith("/tmp: No space left on device.")
    assert result.peak.flops_per_second > 0


class Clock(SimpleNamespace):
    """In the place of a ModeTimer: a block of n steps takes n seconds, and is noted."""

    loader_processes = staticmethod(lambda name: 1)

    def __init__(self, parameters: Parameters) -> None:
        super().__init__(parameters=parameters, modes={}, timed=[])

    def time(self, name: str, steps: int) -> Block:
        self.timed.append(name)
        return Block(seconds=float(steps), compilations=0)


STEPS = {"loop": 1, "trainer": 1, "input": 50}


def test_the_first_round_does_not_count(change) -> None:
    """It has the order of the first that does."""
    clock = Clock(change(throughput={"rounds": 3}))
    fields = measuring_process._rounds(clock, STEPS, ProcessIndex(7, 0), GpuClockLog("cpu"))
    rounds = [clock.timed[start : start + 4] for start in range(0, 16, 4)]
    assert len(fields["rounds"]) == 3
    assert rounds[0] == rounds[1] == rounds[2][::-1]
    assert len(clock.timed) == 16


def test_processes_go_through_the_orders_of_a_run(change) -> None:
    names = ["loop", "trainer", "input", "trainer_aa"]
    for number in range(2):
        clock = Clock(change(throughput={"rounds": 2}))
        measuring_process._rounds(clock, STEPS, ProcessIndex(7, number), GpuClockLog("cpu"))
        expected = [block_order(names, 7, 2 * number + turn) for turn in range(2)]
        timed = [name.replace("_aa", "") for names in expected for name in names]
        assert clock.timed[4:] == timed


def test_a_process_ends_with_its_parent() -> None:
    """However the parent ends, its end of the pipe is closed. Paused loader processes end too."""
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
    assert killed.reason.startswith("A loader process had too little space in /dev/shm. ")
    with pytest.raises(ZeroDivisionError):
        fail(ZeroDivisionError())


@pytest.mark.parametrize(("reason", "steps"), [("", 7), ("the counter is missing", 0)])
def test_energy_is_that_of_a_run_longer_than_the_counters_period(reason: str, steps: int) -> None:
    """NVML's counter advances every 0.1 s, 5 % of two seconds. Without a counter nothing runs."""
    meter, spent = measuring_process.EnergyMeter("cpu"), []
    meter.reason, meter._read = reason, lambda: 3.0 * sum(spent)

    def time(name: str, steps: int) -> Block:
        assert name == "trainer"
        spent.append(steps)
        return Block(seconds=0.3 * steps, compilations=0)

    reading = measuring_process._energy(SimpleNamespace(time=time), meter, step_seconds=0.3)
    assert sum(spent) == steps
    expected = EnergyReading(joules=3.0 * steps, steps=steps)
    assert reading == (EnergyReading(reason=reason) if reason else expected)


NAMES = "abcdefgh"


def cycle(count: int, seed: int = 1, first: int = 0) -> list[list[str]]:
    """Rounds after which everything has been balanced."""
    length = 2 * count if count % 2 else count
    return [block_order(NAMES[:count], seed, first * length + turn) for turn in range(length)]


@pytest.mark.parametrize("count", range(2, 9))
def test_each_comes_after_each_other_equally_often(count: int) -> None:
    pairs = Counter(pair for names in cycle(count) for pair in pairwise(names))
    assert len(pairs) == count * (count - 1)
    assert len(set(pairs.values())) == 1


@pytest.mark.parametrize("count", range(1, 9))
def test_each_has_each_place_equally_often(count: int) -> None:
    rounds = cycle(count)
    assert all(sorted(names) == sorted(NAMES[:count]) for names in rounds)
    for place in zip(*rounds, strict=True):
        assert len(set(Counter(place).values())) == 1
        assert len(set(place)) == count


def test_every_other_round_is_the_one_before_reversed() -> None:
    rounds = cycle(7)
    assert rounds[1::2] == [names[::-1] for names in rounds[::2]]


def test_runs_and_cycles_have_orders_of_their_own() -> None:
    assert cycle(7, seed=1) == cycle(7, seed=1)
    assert cycle(7, seed=1) != cycle(7, seed=2)
    assert cycle(7, first=0) != cycle(7, first=1)
