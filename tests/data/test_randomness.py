import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchmark.data.randomness import _GOLDEN, _mix, permutation, uniforms

seeds = st.integers(0, 2**32 - 1)
epochs = st.integers(0, 10_000)


def test_mixer_is_splitmix64() -> None:
    """The first outputs for seed 1234567, as published with the generator's reference code."""
    states = np.uint64(1234567) + np.arange(1, 6, dtype=np.uint64) * _GOLDEN
    assert _mix(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@given(seeds, epochs, st.integers(10, 300))
def test_order_is_a_permutation_and_not_the_identity(seed: int, epoch: int, length: int) -> None:
    order = permutation(seed, epoch, length)
    assert sorted(order) == list(range(length))
    assert order.tolist() != list(range(length))


@given(seeds, epochs)
def test_order_differs_between_epochs_and_between_seeds(seed: int, epoch: int) -> None:
    order = permutation(seed, epoch, 100).tolist()
    assert order != permutation(seed, epoch + 1, 100).tolist()
    assert order != permutation(seed + 1, epoch, 100).tolist()
    assert permutation(seed, epoch + 1, 100).tolist() != permutation(seed + 1, epoch, 100).tolist()


def test_the_numbers_stay_what_they_were() -> None:
    """Digests made by another version can be compared only while they do."""
    assert permutation(7, 1, 8).tolist() == [1, 0, 6, 2, 4, 5, 3, 7]
    draws = uniforms(7, np.array([1]), np.array([5]), 3)
    assert draws.tolist() == [[0.6297315145007811, 0.22196183848408202, 0.7428002968631752]]


@given(seeds, epochs, st.permutations(range(8)))
def test_a_samples_numbers_do_not_depend_on_its_batch(
    seed: int, epoch: int, batch: list[int]
) -> None:
    together = uniforms(seed, np.full(8, epoch), np.array(batch), 5)
    alone = [uniforms(seed, np.array([epoch]), np.array([index]), 5)[0] for index in batch]
    np.testing.assert_array_equal(together, np.stack(alone))


def test_uniforms_are_uniform_and_independent() -> None:
    draws = uniforms(3, np.zeros(50_000, np.int64), np.arange(50_000), 4)
    assert draws.min() >= 0
    assert draws.max() < 1
    counts = np.stack([np.histogram(column, 20, (0, 1))[0] for column in draws.T])
    chi_squared = ((counts - 2500) ** 2 / 2500).sum(axis=1)
    assert (chi_squared < 43.8).all()  # 99.9 % quantile at 19 degrees of freedom
    correlation = np.corrcoef(draws.T) - np.eye(4)
    assert np.abs(correlation).max() < 4 / np.sqrt(50_000)


def test_uniforms_differ_between_epochs_for_the_same_sample() -> None:
    draws = uniforms(3, np.arange(100), np.zeros(100, np.int64), 1)
    assert len(np.unique(draws)) == 100
