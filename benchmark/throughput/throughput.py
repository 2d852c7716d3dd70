"""The throughput stage: how many images per second an accelerator trains, and how sure that is.

Several processes, one after another, each measure every mode (modes.py) in blocks that take
turns. A process is one sample: rates and ratios are medians over processes with 95 % intervals.
With a frozen backbone a step still runs the whole network, on augmented images: a rate of stored
features would say nothing.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import track

from benchmark import efficiency, machine, samples, sweep
from benchmark.accelerators import Accelerator
from benchmark.datamodule import ImageDataModule
from benchmark.errors import UserError
from benchmark.files import read_json, write_json
from benchmark.parameters import Parameters
from benchmark.results import Results
from benchmark.rig import steps_per_epoch
from benchmark.samples import Sample
from benchmark.statistics import Interval, interval, percentiles
from benchmark.train import Inputs, check, gather_inputs

WORKER = "benchmark.worker"
RESOLUTION = 1e-6
"""Seconds and joules below which a difference means nothing: no counter tells them apart."""
SPREAD = 0.1
"""Widest 95 % interval of a stable result, as a part of the median."""
DRIFT = 0.01
"""How far from 1 the noise floor may lie: one in twenty sound intervals does not hold 1."""


def run(accelerator: Accelerator, parameters: Parameters) -> None:
    """The stage: measure an accelerator that is here.

    Raises:
        UserError: as the training stage; the batch is larger than the training split, or does
            not fit into memory; a measuring process failed; or nothing ran without compiling.
    """
    check(accelerator.name, parameters.train)
    steps_per_epoch(parameters)
    points = sweep.points(parameters)
    inputs = gather_inputs(accelerator.name, parameters, "throughput")
    with machine.alone():
        machine.warn_if_busy()
        data = ImageDataModule(**parameters.data.model_dump())
        data.prepare_data()
        with machine.Witness() as witness:
            found, swept = _measure(accelerator, parameters, points)
    result = _result(accelerator, parameters, inputs, found, witness.others)
    result["efficiency"] = _efficiency(accelerator, parameters, found, len(data.classes))
    write_json(Results(accelerator.name).throughput, result | swept | _raw(found))


def sample(accelerator: Accelerator, parameters: Parameters, number: int) -> dict[str, Any]:
    """What process `number` finds, in a process of its own.

    Raises:
        UserError: it failed; its own words stand on standard error.
    """
    task = {
        "accelerator": accelerator.name,
        "parameters": parameters.model_dump(mode="json"),
        "number": number,
    }
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        status = _execute([sys.executable, "-m", WORKER, str(result)], json.dumps(task))
        if status == 0:
            return read_json(result)
    if status == -signal.SIGKILL:
        reason = "the process was killed (signal 9), most likely for want of memory"
        return {"status": "out of memory", "reason": reason}
    raise UserError(
        f"{accelerator.label}: measuring process {number + 1} ended with status {status}.",
        "Its own words are above.",
    )


def _execute(command: list[str], task: str) -> int:
    """Give `task` to a process in a group of its own: should it die, the system wakes up and ends
    those of its loaders' processes that stand still. Should this process die, it ends itself."""
    with subprocess.Popen(command, 0, stdin=subprocess.PIPE, process_group=0) as process:
        assert process.stdin
        try:
            with suppress(BrokenPipeError):
                process.stdin.write(f"{task}\n".encode())
            process.wait()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode


def _measure(
    accelerator: Accelerator, parameters: Parameters, points: Sequence[sweep.Point]
) -> tuple[list[Sample], dict[str, Any]]:
    """One process for the run's own parameters and for each point of the sweep, in turn."""
    found: list[Sample] = []
    swept: list[list[dict[str, Any]]] = [[] for _ in points]
    for number in _counted(parameters.throughput.repeats, accelerator.label):
        found.append(_own(accelerator, parameters, number))
        _say(f"{accelerator.label} process {number + 1}: {found[-1].rate('trainer'):.1f} images/s")
        for point, results in zip(points, swept, strict=True):
            if all(result["status"] == "ok" for result in results):
                results.append(_swept(accelerator, point, number))
    if not points:
        return found, {}
    summaries = [_summary(p, results) for p, results in zip(points, swept, strict=True)]
    return found, {"sweep": summaries}


