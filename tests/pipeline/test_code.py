"""The code stage: its results are those of the present sources, whatever was stored before."""

import json
from pathlib import Path

import pytest

from benchmark.common import code
from benchmark.common.files import read_json
from benchmark.pipeline.code import STORE, run


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two modules, of which the stages import one; the working directory has no stored results."""
    package = tmp_path / "benchmark"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "stage.py").write_text("from benchmark import used")
    (package / "used.py").write_text("NUMBER = 1")
    (package / "used.html").write_text("<p>")
    monkeypatch.setattr(code, "ROOT", tmp_path)
    monkeypatch.setattr(code, "STAGES", {"train": "benchmark.stage", "report": "benchmark.stage"})
    monkeypatch.chdir(tmp_path)
    return package


def digests() -> list[str]:
    """Run the stage and return what it wrote."""
    run(None)  # type: ignore[arg-type]  # the parameters are not used
    return [str(read_json(Path(f"reports/code/{stage}.json"))["digest"]) for stage in code.STAGES]


@pytest.mark.parametrize(
    ("file", "text"),
    [("used.py", "NUMBER = 2"), ("used.html", "<b>"), ("stage.py", "from benchmark import other")],
)
def test_each_change_is_noticed(sources: Path, file: str, text: str) -> None:
    before = digests()
    assert digests() == before
    (sources / file).write_text(text)
    after = digests()
    STORE.unlink()
    assert digests() == after
    assert not set(after) & set(before)


def test_unchanged_sources_are_not_parsed_again(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digests()
    Path("reports/code/train.json").write_text("{}")
    monkeypatch.delattr(code, "code_by_module")
    assert digests() == before


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"sources": "0"}', "\udcff"])
def test_damaged_results_are_not_used(sources: Path, content: str) -> None:
    before = digests()
    STORE.write_bytes(content.encode(errors="surrogateescape"))
    assert digests() == before


def test_results_of_another_python_are_not_used(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digests()
    stored = read_json(STORE)
    stored["results"]["train"]["digest"] = "of another Python"
    STORE.write_text(json.dumps(stored))
    monkeypatch.setattr("platform.python_version", lambda: "3.99")
    assert digests() == before
