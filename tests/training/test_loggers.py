import csv
from pathlib import Path

import pytest

from benchmark.common.results import ResultPaths
from benchmark.errors.user_error import UserError
from benchmark.machine.accelerators import find
from benchmark.pipeline import train
from benchmark.training import loggers
from tests.support.trainings import read_training

pytestmark = pytest.mark.usefixtures("small_network")


def test_a_logger_changes_nothing_and_has_each_epochs_figures(change, workspace: Path) -> None:
    results = []
    for logger in ("none", "csv"):
        train.run(find("cpu"), change(train={"logger": logger}))
        results.append(read_training(ResultPaths("cpu").own))
    assert results[0] == results[1]
    with Path("logs/cpu/metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    assert len(rows) == results[0].epochs
    assert float(rows[0]["val/loss"]) > 0
    assert [path.name for path in Path("logs").iterdir()] == ["cpu"]


@pytest.mark.parametrize("kind", ["tensorboard", "dvclive"])
def test_a_logger_whose_package_is_missing_says_so(kind, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=rf"{kind} needs the package of that name.*install .* {kind}"
    ):
        loggers.logger(kind, "cpu")
    assert not list(tmp_path.iterdir())


def test_without_a_logger_there_is_none(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert loggers.logger("none", "cpu") is None
    assert not list(tmp_path.iterdir())
