"""Words of others in Markdown."""

import pytest

from benchmark.common.formatting import literal


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("num_workers 2", "num_workers 2"),
        ("_e_ *d* `c`", r"\_e\_ \*d\* \`c\`"),
        ("__init__", r"\_\_init\_\_"),
        ("a _ b", r"a \_ b"),
        ("[a](b) \\", r"\[a\](b) \\"),
    ],
)
def test_nothing_in_it_is_markup_and_names_stay_readable(text: str, shown: str) -> None:
    assert literal(text) == shown
