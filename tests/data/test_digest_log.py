import json

import torch

from benchmark.ledger import PIXEL_BATCHES, Ledger


def test_a_resumed_ledger_continues_its_chains() -> None:
    whole, first, second = Ledger(), Ledger(), Ledger()
    for epoch in range(4):
        for ledger in (whole, first if epoch < 2 else second):
            if epoch == 2 and ledger is second:
                ledger.load_state_dict(first.state_dict())
            ledger.record_order(epoch, torch.tensor([epoch, 1]))
            ledger.record_order(epoch, torch.tensor([2, 3]))
            ledger.record_pixels(torch.full((2,), epoch))
    assert second.state_dict() == whole.state_dict()


def test_the_chain_tells_orders_epochs_and_batches_apart() -> None:
    chains = set()
    for epochs, batches in [
        ([0, 0], [[1, 2], [3]]), ([0, 0], [[1], [2, 3]]), ([0, 0], [[2, 1], [3]]),
        ([0, 1], [[1, 2], [3]]), ([0], [[1, 2, 3]]),
    ]:  # fmt: skip
        ledger = Ledger()
        for epoch, batch in zip(epochs, batches, strict=True):
            ledger.record_order(epoch, torch.tensor(batch))
        chains.add(ledger.order[max(ledger.order)])
    assert len(chains) == 5


def test_the_chain_of_pixels_remembers_the_first_batch() -> None:
    chains = set()
    for first in (0, 1):
        ledger = Ledger()
        ledger.record_pixels(torch.tensor([first]))
        ledger.record_pixels(torch.tensor([5]))
        chains.add(ledger.pixels)
    assert len(chains) == 2


def test_the_chain_of_order_remembers_the_epoch_before() -> None:
    chains = set()
    for first in (0, 1):
        ledger = Ledger()
        ledger.record_order(0, torch.tensor([first]))
        ledger.record_order(1, torch.tensor([5]))
        chains.add(ledger.order[1])
    assert len(chains) == 2


def test_pixels_are_wanted_for_the_first_batches_only() -> None:
    ledger = Ledger()
    for _ in range(PIXEL_BATCHES):
        assert ledger.wants_pixels
        ledger.record_pixels(torch.zeros(1))
    assert not ledger.wants_pixels


def test_the_state_is_plain() -> None:
    ledger = Ledger()
    ledger.record_order(0, torch.tensor([1]))
    json.dumps(ledger.state_dict())
