"""What the kit's model notes of a batch."""

import pickle
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from datamodule_conformance.observations import difference
from datamodule_conformance.probe import describe_batch


@pytest.mark.parametrize("size", [1, 2])
def test_a_sample_has_one_digest_whatever_the_layout_of_its_batch(size: int) -> None:
    """Torch counts a view of one column as contiguous, whatever its strides."""
    table = torch.arange(6).reshape(3, 2)
    views = table.t()[:size, :1], table[:size, 1:], table[:size, 1]
    packed = tuple(view.clone(memory_format=torch.contiguous_format) for view in views)
    assert describe_batch(views).rows == describe_batch(packed).rows
    assert len(set(describe_batch(views).rows)) == size


@dataclass(frozen=True)
class Frozen:
    """What may not be written to."""

    tensor: torch.Tensor


def test_a_batch_stays_as_it_is_and_all_that_it_holds_is_describe_batch() -> None:
    batch = Frozen(torch.arange(3)), SimpleNamespace(tensor=torch.arange(3.0)), np.ones(3)
    before = pickle.dumps(batch)
    step = describe_batch(batch)
    assert pickle.dumps(batch) == before
    assert step.lengths == (3, 3, 3)


def test_names_have_no_order_and_what_holds_nothing_has_no_digest() -> None:
    one, other = {"a": 1, "b": torch.ones(2)}, {"b": torch.ones(2), "a": 1}
    assert (
        describe_batch(one).digest
        == describe_batch(other).digest
        != describe_batch({"a": 2, "b": torch.ones(2)}).digest
    )
    assert describe_batch(lambda: one).digest is None


def test_samples_that_are_shown_again_are_counted() -> None:
    one, other = ([[describe_batch(torch.tensor(numbers))]] for numbers in ([0, 0, 1], [0, 1, 1]))
    text = "1 of 3 samples are not the same bit for bit, from epoch 0, step 0 on"
    assert difference(one, other) == text
