"""YAML that people write by hand."""

from pathlib import Path
from typing import Any

import yaml

from benchmark.errors.user_error import UserError


def read(path: Path) -> Any:
    """What a file of YAML holds.

    Raises:
        UserError: it is none.
        OSError: it cannot be read.
    """
    content = path.read_bytes()
    try:
        return yaml.safe_load(content.decode())
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8.", "Save it as UTF-8.") from None
    except Exception as error:  # values that look like dates or numbers raise whatever they lead to
        raise UserError(f"{path} is not YAML: {_problem(error)}.", "Mend that.") from None


def _problem(error: Exception) -> str:
    """In one line, with the place if it is known."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return " ".join(str(error).split()) or type(error).__name__
