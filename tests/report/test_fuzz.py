"""The report stage and `compare` read any exported file or result, or say in one line why not.

BENCHMARK_FUZZ_EXAMPLES and `--hypothesis-seed` ask for more than the suite's own cases.
"""

import contextlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from benchmark.command_line import main
from benchmark.common.results import DATASET, ResultPaths, write_result
from benchmark.errors.user_error import visible
from benchmark.report.record import MACHINES
from tests.support import made_records
from tests.support.fixtures import make_workspace, small_content
from tests.support.made_records import record, write_exported, write_results

EXPORTED = MACHINES / "m1/cpu.json"
PATHS = ResultPaths("cpu")
TRAINING = PATHS.own
RESULTS = (
    PATHS.environment, PATHS.throughput, TRAINING.result, TRAINING.timing, TRAINING.replay, DATASET,
)  # fmt: skip
NUMBERS = (0, 1, -1, 7, 0.0, 0.5, -0.5, 1e-9, 1e9, 1e-320, 1e300, -1e300, 2**70, 10**400, "NaN")
NAMES = (
    "", "x", "cpu", "m1", "trainer", "../x", "a" * 300, "\x1b[31m", "a\nb", "<b>", "$x^", "[red]",
    "`|`", "\ud800", "\u202e", "2026-01-01",
)  # fmt: skip
ANY = st.recursive(
    st.sampled_from((None, True, float("nan"), float("inf"), *NUMBERS, *NAMES)) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
"""Values that replace or join any value of a file."""
EDITS = st.lists(
    st.tuples(
        st.integers(0, 10**6),
        st.sampled_from(["same type"] * 8 + ["value", "drop", "add", "key"]),
        st.sampled_from(NUMBERS),
        st.sampled_from(NAMES),
        ANY,
    ),
    min_size=1, max_size=2,
)  # fmt: skip
NOISE = st.sampled_from(range(10)).flatmap(
    lambda number: st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=2 if number == 0 else 0
    )
)
"""Changed bytes, in few examples: most of them make the file invalid JSON."""
Edit = tuple[int, str, Any, str, Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make a workspace with results and the export of another machine."""
    monkeypatch = pytest.MonkeyPatch()
    content = small_content()
    root = make_workspace(tmp_path_factory.mktemp("fuzz") / "workspace", content, monkeypatch)
    write_result(DATASET, made_records.DATASET)
    write_results("cpu")
    write_exported(EXPORTED, record(machine="m1"))
    yield root
    monkeypatch.undo()


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each container with each of its keys, at every depth."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


def edited(content: Any, edits: list[Edit]) -> Any:
    """Change `content` in place and return it: replace values; drop, add and rename keys."""
    for number, kind, figure, name, odd in edits:
        targets = [*places(content)]
        if not targets:
            break
        inside, key = targets[number % len(targets)]
        if kind in ("same type", "value"):
            inside[key] = same_type(inside[key], figure, name) if kind == "same type" else odd
        elif kind == "add":
            inside.update({name: odd}) if isinstance(inside, dict) else inside.append(odd)
        else:
            value = inside.pop(key)
            if kind == "key" and isinstance(inside, dict):
                inside[name] = value
    return content


def same_type(value: Any, figure: Any, name: str) -> Any:
    """Return another value of the same type; for a container, one with fewer elements."""
    match value:
        case bool():
            return not value
        case int() | float():
            return figure
        case str():
            return name
        case dict():
            return dict([*value.items()][1:])
        case list():
            return value[: len(value) // 2]
    return value


def spoilt(path: Path, edits: list[Edit], noise: list[tuple[int, int]]) -> bytes:
    """Return the file's content with edits, then with bytes changed. The file is not changed."""
    content = bytearray(json.dumps(edited(json.loads(path.read_bytes()), edits)).encode())
    for number, byte in noise:
        content[number % len(content)] = byte
    return bytes(content)


def check(*command: str) -> int:
    """Run a command and return its exit status; assert that an error is one line of plain text."""
    output, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(error):
        status = main(command)
    assert status in (0, 1, 2)
    if lines := error.getvalue().splitlines():
        assert status
        assert len(lines) == 1
        assert lines[0].startswith("error: ")
        assert lines[0] == visible(lines[0])
    assert "\x1b" not in output.getvalue()
    return status


@contextlib.contextmanager
def in_place_of(path: Path, content: bytes) -> Iterator[None]:
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


REQUESTED = os.environ.get("BENCHMARK_FUZZ_EXAMPLES")
FUZZ = settings(
    max_examples=int(REQUESTED or settings().max_examples),
    derandomize=not REQUESTED,
    suppress_health_check=[HealthCheck.too_slow],
)


@FUZZ
@given(edits=EDITS, noise=NOISE)
def test_any_export_of_another_machine_is_read_or_one_line(place: Path, edits, noise) -> None:
    with in_place_of(EXPORTED, spoilt(EXPORTED, edits, noise)):
        statuses = (
            check("report"),
            check("compare", str(EXPORTED), "."),
            check("compare", ".", "m1"),
        )
    assert statuses[0] != 2
    event(f"statuses {statuses}")


@FUZZ
@given(path=st.sampled_from(RESULTS), edits=EDITS, noise=NOISE)
def test_any_result_of_a_stage_is_read_or_one_line(place: Path, path, edits, noise) -> None:
    with in_place_of(path, spoilt(path, edits, noise)):
        statuses = check("report"), check("compare", str(EXPORTED), "."), check("export")
        (MACHINES / ("a" * 16) / "cpu.json").unlink(missing_ok=True)
    event(f"{path.name}: statuses {statuses}")


def test_what_is_not_spoilt_is_read(place: Path) -> None:
    assert check("report") == 0
    assert check("compare", str(EXPORTED), ".") == 0
