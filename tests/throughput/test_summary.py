import pytest
from pydantic import ValidationError

from benchmark.throughput import summary
from benchmark.throughput.schema import Energy, Memory


def test_memory_of_the_device_is_the_most_of_all_processes() -> None:
    memories = [Memory(host_bytes=host, device_bytes=device) for host, device in ((3, 30), (5, 20))]
    assert summary._memory(memories) == Memory(host_bytes=5, device_bytes=30)


def test_energy_is_a_value_or_a_reason() -> None:
    with pytest.raises(ValidationError, match="must have either a value or a reason"):
        Energy()
