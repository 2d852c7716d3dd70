import pytest
from pydantic import ValidationError

from benchmark.throughput.schema import Energy


def test_energy_is_a_value_or_a_reason() -> None:
    with pytest.raises(ValidationError, match="must have either a value or a reason"):
        Energy()
