import hashlib

import pytest
import torch

from benchmark.common.digests import chain, of_json, of_state, of_text


def test_state_digest_is_sha256_of_names_types_shapes_and_bytes() -> None:
    expected = hashlib.sha256(b"a" + b"torch.uint8 (2,)\n" + bytes([1, 2])).hexdigest()
    assert of_state({"a": torch.tensor([1, 2], dtype=torch.uint8)}) == expected


def test_state_digest_does_not_depend_on_the_order_or_layout_of_tensors() -> None:
    image = torch.arange(24.0).reshape(1, 2, 3, 4)
    one = {"a": image, "b": torch.tensor(1)}
    other = {"b": torch.tensor(1), "a": image.to(memory_format=torch.channels_last)}
    assert of_state(one) == of_state(other)


@pytest.mark.parametrize(
    "state",
    [
        {"a": torch.tensor([1.0, 3.0])},
        {"b": torch.tensor([1.0, 2.0])},
        {"a": torch.tensor([[1.0, 2.0]])},
        {"a": torch.tensor([1.0, 2.0], dtype=torch.float64)},
        {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor(0)},
        {"a": torch.tensor([1.0, 2.0]).nextafter(torch.tensor(9.0))},
    ],
)
def test_state_digest_tells_states_apart(state: dict[str, torch.Tensor]) -> None:
    assert of_state(state) != of_state({"a": torch.tensor([1.0, 2.0])})


def test_half_precision_can_be_digested() -> None:
    assert of_state({"a": torch.ones(2, dtype=torch.bfloat16)}) != of_state({"a": torch.ones(2)})


def test_chain_depends_on_all_that_went_before() -> None:
    assert chain(chain("", [1]), [2]) != chain(chain("", [2]), [1])
    assert chain("", [1, 23]) != chain("", [12, 3])


def test_texts_are_told_apart() -> None:
    assert of_text("ab", "c") != of_text("a", "bc")
    assert of_json({"a": 1, "b": 2}) == of_json({"b": 2, "a": 1})
