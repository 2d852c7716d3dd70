"""The suite's tests; shared code is in this file, conftest.py and support/."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PARAMETERS = Path(__file__).with_name("params.yaml")
"""The tests' own parameters: those of the repository are the user's to change."""
