from pathlib import Path
from typing import Any

import pytest

from benchmark import transfer
from benchmark.errors import UserError
from benchmark.files import write_csv, write_json
from benchmark.results import EPOCH_HEADER, Results
from benchmark.transfer import Course

CPU = Results("cpu")


def training(accuracy: float, **digests: str) -> dict[str, Any]:
    return {
        "status": "ok", "accelerator": "xla:cpu", "steps": 20,
        "test": {"accuracy": accuracy, "top5": 0.99},
        "digests": {"order": "o", "pixels": "p"} | digests,
    }  # fmt: skip


def course(accuracy: float, accuracies: list[float], **digests: str) -> Course:
    seconds = [10.0 * (k + 1) for k in range(len(accuracies))]
    return Course("cpu, some weights", training(accuracy, **digests), seconds, accuracies)


def test_time_counts_to_the_end_of_the_first_epoch_that_reaches_the_target() -> None:
    run = course(0.9, [0.2, 0.6, 0.5, 0.7])
    assert run.seconds_to(0.6) == 20
    assert run.seconds_to(0.61) == 40
    assert run.seconds_to(0.8) is None


def test_features_count_in_the_time(workspace: Path) -> None:
    write_json(CPU.training, training(0.5))
    write_json(CPU.timing, {"epoch_seconds": [1.0, 2.0], "features_seconds": 7.0})
    write_csv(CPU.epochs, EPOCH_HEADER, [(0, 1, 1, 0.1, 0.2), (1, 1, 1, 0.3, 0.4)])
    expected = Course("xla:cpu, my weights", training(0.5), [8, 10], [0.1, 0.3])
    assert transfer.read_course(CPU, "my weights") == expected


def test_a_stage_that_has_not_run_is_named(workspace: Path) -> None:
    with pytest.raises(UserError, match=r"reports/train/cpu\.control\.json is not here"):
        transfer.read_course(CPU.control, "")


def test_both_stand_side_by_side_with_what_is_alike() -> None:
    page = "\n".join(transfer.section([(course(0.84, [0.7]), course(0.05, [0.1]))], 0.6))
    assert "| Start | Test accuracy | Top-5 | Time to 60% validation accuracy |" in page
    assert "| cpu, some weights | 84.0% | 99.0% | 10 s |" in page
    assert "| cpu, some weights | 5.0% | 99.0% | not reached in 10 s |" in page
    assert (
        "- cpu, some weights: +79.0 points against its control "
        "(sample order equal, first pixels equal, number of steps equal)."
    ) in page


def test_a_difference_is_said_aloud() -> None:
    pair = course(0.84, [0.7]), course(0.05, [0.1], pixels="other")
    assert "first pixels **different**" in transfer.section([pair], 0.6)[-2]


def test_where_nothing_ran_nothing_is_said() -> None:
    absent = Course("gpu", {"status": "unavailable"}, [], [])
    assert transfer.section([(absent, absent)], 0.6) == []
    assert transfer.section([(course(0.5, [0.5]), absent)], 0.6) == []
    assert transfer.section([], 0.6) == []
    assert transfer.curves([absent]) == {}
