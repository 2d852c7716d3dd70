"""CI runs what a contributor runs, with every Python that pyproject.toml allows."""

import re
import tomllib
from typing import Any

import yaml

from tests import REPOSITORY

WORKFLOW: dict[Any, Any] = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text())
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def commands(job: str) -> list[str]:
    return [step["run"] for step in WORKFLOW["jobs"][job]["steps"] if "run" in step]


def test_linux_runs_the_contributors_script() -> None:
    assert commands("linux") == ["bash .ci/run"]
    assert (REPOSITORY / ".ci/run").is_file()


def test_macos_runs_the_fast_tests() -> None:
    setup, tests = commands("macos")
    assert setup == "make setup"
    assert '-m pytest -m "not slow"' in tests


def test_the_matrix_contains_every_python_of_the_project() -> None:
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert WORKFLOW["jobs"]["linux"]["strategy"]["matrix"]["python"] == named
    assert PROJECT["requires-python"].startswith(f">={named[0]}.")


def test_the_workflow_can_only_read() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert not [name for name, job in WORKFLOW["jobs"].items() if "permissions" in job]


def test_actions_are_pinned_by_major_version() -> None:
    actions = [
        step["uses"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "uses" in step
    ]
    assert actions
    assert [name for name in actions if not re.fullmatch(r"[\w-]+/[\w-]+@v\d+", name)] == []
