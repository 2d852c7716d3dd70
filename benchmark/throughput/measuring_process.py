"""One measuring process: `python -m benchmark.throughput.measuring_process RESULT`.

Its task is the first line of standard input, which stays open for as long as somebody waits for
the result. A task with a number is to measure speed; one without is to make the profile.

It measures and judges nothing: throughput.py starts several and compares them.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from benchmark.common.parameters import DataParameters, Parameters, parse_parameters
from benchmark.common.results import write_result
from benchmark.errors.loader_errors import explain_loader_errors
from benchmark.errors.training_errors import first_line, is_out_of_memory
from benchmark.errors.user_error import UserError, explain_system_errors
from benchmark.machine import accelerators, processors
from benchmark.machine.processors import OtherLoad
from benchmark.machine.sensors import EnergyMeter, GpuClockLog
from benchmark.throughput import decoding, efficiency, overhead
from benchmark.throughput.schema import (
    EnergyReading,
    Measurement,
    NotMeasured,
    ProcessIndex,
    Profile,
    WarmupSummary,
)
from benchmark.timing.order import order
from benchmark.timing.schema import AA, Block
from benchmark.timing.timer import ModeTimer, Warmup
from benchmark.training.fit import silence_lightning

ENERGY_SECONDS = 2.0
"""Time of the run whose energy is read: NVML's counter goes on every 0.1 s (an H200's)."""
T = TypeVar("T")


def main(arguments: list[str]) -> None:
    """Do the task and write its result."""
    line = sys.stdin.readline()
    if not line:
        return  # whoever started this was ended before saying what for
    task = json.loads(line)
    Thread(target=end_with_parent, args=[sys.stdin.fileno()], daemon=True).start()
    parameters = parse_parameters(task["parameters"], "the task")
    accelerator, place = task["accelerator"], task["place"]
    found: Measurement | Profile | NotMeasured
    if place is None:
        found = profile(accelerator, parameters)
    else:
        found = attempt(lambda: measure(accelerator, parameters, ProcessIndex(*place)))
    try:
        with explain_system_errors():
            write_result(Path(arguments[0]), found)
    except UserError as error:
        sys.exit(f"error: {error}")  # whoever started this says which process it was


def end_with_parent(pipe: int) -> None:
    """End this process group when the other end of `pipe` is closed: nobody waits any more, and
    the lock on the machine is gone."""
    os.read(pipe, 1)
    os.killpg(0, signal.SIGKILL)


def attempt(measured: Callable[[], T]) -> T | NotMeasured:
    """What `measured` returns; errors that a user can correct, and a lack of memory, are results
    too."""
    try:
        with explain_system_errors(), explain_loader_errors():
            return measured()
    except UserError as error:
        return NotMeasured(status="refused", reason=str(error))
    except Exception as error:
        if not is_out_of_memory(f"{type(error).__name__}: {error}"):
            raise
        return NotMeasured(status="out of memory", reason=first_line(error))


def profile(accelerator: str, parameters: Parameters) -> Profile:
    """What is measured once: a part that fails is no other's loss."""
    silence_lightning()
    accelerators.prepare(accelerator)
    precision = parameters.train.precision
    return Profile(
        peak=attempt(lambda: efficiency.peak(accelerator, precision)),
        overhead=attempt(lambda: overhead.measure(accelerator, precision)),
        decoding=attempt(lambda: decoding.measure(parameters.data)),
    )


def measure(accelerator: str, parameters: Parameters, place: ProcessIndex) -> Measurement:
    """What one process finds: warm-up, and rounds of blocks.

    Raises:
        UserError: the data or the weights are not usable.
    """
    accelerators.prepare(accelerator)
    meter, clocks = EnergyMeter(accelerator), GpuClockLog(accelerator)
    with ModeTimer(accelerator, parameters) as mode_timer, OtherLoad() as load:
        warmups = {name: mode_timer.warm_up(name) for name in mode_timer.names}
        blocks = _rounds(mode_timer, _steps(parameters, warmups), place, clocks)
        energy = _energy(mode_timer, meter, warmups["trainer"].step_seconds)
        memory = efficiency.peak_memory(accelerator)
    return Measurement(
        **_start(mode_timer, warmups),
        **blocks,
        energy=energy,
        memory=memory,
        other_work=round(load.share, 4),
        gpu_clocks=clocks.clocks(),
        peers=mode_timer.peers,
    )


