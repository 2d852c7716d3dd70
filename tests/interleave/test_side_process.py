"""Processes that measure, and how they end when their parent does."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from benchmark.common.parameters import Parameters
from tests import REPOSITORY
from tests.support.forked_python import python

WORKER = REPOSITORY / "tests/support/small_worker.py"


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
