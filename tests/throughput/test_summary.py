import pytest
from pydantic import ValidationError

from benchmark.throughput import summary
from benchmark.throughput.measurements import ProcessRates
from benchmark.throughput.schema import Block, Energy, Memory, PeerStatus
from tests.support.made_results import measurement


def test_memory_of_the_device_is_the_most_of_all_processes() -> None:
    found = [Memory(host_bytes=host, device_bytes=device) for host, device in ((3, 30), (5, 20))]
    assert summary._memory(found) == Memory(host_bytes=5, device_bytes=30)


def test_energy_is_a_value_or_a_reason() -> None:
    with pytest.raises(ValidationError, match="holds either a value or a reason"):
        Energy()


def test_a_peer_that_one_process_did_not_measure_was_not_measured() -> None:
    """And the first reason is told."""
    blocks = {"trainer": [Block(seconds=1.0, compilations=0)]}
    reasons = ((None, None), (None, "there is no room"), (None, "there is none either"))
    processes = [
        ProcessRates(measurement(blocks, peers=dict(zip("ab", map(peer, pair), strict=True))), 1)
        for pair in reasons
    ]
    assert summary._peers(processes) == {"a": peer(None), "b": peer("there is no room")}


def peer(reason: str | None) -> PeerStatus:
    return PeerStatus(versions={"package": "1"}, reason=reason)
