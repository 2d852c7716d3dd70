"""The suite's tests; what they share lies here, in conftest.py and in fixtures.py."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PARAMETERS = Path(__file__).with_name("params.yaml")
"""The tests' own parameters: those of the repository are the user's to change."""
