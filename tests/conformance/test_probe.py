"""What the kit's model notes of a batch."""

import pytest
import torch

from datamodule_conformance.probe import seen


@pytest.mark.parametrize("size", [1, 2])
def test_a_sample_has_one_digest_whatever_the_layout_of_its_batch(size: int) -> None:
    """Torch counts a view of one column as contiguous, whatever its strides."""
    table = torch.arange(6).reshape(3, 2)
    views = table.t()[:size, :1], table[:size, 1:], table[:size, 1]
    packed = tuple(view.clone(memory_format=torch.contiguous_format) for view in views)
    assert seen(views).samples == seen(packed).samples
    assert len(set(seen(views).samples)) == size
