"""Text from users and other programs in Markdown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.common.formatting import literal, plain
from benchmark.errors.user_error import visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("num_workers 2", "num_workers 2"),
        ("_e_ *d* `c`", r"\_e\_ \*d\* \`c\`"),
        ("__init__", r"\_\_init\_\_"),
        ("a _ b", r"a \_ b"),
        ("[a](b) \\", r"\[a\](b) \\"),
    ],
)
def test_nothing_in_it_is_markup_and_names_stay_readable(text: str, expected: str) -> None:
    assert literal(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n\r\u2028b", "a  b"),
        ("<b>", "&lt;b>"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("فراشة الملك", "فراشة الملك"),
        ("`data/<label>` <b>", "`data/<label>` &lt;b>"),
        (literal("`<b>` `"), r"\`&lt;b>\` \`"),
    ],
)
def test_a_line_is_one_and_begins_no_html(text: str, expected: str) -> None:
    assert plain(text).split() == expected.split()


@given(st.text(st.characters()))
def test_what_is_visible_steers_no_terminal(text: str) -> None:
    expected = visible(text)
    assert not {*map(chr, [*range(32), *range(127, 160), 0x2028, 0x202E, 0x2067])} & {*expected}
    assert expected.encode().decode() == expected
    if text.isprintable():
        assert expected == text
