"""One measuring process: `python -m benchmark.throughput RESULT`.

It reads a task from the first line of standard input and writes the result to the file RESULT. The
parent keeps its end of the pipe open until the process ends. A task whose `index` is null measures
the profile, any other task measures speed. `benchmark/pipeline/throughput.py` starts several
processes and compares them.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from benchmark.common.modes import MODES
from benchmark.common.parameters import Parameters, parse_parameters
from benchmark.common.results import write_result
from benchmark.data.randomness import permutation
from benchmark.errors.loader_errors import explain_loader_errors
from benchmark.errors.training_errors import first_line, is_compile_error, is_out_of_memory
from benchmark.errors.user_error import UserError, explain_system_errors
from benchmark.machine import accelerators, processors
from benchmark.machine.memory import peak_memory
from benchmark.machine.processors import OtherLoad
from benchmark.machine.sensors import EnergyMeter, GpuClockLog
from benchmark.throughput import profile
from benchmark.throughput.schema import (
    EnergyReading,
    Measurement,
    NotMeasured,
    ProcessIndex,
    Profile,
    WarmupSummary,
)
from benchmark.timing.schema import AA, Block
from benchmark.timing.timer import ModeTimer, Warmup
from benchmark.training.fit import silence_lightning

ENERGY_SECONDS = 2.0
"""Shortest run whose energy is read: NVML's counter advances only every 0.1 s on an H200."""
T = TypeVar("T")


def main(arguments: list[str]) -> None:
    """Read the task, measure, and write the result to `arguments[0]`.

    Raises:
        SystemExit: the result cannot be written.
    """
    line = sys.stdin.readline()
    if not line:
        return  # the parent exited before sending the task
    task = json.loads(line)
    Thread(target=end_with_parent, args=[sys.stdin.fileno()], daemon=True).start()
    parameters = parse_parameters(task["parameters"], "the task")
    accelerator, index = task["accelerator"], task["index"]
    result: Measurement | Profile | NotMeasured
    if index is None:
        result = make_profile(accelerator, parameters)
    else:
        result = attempt(lambda: measure(accelerator, parameters, ProcessIndex(*index)))
    try:
        with explain_system_errors():
            write_result(Path(arguments[0]), result)
    except UserError as error:
        sys.exit(f"error: {error}")  # the parent adds which process it was


def end_with_parent(pipe: int) -> None:
    """Wait until the parent has closed its end of `pipe`, then kill this process group.

    A thread runs this. The pipe closes when the parent ends, which also frees the measuring lock:
    this process must not disturb the next measurement.
    """
    os.read(pipe, 1)
    os.killpg(0, signal.SIGKILL)


def attempt(measured: Callable[[], T]) -> T | NotMeasured:
    """Return the result of `measured`, or a NotMeasured if it was refused.

    It is also a NotMeasured if memory is exhausted, or if torch.compile fails.

    Raises:
        Exception: any other error of `measured`.
    """
    try:
        with explain_system_errors(), explain_loader_errors():
            return measured()
    except UserError as error:
        return NotMeasured(status="refused", reason=str(error))
    except Exception as error:
        if is_out_of_memory(f"{type(error).__name__}: {error}"):
            return NotMeasured(status="out of memory", reason=first_line(error))
        if is_compile_error(error):
            reason = f"torch.compile failed ({first_line(error)}). Set model.compile to false."
            return NotMeasured(status="refused", reason=reason)
        raise


def make_profile(accelerator: str, parameters: Parameters) -> Profile:
    """Measure the peak, Lightning's overhead and decoding. If one fails, the others are kept."""
    silence_lightning()
    accelerators.prepare(accelerator)
    precision = parameters.train.precision
    return Profile(
        peak=attempt(lambda: profile.peak(accelerator, precision)),
        overhead=attempt(lambda: profile.lightning_overhead(accelerator, precision)),
        decoding=attempt(lambda: profile.decoding_rate(parameters.data)),
    )


def measure(accelerator: str, parameters: Parameters, index: ProcessIndex) -> Measurement:
    """Measure all modes except peers: warm-up, rounds of blocks, then a run for the energy.

    Raises:
        UserError: the data, the weights or the parameters are not usable.
    """
    accelerators.prepare(accelerator)
    meter, clocks = EnergyMeter(accelerator), GpuClockLog(accelerator)
    with ModeTimer(accelerator, parameters) as mode_timer, OtherLoad() as load:
        warmups = {name: mode_timer.warm_up(name) for name in mode_timer.names}
        blocks = _rounds(mode_timer, _steps(parameters, warmups), index, clocks)
        warm, first = warmups["trainer"], mode_timer.first_step
        energy = _energy(mode_timer, meter, warm.step_seconds)
        memory = peak_memory(accelerator)
        capped_workers = mode_timer.capped_workers
    compiling = max(0.0, first.seconds - warm.step_seconds) if first.compilations else 0.0
    return Measurement(
        **blocks,
        first_step_seconds=mode_timer.seconds_to_first_step,
        compile_seconds=compiling + warm.compile_seconds,
        warmup={
            name: WarmupSummary(steps=len(warmup.seconds), steady=warmup.steady)
            for name, warmup in warmups.items()
        },
        energy=energy,
        memory=memory,
        capped_workers=capped_workers,
        other_work=round(load.share, 4),
        gpu_clocks=clocks.clocks(),
    )


