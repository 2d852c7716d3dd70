"""The dataset stage's call of DVC; tests/pipeline/test_pins.py runs it in a repository."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmark.common import git
from benchmark.pipeline import dataset

PIN = "outs:\n- {md5: x.dir, nfiles: 1, size: 1}\n"


def test_dvc_gets_no_variable_of_another_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git sets variables for its hooks, and DVC runs git, which reads them."""
    monkeypatch.setenv("GIT_DIR", "elsewhere")
    environments: list[dict[str, str]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        environments.append(options["env"])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    (tmp_path / "data.dvc").write_text(PIN)
    dataset._pull(tmp_path / "data.dvc")
    assert environments == [git.environment()]
    assert "GIT_DIR" not in environments[0]
