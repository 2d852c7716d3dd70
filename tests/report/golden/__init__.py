"""`python -m tests.report.golden`: write anew what every form of the report must look like.

Look at the difference before you commit it.
"""

import itertools
import json
from collections.abc import Callable
from math import exp
from pathlib import Path
from typing import Any

from benchmark.common.parameters import ReportParameters
from benchmark.report import comparison, markdown, page, sections
from benchmark.report.charts import losses
from benchmark.report.pictures import Confusion, Picture, Sheets
from benchmark.report.schema import Absent, Comparison, Record, TrainingRecord
from benchmark.throughput.schema import Peer
from tests.support.made_records import DATASET, DISTURBED, absent, around, record, training

HERE = Path(__file__).parent
ASKED = ReportParameters(target_accuracy=0.6, margin=0.05, price_per_hour={}, currency="USD")
FACTS = ["Dataset `abababababab`: 3 classes, <b>many</b> images."]
NAMES = ("<script>alert('x')</script>", "a \"quoted\" & 'other' one", "فراشة الملك", "Monarch")

Case = tuple[list[Record | Absent], list[Record], dict[str, TrainingRecord], Sheets | None]


def one() -> Case:
    """One accelerator with a control and further seeds."""
    seeds = {
        8: training(correct="1010" * 10),
        9: training(correct="1" * 40, first_different_step=2),
    }
    control = training(correct="0001" * 10, accuracies=(0.1, 0.1, 0.2))
    return [record(seeds=seeds)], [], {"cpu": control}, None


def unavailable() -> Case:
    """None of those asked for."""
    return [absent("gpu"), absent("tpu", "no TPU found")], [], {}, None


def three() -> Case:
    """Three, of which one is equal to the first in every bit."""
    twice = {"weights": "v", "losses": tuple(4 * 0.9**step for step in range(12))}
    own = [
        record(),
        record("gpu", rate=500, spread=0.01, **twice),
        record("xla", label="xla:cpu", rate=49.9),
    ]
    return own, [], {}, None


def mixed() -> Case:
    """Speeds of other workloads and trainings on other data have no ratio."""
    own = [
        record(),
        record("gpu", rate=500, workload={"batch_size": 64}, weights="v"),
        record("tpu", rate=900, pixels="x" * 64),
    ]
    return own, [], {}, None


def unstable() -> Case:
    """A measurement that was disturbed."""
    found = record(spread=0.2, first_different_step=4, measured={"verdict": DISTURBED})
    return [found], [], {}, None


def peers() -> Case:
    """Other software: measured, refused, and not installed."""
    found = {
        "timm": Peer(versions={"timm": "1.0.31"}),
        "fastai": Peer(versions={"fastai": "2.8.12"}, reason="There is no mixed precision."),
        "transformers": Peer(reason="accelerate is not installed. make peers installs it."),
    }
    ratios = {"trainer_over_timm": around(1.25, 0.01)}
    return [record(measured={"peers": found, "ratios": ratios})], [], {}, None


def machines(count: int) -> Callable[[], Case]:
    """Exported by others, each a little faster than the one before: the last ten of other code,
    every fifth of a processor that rounds otherwise, one that learned nothing."""
    rounded: dict[str, Any] = {
        "weights": "v",
        "losses": tuple(4 * exp(-step / 6.001) for step in range(12)),
    }
    lost: dict[str, Any] = {"weights": "u", "losses": (9.0,) * 12, "correct": "0" * 40}

    def other(number: int) -> Record:
        trained: dict[str, Any] = lost if number == 38 else rounded if number % 5 == 4 else {}
        workload = {"code": f"{number // 30}"}
        machine, rate = f"{number:016x}", 45 + number
        return record(machine=machine, rate=rate, workload=workload, **trained)

    def case() -> Case:
        return [record(workload={"code": "0"})], [other(n) for n in range(count)], {}, None

    return case


def names() -> Case:
    """Classes that would break a page that trusts them, and a device of that kind."""

    def picture(label: str, prediction: str) -> Picture:
        return Picture("data:image/jpeg;base64,AAAA", label, prediction, 0.625)

    contact = [picture(name, NAMES[0]) for name in NAMES]
    mixed = [
        Confusion(a, b, 2, 5, picture(a, b), picture(b, b)) for a, b in itertools.pairwise(NAMES)
    ]
    return (
        [record(device="<i>CPU|</i> [x](y)")],
        [],
        {},
        Sheets("cpu", contact, mixed, [(NAMES[0], 1, 4), (NAMES[2], 3, 4), (NAMES[3], 4, 4)]),
    )


CASES: dict[str, Callable[[], Case]] = {
    "one": one,
    "unavailable": unavailable,
    "three": three,
    "mixed": mixed,
    "unstable": unstable,
    "peers": peers,
    "machine": machines(1),
    "machines": machines(40),
    "names": names,
}


def compared(name: str) -> Comparison:
    """The comparison of a case."""
    own, others, controls, _ = CASES[name]()
    return comparison.build(own, others, controls, DATASET, ASKED)


def forms(name: str) -> dict[str, str]:
    """The three forms of a case by suffix. A page's charts are left out: matplotlib's releases
    draw them differently."""
    found, sheets = compared(name), CASES[name]()[-1]
    chart = losses({})
    empty = chart[chart.index("<svg") : chart.index(">", chart.index("<svg")) + 1] + "</svg>"
    charts = dict.fromkeys(
        ("throughput", "loss", "accuracy", "steps", "sweep", "scaling", "classes"), empty
    )
    view = sections.view(found, FACTS, sheets)
    return {
        "json": _json(found.model_dump(mode="json")),
        "md": markdown.render(view),
        "html": page.render(view, charts),
    }


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