def _steps(parameters: Parameters, warmups: Mapping[str, Warmup]) -> dict[str, int]:
    """Steps in a block of each mode; those that train have blocks of the same length."""
    least = parameters.throughput.block_seconds
    needed = {name: ceil(least / warmup.step_seconds) for name, warmup in warmups.items()}
    inputs = {name: needed[name] for name in needed if name.endswith("input")}
    return {name: inputs.get(name, needed["trainer"]) for name in needed}


def _start(mode_timer: ModeTimer, warmups: Mapping[str, Warmup]) -> dict[str, Any]:
    warm, first = warmups["trainer"], mode_timer.first_step
    compiling = max(0.0, first.seconds - warm.step_seconds) if first.compilations else 0.0
    return {
        "first_step_seconds": mode_timer.seconds_to_first_step,
        "compile_seconds": compiling + warm.compile_seconds,
        "warmup": {
            name: WarmupSummary(steps=len(warmup.seconds), steady=warmup.steady)
            for name, warmup in warmups.items()
        },
    }


def _rounds(
    mode_timer: ModeTimer, steps: dict[str, int], place: ProcessIndex, clocks: GpuClockLog
) -> dict[str, Any]:
    """Blocks in rounds, each in an order of its own. The first round is one more and does not
    count: a mode's first block after its warm-up is slower."""
    steps, rounds = {**steps, AA: steps["trainer"]}, mode_timer.parameters.throughput.rounds
    first = place.number * rounds
    orders = [order([*steps], place.seed, first + turn) for turn in range(rounds)]
    _round(mode_timer, orders[0], steps)
    blocks: list[dict[str, Block]] = []
    singles: list[float] = []
    for names in orders:
        blocks.append(_round(mode_timer, names, steps))
        singles += _single_steps(mode_timer, blocks[-1], steps["trainer"])
        clocks.record()
    return {
        "steps": steps,
        "cores": _cores(mode_timer.parameters.data, steps),
        "rounds": tuple(blocks),
        "step_seconds": tuple(singles),
    }


def _round(
    mode_timer: ModeTimer, names: Sequence[str], steps: Mapping[str, int]
) -> dict[str, Block]:
    """A block of each mode."""
    return {name: mode_timer.time("trainer" if name == AA else name, steps[name]) for name in names}


def _energy(mode_timer: ModeTimer, meter: EnergyMeter, step_seconds: float) -> EnergyReading:
    """What the Trainer takes, from one run of it."""
    if meter.reason:
        return EnergyReading(reason=meter.reason)
    steps = ceil(ENERGY_SECONDS / step_seconds)
    before = meter.joules()
    mode_timer.time("trainer", steps)
    return EnergyReading(joules=meter.joules() - before, steps=steps)


def _single_steps(mode_timer: ModeTimer, measured: dict[str, Block], steps: int) -> list[float]:
    """Times of single steps, each synchronised: the round's blocks, if those are single steps."""
    if steps == 1:
        blocks = [measured[name] for name in ("trainer", AA)]
    else:
        blocks = [mode_timer.time("trainer", 1) for _ in range(steps)]
    return [block.seconds for block in blocks if not block.compilations]


def _cores(data: DataParameters, steps: Mapping[str, int]) -> dict[str, int]:
    """How many cores each loader keeps busy."""
    busy = min(max(1, data.num_workers), processors.cores())
    cores = {"input": busy, "baseline_input": processors.cores()}
    return {name: cores[name] for name in cores if name in steps}


if __name__ == "__main__":
    main(sys.argv[1:])
