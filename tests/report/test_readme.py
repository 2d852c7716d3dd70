import pytest
from PIL import Image

from benchmark.common.results import REPORTS
from benchmark.report.comparison_schema import Comparison
from benchmark.report.readme import MARKED, README, machine, update_results
from tests import REPOSITORY
from tests.report.golden import compared
from tests.report.picture import PICTURE, WIDTH

MARKS = "<!-- results of machine x -->\nold\n<!-- end of results -->\n"


def test_results_stand_between_the_marks_and_nothing_else_changes() -> None:
    after = update_results(f"# A title\n\n{MARKS}\nMore.\n", compared("one"))
    begin = f"<!-- results of machine {'a' * 16} -->\n| Accelerator | Device |"
    assert after.startswith(f"# A title\n\n{begin}")
    assert after.endswith("\n<!-- end of results -->\n\nMore.\n")
    assert "old" not in after
    device, control = r"&lt;i>CPU\|&lt;/i> \[x\](y)", "25.0% (14.2% to 40.2%)"
    line = f"| cpu | {device} | 50.00 (49.75 to 50.25) | 75.0% (59.8% to 85.8%) | {control} |"
    assert line in after
    assert update_results(after, compared("one")) == after


def test_a_speed_that_is_not_stable_is_called_so() -> None:
    assert ", unstable | " in update_results(MARKS, compared("machines"))


def test_absent_accelerators_say_why() -> None:
    line = "| tpu | unavailable: no CUDA or MPS device found | - | - | - | - |"
    assert line in update_results(MARKS, compared("three"))


def test_the_readme_says_what_the_bundled_report_says() -> None:
    """If the reports are meant to change: python -m benchmark.report.readme."""
    content = (REPOSITORY / REPORTS / "comparison.json").read_bytes()
    text = (REPOSITORY / README).read_text(encoding="utf-8")
    comparison = Comparison.model_validate_json(content)
    marked = MARKED.search(text)
    assert marked
    if marked[1] != machine(comparison):
        pytest.skip("reports/ contains results of another machine than the README")
    assert text == update_results(text, comparison)


def test_the_readmes_picture_is_there_and_small() -> None:
    """python -m tests.report.picture draws it."""
    assert f"]({PICTURE.relative_to(REPOSITORY)})" in (REPOSITORY / README).read_text("utf-8")
    with Image.open(PICTURE) as picture:
        assert picture.format == "PNG"
        assert picture.width == WIDTH
    assert PICTURE.stat().st_size <= 200_000