def _steps(parameters: Parameters, warmups: Mapping[str, Warmup]) -> dict[str, int]:
    """Return the number of steps in a block of each mode; it is the same if modes train."""
    seconds = parameters.throughput.block_seconds
    steps = {name: ceil(seconds / warmup.step_seconds) for name, warmup in warmups.items()}
    return {name: steps["trainer" if MODES[name].trains else name] for name in steps}


def _rounds(
    mode_timer: ModeTimer, steps: dict[str, int], index: ProcessIndex, clocks: GpuClockLog
) -> dict[str, Any]:
    """Time rounds of blocks, each round in another order, and return fields of Measurement.

    One more round runs first and is discarded: a mode's first block after its warm-up is slower.
    """
    steps, rounds = {**steps, AA: steps["trainer"]}, mode_timer.parameters.throughput.rounds
    first = index.number * rounds
    orders = [block_order([*steps], index.seed, first + turn) for turn in range(rounds)]
    _round(mode_timer, orders[0], steps)
    blocks: list[dict[str, Block]] = []
    singles: list[float] = []
    for names in orders:
        blocks.append(_round(mode_timer, names, steps))
        singles += _single_steps(mode_timer, blocks[-1], steps["trainer"])
        clocks.record()
    return {
        "steps": steps,
        "cores": _cores(mode_timer, steps),
        "rounds": tuple(blocks),
        "step_seconds": tuple(singles),
    }


def _round(
    mode_timer: ModeTimer, names: Sequence[str], steps: Mapping[str, int]
) -> dict[str, Block]:
    """Time a block of each mode, in the order of `names`; AA is another block of the Trainer."""
    return {name: mode_timer.time("trainer" if name == AA else name, steps[name]) for name in names}


def _energy(mode_timer: ModeTimer, meter: EnergyMeter, step_seconds: float) -> EnergyReading:
    """Run the Trainer for ENERGY_SECONDS and return the energy, or the reason without a run."""
    if meter.reason:
        return EnergyReading(reason=meter.reason)
    steps = ceil(ENERGY_SECONDS / step_seconds)
    before = meter.joules()
    mode_timer.time("trainer", steps)
    return EnergyReading(joules=meter.joules() - before, steps=steps)


def _single_steps(mode_timer: ModeTimer, measured: dict[str, Block], steps: int) -> list[float]:
    """Return the seconds of single synchronised steps of the Trainer.

    If a block is one step, these are the round's blocks; else `steps` more steps run. Steps that
    compiled a graph are left out.
    """
    if steps == 1:
        blocks = [measured[name] for name in ("trainer", AA)]
    else:
        blocks = [mode_timer.time("trainer", 1) for _ in range(steps)]
    return [block.seconds for block in blocks if not block.compilations]


def _cores(mode_timer: ModeTimer, names: Iterable[str]) -> dict[str, int]:
    """Return the number of cores that each mode that only loads keeps busy."""
    cores = processors.processor_count()
    loaders = [name for name in names if name != AA and not MODES[name].trains]
    return {name: min(max(1, mode_timer.loader_processes(name)), cores) for name in loaders}


def block_order(names: Sequence[str], seed: int, turn: int) -> list[str]:
    """Return the order of the modes' blocks in round `turn`, counted over all processes of a run.

    Orders are rows of Williams' square, each followed by its reverse. A cycle has len(names)
    rounds, or twice that for an odd number of names. In a cycle each name has each position equally
    often, and comes right after each other name equally often. Each cycle draws another assignment
    of names to rows, from `seed`.

    Source: Williams, Australian Journal of Scientific Research A 2 (1949).
    """
    count = len(names)
    rows = count if count % 2 else count // 2
    cycle, row = divmod(turn // 2, rows)
    drawn = permutation(seed, cycle, count)
    zigzag = [(place + 1) // 2 if place % 2 else -place // 2 for place in range(count)]
    order = [names[drawn[(step + row) % count]] for step in zigzag]
    return order[::-1] if turn % 2 else order
