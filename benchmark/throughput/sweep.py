"""The combinations of values that a sweep tries besides the run's own parameters."""

from dataclasses import dataclass
from itertools import product
from typing import Any

from benchmark.common.parameters import Parameters, parse_parameters

SECTIONS = {
    "batch_size": "data",
    "num_workers": "data",
    "precision": "train",
    "channels_last": "model",
    "compile": "model",
}


@dataclass(frozen=True)
class Point:
    """One combination: what it changes, and the parameters with that changed."""

    changes: dict[str, Any]
    parameters: Parameters


def points(parameters: Parameters) -> list[Point]:
    """Every combination of the sweep's values, only the trainer being measured; none without a
    sweep.

    Raises:
        UserError: two values contradict each other.
    """
    lists = {name: values for name, values in parameters.throughput.sweep if values}
    combinations = product(*lists.values()) if lists else []
    return [_point(parameters, dict(zip(lists, values, strict=True))) for values in combinations]


def _point(parameters: Parameters, changes: dict[str, Any]) -> Point:
    content = parameters.model_dump()
    for name, value in changes.items():
        content[SECTIONS[name]][name] = value
    content["throughput"] |= {"modes": ["trainer"], "sweep": {}}
    return Point(changes, parse_parameters(content, f"throughput.sweep at {changes}"))
