import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from benchmark.common.errors import UserError
from benchmark.common.parameters import Parameters
from benchmark.common.results import read_result
from benchmark.data.datamodule import ImageDataModule
from benchmark.throughput import process
from benchmark.throughput.schema import PROCESS, Block, Measurement, NotMeasured

pytestmark = pytest.mark.usefixtures("small_network")


def prepared(parameters: Parameters) -> Parameters:
    ImageDataModule(**parameters.data.model_dump()).prepare_data()
    return parameters


def test_a_process_measures_every_mode_in_rounds(parameters, monkeypatch, tmp_path) -> None:
    task = {"accelerator": "cpu", "number": 1, "parameters": parameters.model_dump(mode="json")}
    (tmp_path / "task").write_text(json.dumps(task))
    monkeypatch.setattr(process, "end_with_parent", lambda pipe: None)
    with (tmp_path / "task").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        process.main([str(tmp_path / "result.json")])
    found = read_result(tmp_path / "result.json", PROCESS)
    assert isinstance(found, Measurement)
    modes = {"input", "compute", "loop", "trainer", "baseline", "baseline_input", "trainer_aa"}
    assert found.steps.keys() == modes
    assert len(found.rounds) == 2
    assert all(turn.keys() == modes for turn in found.rounds)
    assert all(block.seconds > 0 for turn in found.rounds for block in turn.values())
    trains = modes - {"input", "baseline_input"}
    assert len({found.steps[mode] for mode in trains}) == 1
    assert found.warmup["trainer"].steps >= 2
    assert found.first_step_seconds > 0
    assert found.waited_seconds.keys() == {"loop", "baseline"}
    assert found.peak.flops_per_second > 0
    assert found.decoded_per_second
    assert found.overhead.seconds_per_step > 0
    assert len(found.step_seconds) >= 2 * found.steps["trainer"]
    assert not list(Path(".cache").glob("tmp*"))


def test_rounds_have_orders_of_their_own(parameters, monkeypatch) -> None:
    order: list[str] = []
    original = process.ModeTimer.time

    def time(mode_timer: process.ModeTimer, name: str, steps: int) -> Block:
        order.append(name)
        return original(mode_timer, name, steps)

    monkeypatch.setattr(process.ModeTimer, "time", time)
    monkeypatch.setattr(process, "_single_steps", lambda *_: [])
    process.measure("cpu", parameters, 0)
    first, second = order[-14:-7], order[-7:]
    assert sorted(first) == sorted(second)
    assert first.count("trainer") == 2
    assert first != second


def test_a_process_ends_with_whoever_waits_for_it() -> None:
    """However that one ends: its end of the pipe is closed. Loader processes end as well, even
    those that stand still."""
    program = """
import os, signal, threading
from benchmark.throughput.process import end_with_parent
child = os.fork()
if not child:
    os.kill(os.getpid(), signal.SIGSTOP)
os.waitpid(child, os.WUNTRACED)
print(child, flush=True)
threading.Thread(target=end_with_parent, args=[0], daemon=True).start()
signal.pause()
"""
    command, pipe = [sys.executable, "-c", program], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, process_group=0) as process:
        assert process.stdin
        assert process.stdout
        child = psutil.Process(int(process.stdout.readline()))
        process.stdin.close()
        assert process.wait(timeout=60) == -signal.SIGKILL
    child.wait(timeout=60)


def test_a_large_dataset_has_no_rate_of_decoding(change, workspace) -> None:
    data = prepared(change(data={"cache_gib": 0})).data
    assert process.decoding_rate(data, Path(".cache")) is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated"), True),
        (RuntimeError("RESOURCE_EXHAUSTED: Attempting to reserve 9G"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_a_lack_of_memory_is_told_from_other_errors(error: Exception, expected: bool) -> None:
    assert process.is_out_of_memory(error) == expected


def test_what_went_wrong_is_a_result_or_an_error(parameters, monkeypatch) -> None:
    def fail(error: Exception):
        def measure(*_: object) -> None:
            raise error

        monkeypatch.setattr(process, "measure", measure)
        return process.attempt("cpu", parameters, 0)

    lacking = fail(RuntimeError("out of memory\nmore words"))
    assert lacking == NotMeasured(status="out of memory", reason="out of memory")
    refused = NotMeasured(status="refused", reason="No. Do.")
    assert fail(UserError("No.", "Do.")) == refused
    killed = fail(RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error."))
    assert killed.status == "refused"
    assert killed.reason.startswith("A loader process found no room in /dev/shm. ")
    with pytest.raises(ZeroDivisionError):
        fail(ZeroDivisionError())


def test_memory_that_cannot_be_had_is_recognised(parameters) -> None:
    """A real refusal of the allocator's, not a made up text."""
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**60, dtype=torch.uint8)
    assert process.is_out_of_memory(refused.value)


def test_energy_is_that_of_the_trainers_blocks_alone(parameters) -> None:
    """A step of any mode takes a joule, and the trainer's single steps are timed besides."""
    meter, spent = process.EnergyMeter("cpu"), []
    meter.reason, meter._read = "", lambda: float(sum(spent))

    def time(name: str, steps: int) -> process.Block:
        spent.append(steps)
        return process.Block(seconds=1.0, compilations=0)

    timer = SimpleNamespace(parameters=parameters, modes={}, time=time)
    found = process._rounds(timer, {"loop": 3, "trainer": 3, "input": 50}, 0, meter)
    rounds = parameters.throughput.rounds
    assert found["energy"].joules == rounds * 2 * 3
    assert len(found["step_seconds"]) == rounds * 3