def _own(accelerator: Accelerator, parameters: Parameters, number: int) -> Sample:
    found = sample(accelerator, parameters, number)
    if found["status"] == "refused":
        raise UserError(f"{accelerator.label}:", found["reason"])
    if found["status"] != "ok":
        raise UserError(
            f"{accelerator.label}: out of memory with data.batch_size = "
            f"{parameters.data.batch_size} ({found['reason']}).",
            "Lower it.",
        )
    return Sample(found, parameters.data.batch_size)


def _swept(accelerator: Accelerator, point: sweep.Point, number: int) -> dict[str, Any]:
    """What a point lacks, or how it fails, is a result as well, and no other point's loss."""
    try:
        check(accelerator.name, point.parameters.train)
        steps_per_epoch(point.parameters)
    except UserError as error:
        return {"status": "unavailable", "reason": str(error)}
    try:
        return sample(accelerator, point.parameters, number)
    except UserError as error:
        return {"status": "failed", "reason": str(error)}


def _summary(point: sweep.Point, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    last = results[-1]
    if last["status"] != "ok":
        return {**point.changes, "status": last["status"], "reason": last["reason"]}
    found = [Sample(result, point.parameters.data.batch_size) for result in results]
    try:
        rate = asdict(samples.rates(found)["trainer"])
    except UserError as error:
        return {**point.changes, "status": "failed", "reason": str(error)}
    raw = [dict(s.found) for s in found]
    return {**point.changes, "status": "ok", "images_per_second": rate, "samples": raw}


def _result(
    accelerator: Accelerator,
    parameters: Parameters,
    inputs: Inputs,
    found: Sequence[Sample],
    others: float,
) -> dict[str, Any]:
    rates, ratios = samples.rates(found), samples.ratios(found)
    floor = samples.noise_floor(found)
    return {
        "status": "ok",
        "accelerator": accelerator.label,
        "device": accelerator.device,
        "verdict": judge(rates["trainer"], ratios, floor, _moving(found), others),
        "workload": workload(parameters, inputs.code, inputs.weights),
        "dataset": inputs.dataset,
        "modes": {name: {"images_per_second": asdict(rate)} for name, rate in rates.items()},
        "ratios": {name: asdict(ratio) for name, ratio in ratios.items()},
        "noise_floor": asdict(floor),
        "trainer": _trainer(found),
        "other_work": round(others, 4),
    }


def judge(
    rate: Interval,
    ratios: Mapping[str, Interval],
    floor: Interval,
    moving: Sequence[str],
    others: float,
) -> str:
    """Whether to trust a result: "stable", or "unstable: <why>, <what to do>". Steps are judged;
    a loader's rate is some hundred times theirs, and its own interval stands beside it.

    Args:
        rate: the trainer's.
        ratios: of the modes, by name.
        floor: the trainer's against itself.
        moving: modes whose warm-up ended, in some process, before steps were level.
        others: part of the processors' time that other work took.
    """
    steps = {name: found for name, found in ratios.items() if not name.startswith("input_")}
    named = {"the rate": rate, **steps, "the noise floor": floor}
    wide = {name: found.spread for name, found in named.items() if found.spread > SPREAD}
    if others > machine.BUSY:
        return f"unstable: other work took {others:.0%} of the processors, end it and repeat"
    if moving:
        return (
            f"unstable: the warm-up of {' and '.join(moving)} ended before step times were level, "
            "raise throughput.warmup_steps"
        )
    if wide:
        name, spread = next(iter(wide.items()))
        return (
            f"unstable: the interval of {name} is {spread:.0%} of the median wide, raise "
            "throughput.rounds or throughput.repeats, or find out what disturbs the machine"
        )
    if floor.low > 1 + DRIFT or floor.high < 1 - DRIFT:
        return (
            f"unstable: the trainer against itself came to {floor.low:.3f} to {floor.high:.3f}, "
            "raise throughput.rounds"
        )
    return "stable"


def _moving(found: Sequence[Sample]) -> list[str]:
    """Modes that train and were not level. A loader alone comes in bursts, whatever it is."""
    trains = [mode for mode in found[0].modes if not mode.endswith("input")]
    return [m for m in trains if not all(s.found["warmup"][m]["level"] for s in found)]


def workload(parameters: Parameters, code: str, weights: str) -> dict[str, Any]:
    """What must be equal for two throughputs to be compared: the parameters that matter, and
    digests of the code and the weights, whose file may lie elsewhere on another machine."""
    names = {"image_size", "batch_size", "num_workers", "cache_gib"}
    data = parameters.data.model_dump(include=names)
    network = {"network": "resnet50", **parameters.model.model_dump(), "weights": weights}
    recipe = parameters.train.model_dump(include={"precision", "fused"})
    return {**network, **data, **recipe, "code": code}


def _trainer(found: Sequence[Sample]) -> dict[str, Any]:
    """What else is known of the Trainer: its steps, its start, and what Lightning adds."""

    def middle(*path: str) -> dict[str, float]:
        return asdict(interval([max(_pick(s.found, path), RESOLUTION) for s in found]))

    singles = [seconds for s in found for seconds in s.found["step_seconds"]]
    return {
        "step_seconds": percentiles(singles) if len(singles) > 1 else {},
        "first_step_seconds": middle("first_step_seconds"),
        "compile_seconds": median(s.found["compile_seconds"] for s in found),
        "lightning_seconds_per_step": middle("overhead", "seconds_per_step"),
        "lightning_seconds_per_epoch": middle("overhead", "seconds_per_epoch"),
    }


def _efficiency(
    accelerator: Accelerator, parameters: Parameters, found: Sequence[Sample], classes: int
) -> dict[str, Any]:
    flops = efficiency.flops_per_image(parameters, classes)
    achieved = [flops * s.rate("trainer") for s in found]
    peaks = [s.found["peak"]["flops_per_second"] for s in found]
    used = [a / b for a, b in zip(achieved, peaks, strict=True)]
    return {
        "flops_per_image": flops,
        "flops_per_second": asdict(interval(achieved)),
        "peak_flops_per_second": asdict(interval(peaks)),
        "peak_of": found[0].found["peak"]["of"],
        "utilisation": asdict(interval(used)),
        "data_wait_share": {
            mode: median(s.share_waited(mode) for s in found)
            for mode in found[0].found["waited_seconds"]
        },
        "peak_memory": _memory(found),
        "energy": _energy(found),
        **_decoding(found),
        **_cost(accelerator, parameters, found),
    }


def _memory(found: Sequence[Sample]) -> dict[str, Any]:
    """The most of all processes; each holds one network and one optimizer."""
    memories = [s.found["memory"] for s in found]
    devices = [memory["device_bytes"] for memory in memories]
    known = all(isinstance(size, int) for size in devices)
    host = max(memory["host_bytes"] for memory in memories)
    return {"host_bytes": host, "device_bytes": max(devices) if known else devices[0]}


def _energy(found: Sequence[Sample]) -> dict[str, Any]:
    energies = [s.found["energy"] for s in found]
    if any("reason" in energy for energy in energies):
        return {"status": "unavailable", "reason": energies[0].get("reason", "it came and went")}
    each = [e["joules"] / s.trainer_images for e, s in zip(energies, found, strict=True)]
    return {
        "status": "ok",
        "joules_per_image": asdict(interval([max(j, RESOLUTION) for j in each])),
    }


def _decoding(found: Sequence[Sample]) -> dict[str, Any]:
    """Images per second while the decode cache is built, which happens once; ImageFolder decodes
    as it goes."""
    known = [s for s in found if s.found.get("decoded_per_second")]
    if len(known) < 2:
        return {}
    rates = [s.found["decoded_per_second"] for s in known]
    result = {"decoded_per_second": asdict(interval(rates))}
    if "baseline_input" in known[0].modes:
        times = [s.found["decoded_per_second"] / s.rate("baseline_input") for s in known]
        result["decoded_over_baseline_input"] = asdict(interval(times))
    return result


def _cost(
    accelerator: Accelerator, parameters: Parameters, found: Sequence[Sample]
) -> dict[str, Any]:
    prices = {str(name): price for name, price in parameters.throughput.price_per_hour.items()}
    if accelerator.name not in prices:
        return {}
    price = prices[accelerator.name]
    costs = [price / 3600 * 1e6 / s.rate("trainer") for s in found]
    return {"cost_per_million_images": asdict(interval(costs))}


def _raw(found: Sequence[Sample]) -> dict[str, Any]:
    """Every block, for whoever doubts the rest."""
    return {"samples": [dict(s.found) for s in found]}


def _pick(value: Any, path: Sequence[str]) -> float:
    for name in path:
        value = value[name]
    return float(value)


def _counted(repeats: int, label: str) -> Any:
    console = Console(stderr=True)
    return track(
        range(repeats), f"Measuring {label}", console=console, disable=not console.is_terminal
    )


def _say(line: str) -> None:
    """Where there is no progress bar."""
    if not Console(stderr=True).is_terminal:
        print(line, flush=True)
