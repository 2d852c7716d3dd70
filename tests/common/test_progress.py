"""One rule for what is a terminal, whatever the variables of a CI job say."""

import io
import re

import pytest

from benchmark.common.progress import console, is_terminal, progress, track

ACTIONS = {"FORCE_COLOR": "1", "PY_COLORS": "1", "COLUMNS": "40", "TERM": "xterm"}
"""Variables as users of GitHub Actions set them, but for CI."""
STYLES = re.compile(r"\x1b\[[0-9;]*m")


class Stream(io.StringIO):
    """A stream that is a terminal, or is not."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, True),
        (ACTIONS, True),
        ({"NO_COLOR": "1"}, True),
        ({"TERM": "dumb"}, False),
        ({"CI": "true"}, False),
        (ACTIONS | {"CI": "1"}, False),
        ({"CI": "false"}, True),
    ],
)
def test_a_terminal_that_cannot_draw_is_a_log(monkeypatch, variables, expected: bool) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_terminal(Stream(terminal=True)) == expected
    assert not is_terminal(Stream(terminal=False))


@pytest.mark.parametrize("variables", [{}, ACTIONS, ACTIONS | {"CI": "true"}, {"TERM": "dumb"}])
def test_a_log_has_a_line_for_each_step_and_no_control_codes(
    monkeypatch, capsys, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with progress(2, "begins") as advance:
        advance("cpu process 1: 50 images/s")
        advance("cpu process 2: 51 images/s")
    assert [*track(range(3), "Decoding images", 3)] == [0, 1, 2]
    output = capsys.readouterr()
    assert output.out == "cpu process 1: 50 images/s\ncpu process 2: 51 images/s\n"
    assert output.err == ""


def test_a_terminal_has_a_bar_and_no_lines(monkeypatch, capsys) -> None:
    stream = Stream(terminal=True)
    monkeypatch.setattr("sys.stderr", stream)
    with progress(1, "begins") as advance:
        advance("cpu process 1")
    assert [*track(range(3), "Decoding images", 3)] == [0, 1, 2]
    for text in ("cpu process 1", "Decoding images", "\x1b[2K"):
        assert text in stream.getvalue()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_of_a_log_are_wanted_and_break_no_line(
    monkeypatch, variables: dict[str, str], coloured: bool
) -> None:
    for name, value in (ACTIONS | variables).items():
        monkeypatch.setenv(name, value)
    stream = Stream(terminal=False)
    console(stream).print("a word " * 20, style="yellow")
    assert STYLES.sub("", stream.getvalue()).rstrip() == ("a word " * 20).rstrip()
    assert bool(STYLES.search(stream.getvalue())) == coloured
