"""YAML files that people write by hand."""

from pathlib import Path
from typing import Any

import yaml

from benchmark.errors.user_error import UserError


def read(path: Path) -> Any:
    """Return the content of a YAML file.

    Raises:
        UserError: it is not YAML in UTF-8.
        OSError: it cannot be read.
    """
    content = path.read_bytes()
    try:
        return yaml.safe_load(content.decode())
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8.", "Save it as UTF-8.") from None
    except Exception as error:  # a value like 2024-13-01 raises other types
        raise UserError(f"{path} is not YAML: {_problem(error)}.", "Fix the syntax.") from None


def _problem(error: Exception) -> str:
    """Return the error on one line, with the line's number if it is known."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return " ".join(str(error).split()) or type(error).__name__
