import errno
import os

import pytest

from benchmark.errors.user_error import UserError, explain_system_errors


def test_an_error_is_one_line_whatever_a_file_is_called() -> None:
    error = UserError("two\nlines\u2028 of \udcff, caf\u00e9.", "Rename it.")
    assert str(error) == rf"{error.what} Rename it."
    assert error.what == r"two\nlines\u2028 of \udcff, café."


@pytest.mark.parametrize(
    "number", [errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP]
)
def test_names_that_the_system_refuses_become_user_errors(number: int) -> None:
    """A rename has two paths; the message contains its target."""
    with (
        pytest.raises(UserError, match=rf"^target: {os.strerror(number)}\. "),
        explain_system_errors(),
    ):
        raise OSError(number, os.strerror(number), ".target.tmp", None, "target")
