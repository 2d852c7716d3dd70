import torch

from benchmark.machine.memory import largest, peak_memory
from benchmark.machine.schema import Memory


def test_memory_is_that_of_the_process_and_a_cpu_has_none_of_its_own() -> None:
    before = peak_memory("cpu").host_bytes
    ballast = torch.ones(before // 4)  # four bytes each
    after = peak_memory("cpu")
    assert after.host_bytes > before  # a peak: what was resident before may be gone
    assert after.device_bytes is None
    assert after.device_reason == "the host's memory is the device's"
    del ballast


def test_the_device_memory_of_several_processes_is_known_if_each_has_one() -> None:
    one, other = Memory(host_bytes=5, device_bytes=9), Memory(host_bytes=7, device_bytes=8)
    assert largest([one, other]) == Memory(host_bytes=7, device_bytes=9)
    lacking = Memory(host_bytes=1, device_reason="no counter")
    assert largest([one, lacking]) == Memory(host_bytes=5, device_reason="no counter")
