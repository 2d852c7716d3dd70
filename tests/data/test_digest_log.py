import json

import torch

from benchmark.data.digest_log import PIXEL_BATCHES, DigestLog


def test_a_resumed_log_continues_its_chains() -> None:
    uninterrupted, first, second = DigestLog(), DigestLog(), DigestLog()
    for epoch in range(4):
        for digest_log in (uninterrupted, first if epoch < 2 else second):
            if epoch == 2 and digest_log is second:
                digest_log.load_state_dict(first.state_dict())
            digest_log.record_order(epoch, torch.tensor([epoch, 1]))
            digest_log.record_order(epoch, torch.tensor([2, 3]))
            digest_log.record_pixels(torch.full((2,), epoch))
    assert second.state_dict() == uninterrupted.state_dict()


def test_the_chain_distinguishes_orders_epochs_and_batches() -> None:
    chains = set()
    for epochs, batches in [
        ([0, 0], [[1, 2], [3]]), ([0, 0], [[1], [2, 3]]), ([0, 0], [[2, 1], [3]]),
        ([0, 1], [[1, 2], [3]]), ([0, 1], [[1, 3], [3]]), ([0], [[1, 2, 3]]),
    ]:  # fmt: skip
        digest_log = DigestLog()
        for epoch, batch in zip(epochs, batches, strict=True):
            digest_log.record_order(epoch, torch.tensor(batch))
        chains.add(digest_log.order[max(digest_log.order)])
    assert len(chains) == 6


def test_the_chain_of_pixels_depends_on_the_first_batch() -> None:
    one, other = DigestLog(), DigestLog()
    for digest_log, first in ((one, 0), (other, 1)):
        digest_log.record_pixels(torch.tensor([first]))
        digest_log.record_pixels(torch.tensor([5]))
    assert one.pixels != other.pixels


def test_pixels_are_wanted_for_the_first_batches_only() -> None:
    digest_log = DigestLog()
    for _ in range(PIXEL_BATCHES):
        assert digest_log.wants_pixels
        digest_log.record_pixels(torch.zeros(1))
    assert not digest_log.wants_pixels


def test_the_state_is_plain() -> None:
    digest_log = DigestLog()
    digest_log.record_order(0, torch.tensor([1]))
    json.dumps(digest_log.state_dict())
