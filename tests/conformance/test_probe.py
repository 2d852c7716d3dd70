"""Records of batches."""

import pickle
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lightning_conformance.observations import difference
from lightning_conformance.probe import describe_batch


@pytest.mark.parametrize("size", [1, 2])
def test_a_sample_has_one_digest_whatever_the_layout_of_its_batch(size: int) -> None:
    """torch treats a view of one column as contiguous, for any strides."""
    table = torch.arange(6).reshape(3, 2)
    views = table.t()[:size, :1], table[:size, 1:], table[:size, 1]
    packed = tuple(view.clone(memory_format=torch.contiguous_format) for view in views)
    assert describe_batch(views).rows == describe_batch(packed).rows
    assert len(set(describe_batch(views).rows)) == size


@dataclass(frozen=True)
class Frozen:
    """Refuses assignments."""

    tensor: torch.Tensor


def test_a_batch_stays_as_it_is_and_all_that_it_holds_is_describe_batch() -> None:
    batch = Frozen(torch.arange(3)), SimpleNamespace(tensor=torch.arange(3.0)), np.ones(3)
    before = pickle.dumps(batch)
    step = describe_batch(batch)
    assert pickle.dumps(batch) == before
    assert step.lengths == (3, 3, 3)


def test_keys_have_no_order_and_a_batch_without_content_has_no_digest() -> None:
    one, other = {"a": 1, "b": torch.ones(2)}, {"b": torch.ones(2), "a": 1}
    assert (
        describe_batch(one).digest
        == describe_batch(other).digest
        != describe_batch({"a": 2, "b": torch.ones(2)}).digest
    )
    assert describe_batch(lambda: one).digest is None


def test_repeated_samples_are_counted() -> None:
    one, other = ([[describe_batch(torch.tensor(numbers))]] for numbers in ([0, 0, 1], [0, 1, 1]))
    text = "1 of 3 samples are not the same bit for bit, from epoch 0, step 0 on"
    assert difference(one, other) == text


TOKENS = torch.tensor([[1, 2, 0], [1, 2, 3]])
ATOMS = torch.rand(5, 3)  # of two molecules
SAMPLES = ("first", "second")


@pytest.mark.parametrize(
    ("batch", "labels"),
    [
        ((TOKENS, torch.tensor([1, 0])), [1, 0]),
        ({"tokens": TOKENS, "target": torch.tensor([1, 0])}, [1, 0]),
        ((TOKENS, torch.tensor([2, 3])), None),  # the lengths of the sentences
        ((TOKENS, torch.tensor([-1, -1])), None),
        ((TOKENS, torch.tensor([0.5, 1.5])), None),
        ((ATOMS, torch.tensor([1, 0])), None),
    ],
)
def test_labels_are_class_numbers_of_the_rows(batch: Any, labels: list[int] | None) -> None:
    recorded = describe_batch(batch).labels
    assert (recorded is None) == (labels is None)
    assert recorded is None or recorded.tolist() == labels


@pytest.mark.parametrize(
    ("batch", "graph"),
    [
        ({"x": ATOMS, "edge_index": torch.zeros(2, 4)}, True),
        ({"places": ATOMS, "molecule": torch.tensor([0, 0, 0, 1, 1])}, True),
        ((ATOMS, torch.tensor([7, 8]), torch.tensor([0, 3, 5])), True),  # offsets
        ((TOKENS, torch.tensor([0, 1])), False),
        ((ATOMS, torch.tensor([4, 0, 2, 1, 3])), False),
    ],
)
def test_graphs_are_detected(batch: Any, graph: bool) -> None:
    assert describe_batch(batch, samples=SAMPLES).graph == graph


def test_texts_of_a_row_are_in_its_digest() -> None:
    """default_collate makes a list of texts, next to the tensors."""
    first, second = (
        describe_batch({"image": torch.zeros(2, 3), "texts": [caption, "a dog"], "size": [8, 8, 8]})
        for caption in ("a cat", "the cat")
    )
    assert first.rows[0] != second.rows[0]
    assert first.rows[1] == second.rows[1]
    swapped = describe_batch(
        {"image": torch.zeros(2, 3), "texts": ["a dog", "a cat"], "size": [8, 8, 8]}
    )
    assert swapped.rows == first.rows[::-1]
