"""Made-up results of stages, of the types that the stages write."""

from typing import Any

from benchmark.common.statistics import interval
from benchmark.data.schema import PinnedImages, Weights
from benchmark.machine.schema import Environment, Memory
from benchmark.throughput.schema import (
    Block,
    EnergyReading,
    Measurement,
    Overhead,
    Peak,
    Profile,
    WarmupSummary,
)
from benchmark.timing.schema import AA

DATASET = PinnedImages(
    md5="0123.dir", nfiles=27, size=27_000, classes=3, images={"train": 15, "val": 6, "test": 6}
)
WEIGHTS = Weights(weights="random")


def environment(label: str = "cpu") -> Environment:
    """Return the environment of a machine that has the accelerator."""
    return Environment(
        accelerator=label,
        device=f"a {label}",
        machine="a" * 16,
        cpu="a processor",
        cores=4,
        processors=4,
        threads=4,
        memory_gib=16,
        system="Linux x86_64",
        python="3.11.7",
        packages={"torch": "2.9.1"},
    )


def measurement(blocks: dict[str, list[Block]], *, steps: int = 1, **facts: Any) -> Measurement:
    """Return the measurement of one process, from the blocks of each mode, one for each round.

    The Trainer's second block equals its first one, unless it is given. `facts` replace fields.
    """
    modes = {AA: blocks["trainer"], **blocks}
    rounds = [dict(zip(modes, turn, strict=True)) for turn in zip(*modes.values(), strict=True)]
    made_up = {
        "first_step_seconds": 1.0,
        "compile_seconds": 0.0,
        "warmup": {name: WarmupSummary(steps=3, steady=True) for name in blocks},
        "steps": dict.fromkeys(modes, steps),
        "cores": {},
        "rounds": tuple(rounds),
        "step_seconds": tuple(block.seconds / steps for block in blocks["trainer"]) * 2,
        "energy": EnergyReading(reason="no counter"),
        "memory": Memory(host_bytes=10, device_reason="the host's memory is the device's"),
        "other_work": 0.01,
    }
    return Measurement(**made_up | facts)


def profile(**facts: Any) -> Profile:
    """Return the profile, which one process measures for all; `facts` replace fields."""
    made_up = {
        "peak": Peak(flops_per_second=1e12, of="a product"),
        "overhead": Overhead(seconds_per_step=1e-4, seconds_per_epoch=1e-3),
        "decoding": interval([2000.0, 2100.0]),
    }
    return Profile(**made_up | facts)
