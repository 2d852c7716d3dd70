"""Processes that measure, and how they end when their parent does."""

import errno
import json
import os
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from benchmark.common.parameters import Parameters
from benchmark.errors.user_error import UserError
from benchmark.interleave import training_process
from benchmark.interleave.side_process import explanations
from benchmark.interleave.training_process import TrainingProcess
from tests import REPOSITORY
from tests.support.forked_python import python

WORKER = REPOSITORY / "tests/support/small_worker.py"
EARLIER = {
    "common/errors.py": "class UserError(Exception): pass",
    "common/parameters.py": "def parse_parameters(content, source): return content",
    "machine/accelerators.py": "def prepare(accelerator): pass",
    "throughput/timer.py": """
from types import SimpleNamespace as Namespace
from benchmark.common.errors import UserError

class ModeTimer:
    def __init__(self, accelerator, parameters):
        if parameters["precision"] == "wrong":
            raise UserError("The precision is wrong.")
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def warm_up(self, name): return Namespace(step_seconds=0.5)
    def time(self, name, steps): return Namespace(seconds=0.5 * steps, compilations=1, apart=None)
""",
}
"""Modules of a revision with the layout of commit 2ab3c5b, as far as they are called."""


@pytest.fixture
def earlier_revision(tmp_path: Path) -> Path:
    for name, text in EARLIER.items():
        path = tmp_path / "benchmark" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        (path.parent / "__init__.py").touch()
    (tmp_path / "benchmark/__init__.py").touch()
    return tmp_path


def test_a_revision_of_the_earlier_layout_is_measured(earlier_revision: Path) -> None:
    with closing(TrainingProcess("earlier", earlier_revision)) as process:
        process.warm_up({"accelerator": "cpu", "parameters": {"precision": "32-true"}})
        assert process.step_seconds == 0.5
        block = process.time(3)
    assert (block.seconds, block.compilations) == (1.5, 1)


def test_a_revision_of_the_earlier_layout_can_refuse(earlier_revision: Path) -> None:
    task = {"accelerator": "cpu", "parameters": {"precision": "wrong"}}
    with (
        closing(TrainingProcess("earlier", earlier_revision)) as process,
        pytest.raises(UserError, match=r"^earlier cannot be measured: The precision is wrong\.$"),
    ):
        process.warm_up(task)


def test_errors_of_the_system_have_their_remedy() -> None:
    with pytest.raises(UserError, match=r"^a\.png: Too many open files\. Raise"), explanations():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "a.png")


@pytest.mark.parametrize("words", [("small_process", "result.json"), ("small_worker",)])
def test_a_process_without_a_task_does_nothing(words: tuple[str, ...], tmp_path: Path) -> None:
    """A signal may end its parent at any moment."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    module, *arguments = words
    done = subprocess.run(
        [python(), "-m", f"tests.support.{module}", *arguments], env=environment, input="",
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(tmp_path.iterdir())


def test_a_process_whose_parent_is_gone_ends_without_a_message(parameters: Parameters) -> None:
    """Its answer has no reader, which is not a failure of the revision."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    side = subprocess.Popen(
        [python(), "-P", str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert side.stdin
    assert side.stdout
    task = {"accelerator": "cpu", "parameters": parameters.model_dump(mode="json")}
    print(json.dumps(task), file=side.stdin, flush=True)
    assert "step_seconds" in side.stdout.readline()
    side.stdout.close()
    print(1, file=side.stdin, flush=True)
    assert side.wait(timeout=60) == 1
    assert side.stderr
    assert side.stderr.read() == ""
    side.stdin.close()
    side.stderr.close()


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
def test_a_process_can_get_another_task(
    change: Any, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second batch is larger than the training split, which has 15 images."""
    monkeypatch.setattr(training_process, "WORKER", WORKER)
    with closing(TrainingProcess("a process")) as process:
        for batch_size, epochs in ((4, 1), (32, 8)):
            parameters = change(
                data={"batch_size": batch_size}, throughput={"modes": ["trainer"]}
            ).model_dump(mode="json")
            task = {"accelerator": "cpu", "parameters": parameters, "epochs_per_pass": epochs}
            process.warm_up(task)
            assert process.step_seconds > 0
            assert process.time(3).seconds > 0
        memory = process.peak_memory()
    assert memory.host_bytes > 2**20
    assert memory.device_bytes is None
