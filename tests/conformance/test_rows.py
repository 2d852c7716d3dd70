"""A batch is cut into smaller ones by its rows, or refused."""

from collections import namedtuple
from typing import Any

import pytest
import torch

from lightning_conformance.module.rows import NotRowsError, row_count, split

Pair = namedtuple("Pair", "images labels")


@pytest.mark.parametrize(
    ("samples", "sizes"),
    [(1, [1]), (2, [1, 1]), (3, [2, 1]), (4, [3, 1]), (5, [3, 2]), (9, [6, 3])],
)
def test_a_part_of_one_sample_is_rare(samples: int, sizes: list[int]) -> None:
    assert [len(part) for part in split(torch.zeros(samples, 2), samples)] == sizes


def test_each_part_of_a_batch_is_cut() -> None:
    batch = {
        "pair": Pair(torch.arange(5.0), torch.arange(5)), "names": list("abcde"),
        "weights": torch.arange(5.0).numpy(), "step": 3, "scale": torch.tensor(2.0), "none": None,
    }  # fmt: skip
    first, second = split(batch, 5)
    assert first["pair"].images.tolist() == [0, 1, 2]
    assert second["pair"].labels.tolist() == [3, 4]
    assert second["weights"].tolist() == [3, 4]
    assert first["names"] + second["names"] == batch["names"]
    assert (second["step"], second["scale"], second["none"]) == (3, batch["scale"], None)


@pytest.mark.parametrize(
    "batch",
    [
        (torch.zeros(3, 2), torch.zeros(2, 9)),  # edges of a graph
        [torch.zeros(3, 8, 8)] * 3,  # images in a list, of three channels
        {1, 2, 3},
    ],
)
def test_a_batch_without_a_row_for_each_sample_is_refused(batch: Any) -> None:
    with pytest.raises(NotRowsError):
        split(batch, 3)


def test_rows_are_counted_in_the_first_tensor() -> None:
    assert row_count({"a": torch.tensor(1.0), "b": torch.zeros(4, 2)}) == 4
    assert row_count(["no tensor"]) == 0
