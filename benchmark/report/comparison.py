"""The records of several accelerators and machines, compared: reports/comparison.json.

Every other form of the report is drawn from it. A ratio stands only between equal workloads.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, product

from benchmark.common.parameters import ReportParameters
from benchmark.data.schema import Dataset
from benchmark.report import parity
from benchmark.report.entries import absent_or_entry, entry, title
from benchmark.report.headline import flags, summary
from benchmark.report.schema import Absent, Comparison, Entry, Pair, Record, TrainingRecord

Named = tuple[str, Record | Absent]


def build(
    own: Sequence[Record | Absent],
    others: Sequence[Record],
    controls: Mapping[str, TrainingRecord],
    dataset: Dataset,
    asked: ReportParameters,
) -> Comparison:
    """The comparison.

    Args:
        own: of this machine, in the order of params.yaml; the first that is there is the
            reference.
        others: exported by other machines; the fastest will stand first.
        controls: the same trainings from random weights, by accelerator.
        dataset: this machine's.
        asked: the accuracy to which time is counted, and the margin of equal accuracies.
    """
    target = asked.target_accuracy
    others = sorted(others, key=lambda record: record.rate.estimate, reverse=True)
    here = [(record.label, record) for record in own]
    there = [(title(record.label, record.machine), record) for record in others]
    every = [(name, record) for name, record in [*here, *there] if isinstance(record, Record)]
    name, reference = every[0] if every else (None, None)
    accelerators = [absent_or_entry(each, reference, controls, target) for each in own]
    machines = [entry(each, reference or each, None, target) for each in others]
    pairs = _pairs(here, there, asked.margin)
    return Comparison(
        summary=summary(accelerators, pairs, machines),
        flags=tuple(flags(named(accelerators, machines), reference)),
        reference=name,
        target_accuracy=target,
        dataset=dataset,
        accelerators=tuple(accelerators),
        parity=tuple(pairs),
        machines=tuple(machines),
    )


def named(accelerators: Sequence[Entry | Absent], machines: Sequence[Entry]) -> dict[str, Entry]:
    """The entries of what is there, by what they are called."""
    here = {each.label: each for each in accelerators if isinstance(each, Entry)}
    return here | {title(each.label, each.machine): each for each in machines}


def _pairs(here: Sequence[Named], there: Sequence[Named], margin: float) -> list[Pair]:
    """Each pair of this machine's accelerators and, where both are there, of any machine's.

    Equal models answer a test against a third alike, so tests are counted by models.
    """
    near, far = ([each for each in side if isinstance(each[1], Record)] for side in (here, there))
    pairs = [*combinations(here, 2), *product(near, far), *combinations(far, 2)]
    tests = _tests([(one, other) for (_, one), (_, other) in pairs])
    return [
        Pair(one=one, other=other, **parity.compare(first, second, margin, tests).model_dump())
        for (one, first), (other, second) in pairs
    ]


def _tests(pairs: Sequence[tuple[Record | Absent, Record | Absent]]) -> int:
    """How many pairs of different models can be compared; 1 if none can."""
    models = {
        frozenset(each.training.result.digests.weights for each in (one, other))
        for one, other in pairs
        if isinstance(one, Record)
        and isinstance(other, Record)
        and not parity.input_differences(one.training, other.training)
    }
    return max(sum(len(pair) == 2 for pair in models), 1)
