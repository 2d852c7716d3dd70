"""Random numbers as a pure function of (seed, stream, epoch, sample index).

No generator has a state: the numbers do not depend on the number of workers or processes, on the
order of calls, or on interruptions. They are integer arithmetic up to the last division, so every
machine computes the same bits.
"""

import numpy as np
from numpy.typing import NDArray

ORDER, AUGMENTATION = 1, 2
"""Streams: one per use, so that two uses never share numbers."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def permutation(seed: int, epoch: int, length: int) -> NDArray[np.int64]:
    """Return the order of `length` samples in `epoch`: indices sorted by a hash, (length,)."""
    keys = _hash(seed, ORDER, epoch, np.arange(length, dtype=np.uint64))
    return np.argsort(keys, kind="stable").astype(np.int64)


def uniforms(
    seed: int, epochs: NDArray[np.int64], indices: NDArray[np.int64], count: int
) -> NDArray[np.float64]:
    """Return `count` random numbers in [0, 1) for each of n samples, float64 (n, count)."""
    keys = _hash(seed, AUGMENTATION, epochs.astype(np.uint64), indices.astype(np.uint64))
    draws = _mix(keys[:, None] + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN)
    return np.asarray((draws >> np.uint64(11)) * 2.0**-53)


def _hash(
    seed: int, stream: int, epoch: int | NDArray[np.uint64], index: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    key = np.zeros(1, dtype=np.uint64)
    for part in (seed, stream, epoch, index):
        key = _mix((key ^ np.asarray(part, dtype=np.uint64)) + _GOLDEN)
    return key


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Apply the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), a bijection."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
