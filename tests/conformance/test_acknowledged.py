"""Deviations that a project acknowledges, and their effect on a result."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lightning_conformance.acknowledged import AcknowledgedError, Deviations
from lightning_conformance.results import Outcome, RuleResult
from lightning_conformance.rules import rules

PATH = "my.module:Data"
RULE = "workers change nothing"
TABLE = f'["{PATH}"]\n"{RULE}" = "The data come from a camera."\n'
BROKEN = RuleResult(RULE, Outcome.BROKEN, "all differ", "why it matters", "how to fix it")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "below/deep").mkdir(parents=True)
    return tmp_path / "below/deep"


@pytest.mark.parametrize("place", ["below/deep/conformance.toml", "conformance.toml"])
def test_a_file_in_the_folder_or_above(folder: Path, place: str) -> None:
    (folder.parents[1] / place).write_text(TABLE)
    assert Deviations.load(PATH, folder).reasons == {RULE: "The data come from a camera."}
    assert Deviations.load("my.module:Other", folder).reasons == {}


def test_a_table_of_pyproject_unless_a_nearer_file_has_one(folder: Path) -> None:
    (folder.parents[1] / "pyproject.toml").write_text(f"[tool.lightning-conformance.{TABLE[1:]}")
    (folder / "pyproject.toml").write_text("[tool.other]\nx = 1\n")
    assert Deviations.load(PATH, folder).reasons.keys() == {RULE}
    (folder.parent / "conformance.toml").write_text("")
    assert Deviations.load(PATH, folder).reasons == {}


def test_a_table_of_the_kits_old_name_is_one_clear_message(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(f"[tool.datamodule-conformance.{TABLE[1:]}")
    with pytest.raises(AcknowledgedError, match=r"is now \[tool.lightning-conformance\]. Rename"):
        Deviations.load(PATH, folder)


def test_without_a_file_results_are_unchanged(folder: Path) -> None:
    assert Deviations.load(PATH, folder).apply(BROKEN) == BROKEN


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("x = ", "is not valid TOML: Invalid value"),
        (f'"{RULE}" = "meant"', f'"{RULE}" stands outside a table. Write it below'),
        (TABLE.replace("change", "chance"), f'is not a rule. Did you mean "{RULE}"?'),
        (TABLE.replace(RULE, "xyzzy"), '"xyzzy" is not a rule. List them: `python -m'),
        (TABLE.replace("The data come from a camera.", " "), f'"{RULE}" has no reason.'),
        (TABLE.replace('"The data come from a camera."', "true"), f'"{RULE}" has no reason.'),
    ],
)
def test_an_invalid_entry_is_one_clear_message(folder: Path, content: str, words: str) -> None:
    (folder / "conformance.toml").write_text(content)
    with pytest.raises(AcknowledgedError) as raised:
        Deviations.load(PATH, folder)
    assert words in str(raised.value)
    assert str(folder / "conformance.toml") in str(raised.value)


def test_the_names_of_rules_are_known_without_torch() -> None:
    program = "import sys, lightning_conformance.acknowledged as a; "
    program += "print(*a._rule_names(), 'torch' in sys.modules, sep='|')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    *names, torch_is_loaded = done.stdout.strip().split("|")
    assert sorted(names) == sorted(rule.name for rule in rules())
    assert torch_is_loaded == "False"


def test_a_file_whose_tables_are_all_for_something_else_is_named(folder: Path) -> None:
    (folder / "conformance.toml").write_text(TABLE)
    assert Deviations.load(PATH, folder).note == ""
    note = Deviations.load("my.module:Daat", folder).note
    assert note.startswith(f'{folder / "conformance.toml"}: no table is for ["my.module:Daat"]')
    assert note.endswith(f'["{PATH}"].')
    (folder / "conformance.toml").write_text("")
    assert Deviations.load(PATH, folder).note == ""


def test_a_deviation_is_acknowledged_and_an_outdated_one_fails() -> None:
    deviations = Deviations(Path("conformance.toml"), {RULE: "It is intended."})
    acknowledged = replace(BROKEN, outcome=Outcome.ACKNOWLEDGED, reason="It is intended.")
    assert deviations.apply(BROKEN) == acknowledged
    other, skipped = replace(BROKEN, rule="other"), replace(BROKEN, outcome=Outcome.NOT_JUDGED)
    assert deviations.apply(other) == other
    assert deviations.apply(skipped) == skipped
    outdated = deviations.apply(RuleResult(RULE, Outcome.HOLDS))
    assert outdated.outcome is Outcome.BROKEN
    assert outdated.seen == (
        "the rule holds, but conformance.toml acknowledges a deviation: It is intended."
    )
    assert outdated.fix == "Delete its line in conformance.toml."
