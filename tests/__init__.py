"""The suite's tests; what they share lies here and in conftest.py."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
