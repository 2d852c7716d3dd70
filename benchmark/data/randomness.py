"""Random numbers as a pure function of (seed, stream, epoch, sample index).

No generator has a state: the numbers do not depend on the number of workers or processes, on the
order of calls, or on interruptions. They come from integer arithmetic and from operations that
IEEE 754 rounds exactly (+, -, *, / and square roots), so every machine computes the same bits.
"""

import numpy as np
from numpy.typing import NDArray

ORDER, AUGMENTATION, WEIGHTS, MASKS = 1, 2, 3, 4
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


def normals(seed: int, tensor: int, count: int) -> NDArray[np.float32]:
    """Return `count` numbers of the standard normal distribution, float32 (count,).

    They have an error of 1e-7, that of float32. Source: Wichura, 1988, algorithm AS 241, PPND7,
    which inverts the cumulative distribution.

    Args:
        seed: the run's seed.
        tensor: number of the tensor; tensors with different numbers get different values.
        count: how many.
    """
    result = np.empty(count, dtype=np.float32)
    for start in range(0, count, _BLOCK):
        indices = np.arange(start, min(start + _BLOCK, count), dtype=np.uint64)
        keys = _hash(seed, WEIGHTS, tensor, indices)
        centred = ((keys >> np.uint64(12)) + (0.5 - 2.0**51)) * 2.0**-52  # in (-1/2, 1/2)
        values = centred * _ratio(0.180625 - centred * centred, *_CENTRE)
        tail = np.abs(centred) > 0.425
        root = np.sqrt(-_log(0.5 - np.abs(centred[tail])))
        sizes = np.where(root <= 5, _ratio(root - 1.6, *_NEAR), _ratio(root - 5, *_FAR))
        values[tail] = np.copysign(sizes, centred[tail])
        result[start : start + _BLOCK] = values
    return result


def step_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed in [0, 2**32) of the generators with which a rank draws a step's masks."""
    return int(_hash(seed, MASKS, step, np.array([rank], dtype=np.uint64))[0] >> np.uint64(32))


_BLOCK = 1 << 16
"""Numbers that are computed at a time: they fit into a processor's cache."""
_CENTRE = (
    (59.109374720, 159.29113202, 50.434271938, 3.3871327179),
    (67.187563600, 78.757757664, 17.895169469, 1.0),
)
_NEAR = (
    (0.17023821103, 1.3067284816, 2.7568153900, 1.4234372777),
    (0.12021132975, 0.73700164250, 1.0),
)
_FAR = (
    (0.017337203997, 0.42868294337, 3.0812263860, 6.6579051150),
    (0.012258202635, 0.24197894225, 1.0),
)
"""Coefficients of AS 241's rational functions, numerator and denominator, highest power first."""


def _ratio(
    x: NDArray[np.float64], numerator: tuple[float, ...], denominator: tuple[float, ...]
) -> NDArray[np.float64]:
    return np.asarray(np.polyval(numerator, x) / np.polyval(denominator, x))


def _log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return natural logarithms, with an error below 1e-10, by the series of artanh.

    Logarithms of NumPy differ in the last bit between processors.
    """
    fraction, exponent = np.frexp(x)
    s = (fraction - 1) / (fraction + 1)
    odd = [2 / n if n % 2 else 0.0 for n in range(19, -1, -1)]
    return np.asarray(np.polyval(odd, s) + exponent * 0.6931471805599453)


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
