"""Compares the records of several accelerators and machines: reports/comparison.json.

All other forms of the report are made from this file. Only equal workloads have a ratio of speeds.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, product

from benchmark.common.parameters import ReportParameters
from benchmark.data.schema import PinnedImages
from benchmark.report import entries, parity
from benchmark.report.comparison_schema import Comparison, NamedParity
from benchmark.report.headline import flags, summary
from benchmark.report.schema import Absent, Record, TrainingRecord


def build(
    local: Sequence[Record | Absent],
    exported: Sequence[Record],
    controls: Mapping[str, TrainingRecord],
    dataset: PinnedImages,
    parameters: ReportParameters,
) -> Comparison:
    """Compare all records and return the content of reports/comparison.json.

    Args:
        local: this machine's records, in the order of params.yaml; the first that is not absent is
            the reference.
        exported: other machines' records, in any order; the comparison lists the fastest first.
        controls: this machine's trainings from random weights, by accelerator.
        dataset: this machine's dataset.
        parameters: the target accuracy and the margin of equal accuracies.
    """
    target = parameters.target_accuracy
    exported = sorted(exported, key=lambda r: r.throughput.images_per_second.estimate, reverse=True)
    near = {record.label: record for record in local}
    far = {entries.title(record): record for record in exported}
    present = {n: record for n, record in (near | far).items() if isinstance(record, Record)}
    name, reference = next(iter(present.items()), (None, None))
    accelerators = [
        record
        if isinstance(record, Absent)
        else entries.build(record, reference or record, controls.get(record.name), target)
        for record in local
    ]
    machines = [entries.build(record, reference or record, None, target) for record in exported]
    pairs = _pairs(near, far, parameters.margin)
    return Comparison(
        summary=summary(accelerators, pairs, machines),
        flags=tuple(flags(entries.by_name(accelerators, machines), name)),
        reference=name,
        target_accuracy=target,
        dataset=dataset,
        accelerators=tuple(accelerators),
        parity=tuple(pairs),
        machines=tuple(machines),
    )


def _pairs(
    near: Mapping[str, Record | Absent], far: Mapping[str, Record], margin: float
) -> list[NamedParity]:
    """Return the parity of all pairs of accelerators: `near` on this machine, `far` on others."""
    records = {**near, **far}
    present = [name for name, record in near.items() if isinstance(record, Record)]
    names = [*combinations(near, 2), *product(present, far), *combinations(far, 2)]
    tests = _count_hypothesis_tests([(records[one], records[other]) for one, other in names])
    return [
        NamedParity(
            one=one,
            other=other,
            **dict(parity.compare(records[one], records[other], margin, tests)),
        )
        for one, other in names
    ]


def _count_hypothesis_tests(pairs: Sequence[tuple[Record | Absent, Record | Absent]]) -> int:
    """Count the significance tests by which Bonferroni's correction divides the 5%.

    There is one for each distinct pair of different final weights with equal inputs. Equal final
    weights give equal predictions and need no test. At least 1, since callers divide by it.
    """
    models = {
        frozenset(record.training.result.digests.weights for record in (one, other))
        for one, other in pairs
        if isinstance(one, Record)
        and isinstance(other, Record)
        and one.network == other.network
        and not parity.input_differences(one.training, other.training)
    }
    return max(sum(len(pair) == 2 for pair in models), 1)
