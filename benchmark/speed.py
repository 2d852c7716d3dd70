"""What the report says of throughput besides the rate: how sure it is, and where the time goes."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.markdown import table

RATIOS = {
    "trainer_over_loop": "Trainer / plain loop",
    "trainer_over_compute": "Trainer / resident batch",
    "trainer_over_baseline": "Trainer / ImageFolder loop",
    "input_over_baseline_input": "Loader / ImageFolder loader, per core",
}


def section(throughputs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Markdown blocks for the accelerators that were measured; none if there are none."""
    if not throughputs:
        return []
    names = [n for n in RATIOS if any(n in found["ratios"] for found in throughputs)]
    header = ("Accelerator", *(RATIOS[name] for name in names), "Noise floor", "Of its peak")
    verdicts = "\n".join(f"- {found['accelerator']}: {found['verdict']}." for found in throughputs)
    return [
        "## How sure is the speed, and where does the time go?",
        verdicts,
        table(header, [_cells(found, names) for found in throughputs]),
        "Ratios of images per second, from blocks that took turns, with 95 % intervals; the noise "
        "floor is the Trainer against itself. The plain loop is PyTorch without Lightning, the "
        "resident batch training without input, ImageFolder what most people write. The last "
        "column is the part of the best rate of convolutions and matrix products in the same "
        "process and precision that training reached.",
    ]


def _cells(found: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    ratios = [found["ratios"].get(name) for name in names]
    cells = [_interval(ratio) if ratio else "-" for ratio in ratios]
    used = found["efficiency"]["utilisation"]["median"]
    return [found["accelerator"], *cells, _interval(found["noise_floor"]), f"{used:.0%}"]


def _interval(found: Mapping[str, float]) -> str:
    """Ratios near 1 to three places, others as counts."""
    places = 3 if found["median"] < 10 else 0
    low, middle, high = (f"{found[name]:.{places}f}" for name in ("low", "median", "high"))
    return f"{middle} ({low} to {high})"
