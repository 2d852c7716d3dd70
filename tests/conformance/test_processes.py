"""Scenarios in new processes: what they share with the caller, and how they fail."""

import json
import math
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from lightning_conformance import processes
from lightning_conformance.processes import observe_in_processes, without_peer_errors
from lightning_conformance.scenario import Observation, Scenario
from lightning_conformance.source import DataModuleSource

pytestmark = pytest.mark.slow
TWO = Scenario(ranks=2)
LIMIT = 3.0 if sys.platform == "linux" else 60.0  # elsewhere each rank imports torch first


def observe(name: str, folder: Path, scenario: Scenario = TWO) -> list[Observation]:
    """Observe one of the DataModules in ranks.py."""
    path = f"tests.conformance.datamodules.ranks:{name}"
    return observe_in_processes(DataModuleSource(path, (("folder", str(folder)),)), scenario)


def reports(folder: Path) -> list[dict[str, Any]]:
    """Return what each rank of the DataModule Reporting wrote."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("report-*.json"))]


def test_ranks_hash_strings_equally_and_this_process_differently(tmp_path: Path) -> None:
    observe("Reporting", tmp_path)
    first, second = reports(tmp_path)
    assert first["hash"] == second["hash"] != hash("a text")
    assert first["hash_seed"] != os.environ.get("PYTHONHASHSEED")


def test_a_process_imports_the_datamodule_itself_in_the_callers_surroundings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    observe("Reporting", tmp_path, Scenario())
    (tmp_path / "current").mkdir()
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.setenv("VARIABLE", "set after the fork server started")
    observe("Reporting", tmp_path, Scenario())
    (report,) = reports(tmp_path)
    assert report["imported_here"]
    assert Path(report["directory"]) == tmp_path / "current"
    assert report["path"][0] == str(tmp_path / "modules")
    assert report["variable"] == "set after the fork server started"
    assert report["ranks"] == [None, None]


def test_a_process_does_not_run_the_callers_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(script), raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    observe("Reporting", tmp_path, Scenario())
    assert not (tmp_path / "ran").exists()


def test_a_rank_knows_its_number_before_it_has_a_trainer(tmp_path: Path) -> None:
    observe("RankBeforeTheTrainer", tmp_path)
    assert {path.name for path in tmp_path.glob("made-*")} == {"made-0", "made-1"}
    observe("Reporting", tmp_path)
    assert [report["ranks"] for report in reports(tmp_path)] == [["0", "2"], ["1", "2"]]


def test_an_error_of_a_rank_is_in_the_message_and_the_next_scenario_runs(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"rank 1 ended with exit code 1: ValueError: this rank"):
        observe("Raises", tmp_path)
    assert len(observe("Reporting", tmp_path)) == 2


def test_a_rank_that_exits_with_0_has_failed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"rank 1 ended with exit code 1: .*SystemExit: 0"):
        observe("Exits", tmp_path)


def test_the_error_of_the_rank_that_left_is_shown_without_its_peers(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"^rank 1 ended with exit code 1: ValueError: this ra"):
        observe("Leaves", tmp_path)


def test_if_each_rank_lost_its_peer_all_errors_are_shown() -> None:
    lost = "RuntimeError: [pair.cc:547] Connection closed by peer [127.0.0.1]:37501"
    cause = "rank 1 ended with exit code -9: no message"
    failures = [f"rank 0: {lost}", f"rank 2: {lost}"]
    assert without_peer_errors([*failures, cause]) == [cause]
    assert without_peer_errors(failures) == failures


def test_a_killed_rank_ends_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.1)
    with pytest.raises(RuntimeError, match=r"rank 1 ended with exit code -9: "):
        observe("Dies", tmp_path)


def test_a_single_rank_that_fails_waits_for_no_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE", math.inf)  # any wait raises OverflowError
    with pytest.raises(RuntimeError, match=r"rank 0 ended with exit code 1: .*SourceError"):
        observe_in_processes(DataModuleSource("absent:Data"), Scenario())


def test_ranks_that_hang_are_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "TIMEOUT", LIMIT)
    with pytest.raises(RuntimeError, match=f"not finished after {LIMIT:g} s"):
        observe("Hangs", tmp_path)
    pids = map(int, (tmp_path / "process").read_text().split())
    running = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    assert all(process.status() == psutil.STATUS_ZOMBIE for process in running)


def test_workers_of_a_process_start_as_they_would_in_this_one() -> None:
    """Else a fork server of their own would import torch once more, for each fit with workers."""
    assert processes.observe_in_processes(None, Scenario(), start_methods) == [
        (multiprocessing.get_start_method(), multiprocessing.get_start_method(allow_none=True))
    ]


def start_methods(source: None, scenario: Scenario) -> tuple[str | None, str | None]:
    chosen = multiprocessing.get_start_method(allow_none=True)
    return multiprocessing.get_start_method(), chosen
