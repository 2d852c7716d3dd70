"""A duel of made-up processes whose steps take as long as a file says, and of real ones."""

import json
import re
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from benchmark.command_line import main
from benchmark.common.parameters import Parameters
from benchmark.compare import duel, verdict
from benchmark.compare.sides import revision_code
from benchmark.errors.user_error import UserError
from benchmark.interleave import pair, training_process
from benchmark.interleave.training_process import OutOfMemory, TrainingProcess
from benchmark.throughput.schema import Block
from tests import REPOSITORY
from tests.common.test_git import OPTIONS

ECHO = """
import json, os, sys
task = json.loads(sys.stdin.readline())
factor = float(open(os.environ["PYTHONPATH"] + "/factor").read())
print(json.dumps({"step_seconds": 0.25}), flush=True)
for line in sys.stdin:
    print(json.dumps({"seconds": int(line) * factor, "compilations": 0}), flush=True)
"""
Make = Callable[[float], Path]


@pytest.fixture
def revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parameters: Parameters) -> Make:
    """Makes directories of "code" whose steps take the given seconds. Pairs have few blocks."""
    monkeypatch.setattr(pair, "BLOCKS", 2)
    worker = tmp_path / "worker.py"
    worker.write_text(ECHO)
    monkeypatch.setattr(training_process, "WORKER", worker)

    def made(seconds: float) -> Path:
        folder = tmp_path / f"{seconds}"
        folder.mkdir(exist_ok=True)
        (folder / "factor").write_text(f"{seconds}")
        (folder / "params.yaml").write_text(yaml.safe_dump(parameters.model_dump(mode="json")))
        return folder

    return made


def warm(name: str, code: Path, task: dict[str, Any]) -> None:
    with closing(TrainingProcess(name, code)) as training_process:
        training_process.warm_up(task)


def test_a_slower_revision_is_reported_at_the_first_look(
    revision: Make, parameters: Parameters
) -> None:
    codes = revision(1.0), revision(1.1)
    ratios = duel.measure(("a", "b"), codes, "cpu", parameters, 0.03)
    assert ratios == [pytest.approx(1 / 1.1)] * verdict.LOOKS[0]
    change = duel.change_of_pairs("cpu", ratios, 0.03)
    assert str(change) == ("cpu trainer: slower: -9.1% (-9.1% to -9.1%); 6 pairs of processes")
    assert change.verdict.regression


def test_a_duel_says_what_decided_or_what_would() -> None:
    equal, undecided = (
        str(duel.change_of_pairs("cpu", [1.0, ratio], 0.03)) for ratio in (1.0, 1.2)
    )
    assert equal == "cpu trainer: equal: +0.0% (+0.0% to +0.0%); 2 pairs of processes, within 3%"
    assert re.search(
        r"^cpu trainer: undecided: .*; if the estimate stays there, some \d+", undecided
    )


@pytest.mark.parametrize("option", ["--markdown", "--json"])
def test_a_file_that_cannot_be_written_is_refused_before_the_duel(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys, option: str
) -> None:
    monkeypatch.setattr(duel, "measure", lambda *_: pytest.fail("it was measured"))
    assert main(["duel", ".", ".", option, "params.yaml/duel"]) == 2
    assert capsys.readouterr().err.startswith("error: params.yaml: File exists. A file is where")


def test_a_side_is_stopped_outside_its_blocks(revision: Make) -> None:
    with closing(TrainingProcess("a", revision(1.0))) as one:
        one.warm_up({})
        process = psutil.Process(one.process.pid)
        assert process.status() == psutil.STATUS_STOPPED
        assert one.time(3) == Block(seconds=3.0, compilations=0)
        assert process.status() == psutil.STATUS_STOPPED
    assert not psutil.pid_exists(one.process.pid)


OLD = {
    "seed": 1, "data": {"batch_size": 1, "gone": 5}, "model": {}, "train": {"adam": "fused"},
    "report": {"x": 1}, "throughput": {"rounds": 9},
}  # fmt: skip


def test_how_speed_is_measured_is_the_revisions_own(parameters: Parameters) -> None:
    """Another revision's throughput section may have other keys. What is trained is the same for
    both, as far as the revision has these parameters."""
    ours = parameters.model_dump(mode="json")
    assert duel.task_parameters(ours, OLD) == {
        "seed": parameters.seed, "data": {"batch_size": 4, "gone": 5}, "model": {},
        "train": {"adam": "auto"}, "report": {"x": 1},
        "throughput": {"rounds": 9, "modes": ["trainer"], "sweep": {}},
    }  # fmt: skip
    assert "train.precision" in duel.missing_parameters(ours, OLD)
    assert duel.missing_parameters(ours, ours) == []


