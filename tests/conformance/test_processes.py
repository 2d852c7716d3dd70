"""Runs in processes of their own: what they share with the caller, and how they fail."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from datamodule_conformance import fork_server, processes
from datamodule_conformance.processes import observe_in_processes
from datamodule_conformance.scenario import Observation, Scenario
from datamodule_conformance.source import DataModuleSource

pytestmark = pytest.mark.slow
TWO = Scenario(ranks=2)
LIMIT = 3.0 if sys.platform == "linux" else 60.0  # elsewhere each rank imports torch first


def observe(name: str, folder: Path, scenario: Scenario = TWO) -> list[Observation]:
    """A run of one of the DataModules in ranks.py."""
    path = f"tests.conformance.datamodules.ranks:{name}"
    return observe_in_processes(DataModuleSource(path, (("folder", str(folder)),)), scenario)


def reports(folder: Path) -> list[dict[str, Any]]:
    """What each rank of Reporting wrote."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("report-*.json"))]


def test_ranks_hash_texts_alike_and_otherwise_than_this_process(tmp_path: Path) -> None:
    observe("Reporting", tmp_path)
    one, other = reports(tmp_path)
    assert one["hash"] == other["hash"] != hash("a text")
    assert one["hash_seed"] != os.environ.get("PYTHONHASHSEED")


@pytest.mark.parametrize(("own", "other"), [(None, "1"), ("0", "1"), ("1", "2"), ("random", "1")])
def test_the_server_never_hashes_as_this_process_does(
    own: str | None, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    if own is not None:
        monkeypatch.setenv("PYTHONHASHSEED", own)
    assert processes._other_hash_seed() == other


def test_a_process_imports_the_datamodule_itself_and_is_where_this_one_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    observe("Reporting", tmp_path, Scenario())
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.setenv("VARIABLE", "set after the server started")
    observe("Reporting", tmp_path, Scenario())
    (report,) = reports(tmp_path)
    assert report["own_import"]
    assert Path(report["directory"]) == tmp_path / "there"
    assert report["path"][0] == str(tmp_path / "modules")
    assert report["variable"] == "set after the server started"
    assert report["ranks"] == [None, None]


def test_a_rank_knows_its_number_before_there_is_a_trainer(tmp_path: Path) -> None:
    observe("RankBeforeTheTrainer", tmp_path)
    assert {path.name for path in tmp_path.glob("made-*")} == {"made-0", "made-1"}
    observe("Reporting", tmp_path)
    assert [report["ranks"] for report in reports(tmp_path)] == [["0", "2"], ["1", "2"]]


def test_what_a_rank_raises_is_in_the_message_and_the_next_run_works(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"rank 1 ended with exit code 1: ValueError: this rank"):
        observe("Raises", tmp_path)
    assert len(observe("Reporting", tmp_path)) == 2


def test_the_error_of_the_rank_that_left_is_shown_and_not_that_of_those_left_behind(
    tmp_path: Path,
) -> None:
    with pytest.raises(RuntimeError, match=r"^rank 1 ended with exit code 1: ValueError: this ra"):
        observe("Leaves", tmp_path)


def test_where_each_rank_was_left_behind_all_are_shown() -> None:
    left = "RuntimeError: [pair.cc:547] Connection closed by peer [127.0.0.1]:37501"
    cause = "rank 1 ended with exit code -9: no message"
    assert fork_server.causes([f"rank 0: {left}", cause, f"rank 2: {left}"]) == [cause]
    assert fork_server.causes([f"rank 0: {left}", f"rank 2: {left}"]) == [
        f"rank 0: {left}", f"rank 2: {left}"
    ]  # fmt: skip


def test_a_rank_that_dies_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "TIMEOUT", 60.0)
    with pytest.raises(RuntimeError, match=r"rank 1 ended with exit code -9: "):
        observe("Dies", tmp_path)


def test_ranks_that_hang_are_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "TIMEOUT", LIMIT)
    with pytest.raises(RuntimeError, match=f"no end after {LIMIT:g} s"):
        observe("Hangs", tmp_path)
    own = (tmp_path / "process").read_text().split()
    running = [psutil.Process(int(n)) for n in own if psutil.pid_exists(int(n))]
    assert all(process.status() == psutil.STATUS_ZOMBIE for process in running)


def test_a_server_that_died_is_one_clear_message_and_is_replaced(tmp_path: Path) -> None:
    observe("Reporting", tmp_path, Scenario())
    server = processes._server().process
    server.send_signal(signal.SIGKILL)
    server.wait()
    with pytest.raises(RuntimeError, match="the fork server ended with exit code -9"):
        observe("Reporting", tmp_path, Scenario())
    assert len(observe("Reporting", tmp_path, Scenario())) == 1


def test_the_server_ends_with_its_pipe(tmp_path: Path) -> None:
    observe("Reporting", tmp_path, Scenario())
    server = processes._server()
    server.close()
    assert server.process.returncode == 0
    server.close()
