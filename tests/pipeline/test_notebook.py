"""docs/notebook.ipynb, run with this Python as the hosted one, and without a network."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import nbformat
import pytest
from nbclient import NotebookClient

from tests import REPOSITORY
from tests.support.forked_python import python
from tests.support.repository import set_parameters

NOTEBOOK = REPOSITORY / "docs/notebook.ipynb"
CHANGES = "accelerators=[cpu] controls=[] train.max_epochs=1"
SMALL = {
    "model": {"architecture": "squeezenet1_1", "weights": "random"},
    "data": {"batch_size": 4},
    "throughput": {
        "modes": ["trainer"], "repeats": 2, "rounds": 2, "block_seconds": 0.02,
        "budget_seconds": 0, "curve_seconds": 0,
    },
}  # fmt: skip


def read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_each_cell_is_preceded_by_a_sentence_and_has_no_output() -> None:
    cells = read().cells
    assert [cell.cell_type for cell in cells] == ["markdown", "code"] * (len(cells) // 2)
    for text, code in zip(cells[::2], cells[1::2], strict=True):
        assert text.source.endswith(".")
        assert not code.outputs
        assert code.execution_count is None


@pytest.mark.slow
def test_the_notebook_clones_measures_and_exports(
    repository: Path, tmp_path: Path, monkeypatch
) -> None:
    """The clone is of a small dataset; nothing is installed, since nothing is missing."""
    shutil.rmtree(repository / ".venv")
    shutil.copy(REPOSITORY / "pyproject.toml", repository)
    (repository / ".gitignore").write_text("/.venv\n/models\n/data\n/weights\n/.cache\n")
    (repository / "reports/machines").mkdir(parents=True)
    (repository / "reports/machines/.gitkeep").touch()
    set_parameters(repository, **SMALL)
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b.invalid"]
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "everything"], check=True)
    notebook = read()
    settings = notebook.cells[1]
    for name, value in {
        "https://HOST/OWNER/REPOSITORY": repository.as_uri(),
        "accelerators=[gpu] controls=[]": CHANGES,
        "sys.executable": repr(python()),
    }.items():
        assert settings.source.count(name) == 1
        settings.source = settings.source.replace(name, value)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, resources=resources).execute()
    with ZipFile(tmp_path / "fine-tuning/record.zip") as archive:
        (name,) = archive.namelist()
        record = json.loads(archive.read(name))
    assert name.startswith("reports/machines/")
    assert record["throughput"]["workload"]["network"] == "squeezenet1_1"
    assert record["throughput"]["accelerator"] == "cpu"
