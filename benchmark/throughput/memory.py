"""A lack of memory, told from other failures."""

WORDS = (
    "MemoryError", "out of memory", "can't allocate memory", "not enough memory",
    "RESOURCE_EXHAUSTED",
)  # fmt: skip
"""Some of the many ways to say so."""


def is_out_of_memory(words: str) -> bool:
    """Whether an error's type and message, `"RuntimeError: ..."`, say so."""
    return any(word in words for word in WORDS)
