"""Deviations that a project acknowledges, and what becomes of a verdict."""

from dataclasses import replace
from pathlib import Path

import pytest

from datamodule_conformance.acknowledged import AcknowledgedError, Deviations
from datamodule_conformance.verdicts import Outcome, Verdict

PATH = "my.module:Data"
RULE = "workers change nothing"
TABLE = f'["{PATH}"]\n"{RULE}" = "The data come from a camera."\n'
BROKEN = Verdict(RULE, Outcome.BROKEN, "all differ", "why it matters", "how to mend it")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "below/here").mkdir(parents=True)
    return tmp_path / "below/here"


@pytest.mark.parametrize("place", ["below/here/conformance.toml", "conformance.toml"])
def test_a_file_of_its_own_here_or_above(folder: Path, place: str) -> None:
    (folder.parents[1] / place).write_text(TABLE)
    found = Deviations.load(PATH, folder)
    assert found.reasons == {RULE: "The data come from a camera."}
    assert Deviations.load("my.module:Other", folder).reasons == {}


def test_a_table_of_pyproject_unless_a_nearer_file_says_something(folder: Path) -> None:
    (folder.parents[1] / "pyproject.toml").write_text(f"[tool.datamodule-conformance.{TABLE[1:]}")
    (folder / "pyproject.toml").write_text("[tool.other]\nx = 1\n")
    assert Deviations.load(PATH, folder).reasons.keys() == {RULE}
    (folder.parent / "conformance.toml").write_text("")
    assert Deviations.load(PATH, folder).reasons == {}


def test_none_where_no_file_is(folder: Path) -> None:
    assert Deviations.load(PATH, folder).applied(BROKEN) == BROKEN


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("x = ", "is no TOML: Invalid value"),
        (f'"{RULE}" = "meant"', f'"{RULE}" belongs to no DataModule. Write it below'),
        (TABLE.replace("change", "chance"), f'is no rule. Did you mean "{RULE}"?'),
        (TABLE.replace(RULE, "xyzzy"), '"xyzzy" is no rule. `python -m datamodule_conformance`'),
        (TABLE.replace("The data come from a camera.", " "), f'"{RULE}" has no reason.'),
        (TABLE.replace('"The data come from a camera."', "true"), f'"{RULE}" has no reason.'),
    ],
)
def test_what_can_not_be_meant_is_one_clear_message(folder: Path, content: str, words: str) -> None:
    (folder / "conformance.toml").write_text(content)
    with pytest.raises(AcknowledgedError) as raised:
        Deviations.load(PATH, folder)
    assert words in str(raised.value)
    assert str(folder / "conformance.toml") in str(raised.value)


def test_what_becomes_of_a_verdict() -> None:
    known = Deviations(Path("conformance.toml"), {RULE: "It is meant."})
    assert known.applied(BROKEN) == replace(
        BROKEN, outcome=Outcome.ACKNOWLEDGED, reason="It is meant."
    )
    other, skipped = replace(BROKEN, rule="other"), replace(BROKEN, outcome=Outcome.NOT_JUDGED)
    assert known.applied(other) == other
    assert known.applied(skipped) == skipped
    stale = known.applied(Verdict(RULE, Outcome.HOLDS))
    assert stale.outcome is Outcome.BROKEN
    assert (
        stale.seen == "it holds, and conformance.toml acknowledges that it does not: It is meant."
    )
    assert stale.fix == "Delete its line there."
