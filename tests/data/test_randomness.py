import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from benchmark.data import randomness
from benchmark.data.randomness import _GOLDEN, _mix, normals, permutation, uniforms

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
    assert normals(7, 1, 2).tolist() == [0.2455541491508484, -1.0225881338119507]


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


def test_normals_are_normal_and_independent() -> None:
    draws = np.stack([normals(3, tensor, 200_000) for tensor in range(3)])
    assert stats.kstest(draws.ravel(), "norm").pvalue > 0.001
    assert draws.std() == pytest.approx(1, abs=0.005)
    assert stats.kurtosis(draws, axis=None) == pytest.approx(0, abs=0.03)
    assert np.abs(draws).max() > 4.5
    correlation = np.corrcoef(np.vstack([draws[:, 1:], draws[:, :-1]])) - np.eye(6)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(200_000)


def test_normals_have_the_precision_of_their_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest and largest uniform numbers, and some of each branch."""
    fractions = [0, 1, 1 << 20, 1 << 30, 1 << 40, 1 << 48, 1 << 50, (1 << 51) - 1]
    bits = np.array([*fractions, *((1 << 52) - 1 - f for f in fractions)], dtype=np.uint64)
    monkeypatch.setattr(randomness, "_hash", lambda *_: bits << np.uint64(12))
    expected = special.ndtri((bits + 0.5) * 2.0**-52)
    np.testing.assert_allclose(normals(0, 0, len(bits)), expected, rtol=3e-7)


@given(seeds, st.integers(0, 100), st.integers(1, 500))
def test_a_number_does_not_depend_on_how_many_are_drawn(seed: int, tensor: int, count: int) -> None:
    together = normals(seed, tensor, (1 << 16) + 500)
    np.testing.assert_array_equal(normals(seed, tensor, count), together[:count])
    tail = normals(seed, tensor, (1 << 16) + count)[1 << 16 :]
    np.testing.assert_array_equal(tail, together[1 << 16 :][:count])


def test_uniforms_differ_between_epochs_for_the_same_sample() -> None:
    draws = uniforms(3, np.arange(100), np.zeros(100, np.int64), 1)
    assert len(np.unique(draws)) == 100
