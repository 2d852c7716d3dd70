"""A lack of memory, told from other failures."""

OUT_OF_MEMORY = (
    "MemoryError", "out of memory", "can't allocate memory", "not enough memory",
    "RESOURCE_EXHAUSTED", "STATUS_ALLOC_FAILED",
)  # fmt: skip
"""Some of the many ways to say so."""


def is_out_of_memory(words: str) -> bool:
    """Whether an error's type and message, `"RuntimeError: ..."`, say so."""
    return any(sign in words for sign in OUT_OF_MEMORY)


def reason(error: Exception) -> str:
    """The first line of what it says; its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