def test_parameters_that_a_revision_does_not_have_are_named(
    revision: Make,
    parameters: Parameters,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(verdict, "LOOKS", (2,))
    code = revision(1.0)
    content = parameters.model_dump(mode="json")
    del content["train"]["logger"]
    (code / "params.yaml").write_text(yaml.safe_dump(content))
    duel.measure(("old", "new"), (code, revision(2.0)), "cpu", parameters, 0.03)
    assert capsys.readouterr().out.startswith("old does not have train.logger of params.yaml.\n")


def test_a_revision_with_one_network_is_not_timed_against_another(
    revision: Make, change: Callable[..., Parameters]
) -> None:
    parameters = change(model={"architecture": "vit_b_16"})
    code = revision(1.0)
    content = parameters.model_dump(mode="json")
    del content["model"]["architecture"]
    (code / "params.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(
        UserError, match=r"^old trains resnet50, not vit_b_16: .* have no ratio\. Set"
    ):
        duel.measure(("old", "new"), (code, revision(2.0)), "cpu", parameters, 0.03)


def test_what_a_side_cannot_do_is_one_line(
    revision: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = revision(1.0)
    (tmp_path / "worker.py").write_text('print(\'{"refused": "too old."}\')')
    with pytest.raises(UserError, match=r"^a cannot be measured: too old\.$"):
        warm("a", code, {})
    (tmp_path / "worker.py").write_text("import sys; sys.exit(3)")
    with pytest.raises(UserError, match="The process of a failed: it ended with status 3"):
        warm("a", code, {})
    (tmp_path / "worker.py").write_text('print(\'{"failed": "RuntimeError: out of memory"}\')')
    with pytest.raises(OutOfMemory, match=r"^a: out of memory \(RuntimeError: out of memory\)\."):
        warm("a", code, {})


def test_a_revision_is_its_code_and_the_repository_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.invalid"]
    (tmp_path / "benchmark").mkdir()
    (tmp_path / "params.yaml").touch()
    file = tmp_path / "benchmark/x.py"
    file.write_text("old")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True)
    file.write_text("new")
    with revision_code("HEAD") as old, revision_code(".") as new:
        assert (old / "benchmark/x.py").read_text() == "old"
        assert (new / "benchmark/x.py").read_text() == "new"
        assert (old / "params.yaml").exists()
    assert not old.exists()
    with pytest.raises(UserError, match=r"'nothing' is not a git revision of this suite \(fatal: "):
        next(revision_code("nothing").gen)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_revision_is_not_taken_for_an_option_of_git(
    tmp_path: Path, monkeypatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    message = f"{name!r} is not a git revision of this suite (fatal: Needed a single revision). "
    with pytest.raises(UserError, match=re.escape(message)):
        next(revision_code(name).gen)
    assert [path.name for path in tmp_path.iterdir()] == [".git"]


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
def test_a_revision_that_cannot_be_measured_says_why(tmp_path: Path) -> None:
    (tmp_path / "benchmark").mkdir()
    (tmp_path / "benchmark/__init__.py").touch()
    with pytest.raises(UserError, match=r"^old cannot be measured: it is too old \(No module "):
        warm("old", tmp_path, {})
    task = {"accelerator": "cpu", "parameters": {"colour": 1}}
    with pytest.raises(UserError, match=r"^new cannot be measured: the task: .*colour is unknown"):
        warm("new", REPOSITORY, task)


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
def test_two_real_revisions(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Both sides are this code with a small network. The result is also written to files."""
    monkeypatch.setattr(verdict, "LOOKS", (2,))
    monkeypatch.setattr(pair, "BLOCKS", 2)
    monkeypatch.setattr(training_process, "WORKER", REPOSITORY / "tests/support/small_worker.py")
    for package in ("benchmark", "tests"):
        (workspace / package).symlink_to(REPOSITORY / package)
    status = main(["duel", ".", ".", "--markdown", "duel.md", "--json", "duel.json"])
    result = json.loads((workspace / "duel.json").read_text())
    assert status == result["status"]
    assert result["pairs"] == 2
    assert result["ratio"]["low"] <= result["ratio"]["estimate"] <= result["ratio"]["high"]
    page = (workspace / "duel.md").read_text()
    assert page.startswith("# . compared with .\n\n")
    assert "| Accelerator | Metric | Change | Verdict |\n| --- | --- | --- | --- |\n| cpu |" in page
    assert "2 pairs of processes" in page
    assert "cpu trainer: " in capfd.readouterr().out
