import io
import re

import pytest

from benchmark.report.comparison import build
from benchmark.report.terminal import show
from tests.report.golden import CASES, PARAMETERS, compared
from tests.support.made_records import DATASET, absent


def printed(case: str, terminal: bool = False) -> str:
    file = io.StringIO()
    file.isatty = lambda: terminal  # type: ignore[method-assign]
    show(compared(case), file)
    return file.getvalue()


def test_the_verdict_comes_first() -> None:
    lines = printed("machines").splitlines()
    assert lines[0].startswith("cpu trains 50 images/s")
    assert lines[1:6] == [*compared("machines").flags]
    assert any("50 (45 to 55), unstable" in line and "the reference" in line for line in lines)


@pytest.mark.parametrize("case", CASES)
def test_a_log_gets_plain_text_and_each_accelerator_on_a_line(case: str) -> None:
    text = printed(case)
    assert "\x1b" not in text
    for entry in compared(case).accelerators:
        assert sum(entry.label in line.split()[:1] for line in text.splitlines()) >= 1


def test_colours_that_are_forced_change_no_word_and_no_line(monkeypatch) -> None:
    plain = printed("machines")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    coloured = printed("machines")
    assert coloured != plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_a_narrow_terminal_cuts_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    text = printed("three", terminal=True)
    assert "…" not in text
    assert max(len(line) for line in text.splitlines() if "xla:" in line[:9]) <= 40


def test_an_absent_accelerator_says_why() -> None:
    assert "unavailable: no CUDA or MPS device found" in printed("three")


def test_names_steer_no_terminal() -> None:
    """Neither rich's markup nor escape sequences of the terminal take effect."""
    label = "[red]\x1b[2J:warning:\\"
    local = [absent(label, "[/] \x1b]0;x\x07 \u202e")]
    comparison = build(local, [], {}, DATASET, PARAMETERS)
    file = io.StringIO()
    show(comparison.model_copy(update={"flags": (label,)}), file)
    text = file.getvalue()
    assert not {"\x1b", "\x07", "\u202e"} & {*text}
    assert text.count(r"[red]\x1b[2J:warning:\\"[:-1]) == 2
    assert r"unavailable: [/] \x1b]0;x\x07 \u202e" in text
