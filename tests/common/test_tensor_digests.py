import hashlib
import tracemalloc

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from benchmark.common.tensor_digests import chain, element_bytes, state_digest


def test_state_digest_is_sha256_of_names_types_shapes_and_bytes() -> None:
    expected = hashlib.sha256(b"a" + b"torch.uint8 (2,)\n" + bytes([1, 2])).hexdigest()
    assert state_digest({"a": torch.tensor([1, 2], dtype=torch.uint8)}) == expected


def test_state_digest_does_not_depend_on_the_order_or_layout_of_tensors() -> None:
    image = torch.arange(24.0).reshape(1, 2, 3, 4)
    one = {"a": image, "b": torch.tensor(1)}
    other = {"b": torch.tensor(1), "a": image.to(memory_format=torch.channels_last)}
    assert state_digest(one) == state_digest(other)


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
def test_state_digest_distinguishes_states(state: dict[str, torch.Tensor]) -> None:
    assert state_digest(state) != state_digest({"a": torch.tensor([1.0, 2.0])})


@st.composite
def views(draw: st.DrawFn) -> Tensor:
    """Draw a tensor of up to three dimensions, sliced, transposed and expanded."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    dtype = draw(st.sampled_from([torch.uint8, torch.int64, torch.bfloat16, torch.complex64]))
    view = torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype)
    for dim, size in enumerate(shape):
        start, step = draw(st.integers(0, size)), draw(st.integers(1, 3))
        length = draw(st.integers(0, size - start))
        view = view.narrow(dim, start, length)[(slice(None),) * dim + (slice(None, None, step),)]
    view = view.permute(draw(st.permutations(range(view.ndim))))
    if draw(st.booleans()):
        view = view.unsqueeze(0).expand(draw(st.integers(0, 3)), *view.shape)
    return view.select(0, 0) if len(view) and draw(st.booleans()) else view


@given(views())
def test_a_view_has_the_digest_of_its_clone(view: Tensor) -> None:
    """Torch counts a view of one element as contiguous, whatever its strides."""
    packed = torch.empty(view.shape, dtype=view.dtype).copy_(view)
    assert state_digest({"a": view}) == state_digest({"a": packed})
    assert chain("", [view]) == chain("", [packed])


def test_a_digest_makes_no_copy_of_a_tensor_besides_torchs() -> None:
    tensor = torch.zeros(2_000_000)
    tracemalloc.start()
    state_digest({"a": tensor})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < tensor.nbytes / 4


def test_the_bytes_of_elements_are_in_their_order() -> None:
    table = torch.arange(6, dtype=torch.uint8).reshape(2, 3)
    assert element_bytes(table.t()) == bytes([0, 3, 1, 4, 2, 5])
    assert element_bytes(torch.tensor([[1, 2]])[:, 1]) == (2).to_bytes(8, "little")


def test_chain_depends_on_all_that_went_before() -> None:
    assert chain(chain("", [1]), [2]) != chain(chain("", [2]), [1])
    assert chain("", [1, 23]) != chain("", [12, 3])
    assert chain("a", [1]) != chain("b", [1])
