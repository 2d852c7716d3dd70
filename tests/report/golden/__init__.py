"""`python -m tests.report.golden`: rewrite the Markdown and pages that the report must equal.

Look at the difference before you commit it.
"""

from collections.abc import Callable
from itertools import accumulate, pairwise
from math import exp
from operator import mul
from pathlib import Path
from typing import Any

from benchmark.common.parameters import ReportParameters
from benchmark.machine.schema import Memory
from benchmark.report import comparison, markdown, page, sections
from benchmark.report.comparison_schema import Comparison
from benchmark.report.pictures import Confusion, Picture, Sheets
from benchmark.report.schema import Absent, Record, TrainingRecord
from benchmark.throughput.schema import (
    BatchCurve,
    BatchPoint,
    BestBatch,
    IntervalWidth,
    NotMeasured,
    PeerStatus,
    SweepPoint,
)
from tests.support.made_records import DATASET, DISTURBED, absent, around, record, training

FOLDER = Path(__file__).parent
PARAMETERS = ReportParameters(target_accuracy=0.6, margin=0.05, price_per_hour={}, currency="USD")
FACTS = ["Dataset `abababababab`: 3 classes, <b>many</b> images."]
NAMES = ("<script>alert('x')</script>", "a \"quoted\" & 'other' one", "فراشة الملك", "Monarch")
CHARTS = ("throughput", "loss", "accuracy", "steps", "curve", "sweep", "scaling", "classes")
EMPTY_CHART = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>'

Case = tuple[list[Record | Absent], list[Record], dict[str, TrainingRecord], Sheets | None]


def one() -> Case:
    """One accelerator with a control, more seeds, peers, and class names full of markup."""
    seeds = {
        8: training(correct="1010" * 10),
        9: training(correct="1" * 40, first_different_step=2),
    }
    control = training(correct="0001" * 10, accuracies=(0.1, 0.1, 0.2))
    peers = {
        "timm": PeerStatus(versions={"timm": "1.0.31"}),
        "fastai": PeerStatus(
            versions={"fastai": "2.8.12"}, reason="It cannot train in mixed precision."
        ),
        "transformers": PeerStatus(reason="accelerate is not installed. make peers installs it."),
    }
    ratios = {"trainer_over_timm": around(1.25, 0.01)}
    measured = {"peers": peers, "ratios": ratios}
    local = record(device="<i>CPU|</i> [x](y)", seeds=seeds, measured=measured)
    return [local], [], {"cpu": control}, _sheets()


def three() -> Case:
    """A faster accelerator with a sweep, and one that equals the first; a fourth is absent."""
    sweep = (
        SweepPoint(
            changes={"batch_size": 64}, status="ok", images_per_second=around(600.0, 0.01),
            ratio=around(1.2, 0.01),
        ),
        SweepPoint(changes={"batch_size": 128}, status="out of memory", reason="much"),
        SweepPoint(
            changes={"devices": 2}, status="ok", images_per_second=around(900.0, 0.01),
            ratio=around(1.8, 0.01),
        ),
    )  # fmt: skip
    gpu = record(
        "gpu", rate=500, spread=0.01, weights="v", measured={"sweep": sweep},
        losses=tuple(4 * 0.9**step for step in range(12)),
    )  # fmt: skip
    return [record(), gpu, record("xla", label="xla:cpu", rate=49.9), absent("tpu")], [], {}, None


def machines() -> Case:
    """Four machines: this one's measurement was disturbed; one rounds differently, one has another
    batch size, one learned nothing."""
    wide = IntervalWidth(widest="trainer_over_loop", width=0.07, target=0.03, seconds=240.0)
    local = record(spread=0.1, first_different_step=4, measured={"verdict": DISTURBED})
    trainer = local.throughput.trainer.model_copy(
        update={"overhead": NotMeasured(status="refused", reason="the disk is full")}
    )
    throughput = local.throughput.model_copy(update={"interval_width": wide, "trainer": trainer})
    rounded: dict[str, Any] = {
        "weights": "v",
        "losses": tuple(4 * exp(-step / 6.001) for step in range(12)),
    }
    lost: dict[str, Any] = {"weights": "u", "losses": (9.0,) * 12, "correct": "0" * 40}
    exported = [
        record(machine="1" * 16, rate=70, **rounded),
        record("gpu", machine="2" * 16, rate=500, workload={"batch_size": 64}),
        record(machine="3" * 16, rate=51, packages={"torch": "2.8.0"}, **lost),
    ]
    return [local.model_copy(update={"throughput": throughput})], exported, {}, None


def best() -> Case:
    """A CPU that gains nothing from larger batches, and a GPU that gains until memory ends.

    Another machine's GPU has no curve, as in records of earlier versions.
    """
    cpu = batch_curve(50, 1.02, end="gain")
    gains = (2, 2, 2, 1.99, 1.97, 1.94, 1.9, 1.83, 1.72, 1.6)
    xla = batch_curve(40, end="time")
    reason = "a larger batch: out of memory (CUDA out of memory. Tried to allocate 2.00 GiB)."
    gpu = batch_curve(60, *gains, end="memory", reason=reason, memory=131 * 2**30)
    return (
        [
            record(measured={"curve": cpu}),
            record("gpu", rate=60, spread=0.02, weights="v", measured={"curve": gpu}),
            record("xla", label="xla:cpu", rate=40, measured={"curve": xla}),
        ],
        [record("gpu", machine="2" * 16, rate=70)],
        {},
        None,
    )


def batch_curve(
    rate: float, *gains: float, end: str, reason: str | None = None, memory: int | None = None
) -> BatchCurve:
    """Return a curve that begins at `rate` with batch size 32; each doubling has its gain.

    With `memory` (bytes of the device) the last size is the fastest one.
    """
    ratios = list(accumulate(gains, mul))
    points = tuple(
        BatchPoint(batch_size=32 * 2**k, images_per_second=rate * ratio, ratio=ratio)
        for k, ratio in enumerate(ratios, start=1)
    )
    best = None
    if memory:
        best = BestBatch(
            batch_size=points[-1].batch_size,
            images_per_second=around(points[-1].images_per_second, 0.03),
            ratio=around(ratios[-1], 0.02),
            memory=Memory(host_bytes=2**31, device_bytes=memory),
        )
    return BatchCurve.model_validate({"points": points, "end": end, "reason": reason, "best": best})


def _sheets() -> Sheets:
    def picture(label: str, prediction: str) -> Picture:
        return Picture("data:image/jpeg;base64,AAAA", label, prediction, 0.625)

    contact = [picture(name, NAMES[0]) for name in NAMES]
    confusions = [Confusion(2, 5, picture(a, b), picture(b, b)) for a, b in pairwise(NAMES)]
    recalls = [(NAMES[0], 1, 4), (NAMES[2], 3, 4), (NAMES[3], 4, 4)]
    return Sheets("cpu", contact, confusions, recalls)


CASES: dict[str, Callable[[], Case]] = {
    "one": one, "three": three, "machines": machines, "best": best,
}  # fmt: skip


def compared(name: str) -> Comparison:
    """Return the comparison of a case."""
    local, exported, controls, _ = CASES[name]()
    return comparison.build(local, exported, controls, DATASET, PARAMETERS)


def forms(name: str) -> dict[str, str]:
    """Return the Markdown and the page of a case, by suffix.

    The page's charts are empty: matplotlib's releases draw them differently.
    """
    document = sections.document(compared(name), FACTS, CASES[name]()[-1])
    return {
        "md": markdown.render(document),
        "html": page.render(document, dict.fromkeys(CHARTS, EMPTY_CHART)),
    }
