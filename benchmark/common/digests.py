"""sha256 digests of text and JSON. Equal digests mean equal content."""

import hashlib
import json
from typing import Any


def text_digest(*parts: str) -> str:
    """Return the digest of `parts`, which are joined with NUL characters.

    Lone surrogates, Python's form of bytes in file names that are not UTF-8, count as those bytes.
    """
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()


def json_digest(value: Any) -> str:
    """Return the digest of `value` as JSON with sorted keys."""
    return text_digest(json.dumps(value, sort_keys=True))
