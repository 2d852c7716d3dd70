"""The one error a user is meant to read."""


class UserError(ValueError):
    """Something the user can correct: says what is wrong, where, and what to do about it.

    The command line prints it as one line without a traceback and exits with 1.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what} {remedy}")
