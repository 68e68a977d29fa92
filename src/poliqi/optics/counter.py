"""Counter-based random words: the i-th word of a stream is a function of (key, i), so nothing is stored.

The mixing is SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): word i of stream `key` is the (i+1)-th
output of that generator started at `key`. It is a generator for simulation, not for secrets: a seed is 64
bits and no key may ever come from one. These numpy functions are the definition that the compiled kernels
of `poliqi.optics.kernels` are tested against.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["exponential", "one_word", "stream_keys", "thresholds", "words"]

GAMMA: Final = 0x9E3779B97F4A7C15
MIX_1: Final = 0xBF58476D1CE4E5B9
MIX_2: Final = 0x94D049BB133111EB
_MASK: Final = (1 << 64) - 1

SQRT2: Final = math.sqrt(2.0)
LN_SQRT2: Final = 0.5 * math.log(2.0)
LN2: Final = math.log(2.0)
LN_2_32: Final = 32.0 * LN2
LONGEST_GAP: Final = 2.0**48  # slots; longer ones would be shortened to it: 78 hours of a 1 GHz clock


def one_word(key: int, counter: int) -> int:
    """Word `counter` of stream `key`, in plain integers."""
    z = (key + (counter + 1) * GAMMA) & _MASK
    z = ((z ^ (z >> 30)) * MIX_1) & _MASK
    z = ((z ^ (z >> 27)) * MIX_2) & _MASK
    return z ^ (z >> 31)


def stream_keys(seed: int) -> tuple[int, int, int]:
    """Keys of the three streams of a seed: Alice's states, candidate clicks, afterpulses."""
    start = seed & _MASK
    return one_word(start, 0), one_word(start, 1), one_word(start, 2)


def words(key: int, counters: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Words of stream `key` at `counters` (any shape)."""
    z = np.uint64(key) + (counters.astype(np.uint64) + np.uint64(1)) * np.uint64(GAMMA)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(MIX_1)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(MIX_2)
    return z ^ (z >> np.uint64(31))


def exponential(bits: NDArray[np.uint32]) -> NDArray[np.float64]:
    """-ln((bits + 1/2) / 2^32), the standard exponential deviate of 32 random bits.

    Only additions, multiplications and one division in a fixed order, so every machine gives the same
    bits: with m in [1, 2), ln m = ln sqrt(2) + 2 artanh((m - sqrt 2)/(m + sqrt 2)), the series cut after
    s^15 (error below 1e-14).
    """
    x = bits.astype(np.float64) + 0.5
    m, e = np.frexp(x)  # x = m 2^e with m in [1/2, 1)
    m, e = m * 2.0, (e - 1).astype(np.float64)
    s = (m - SQRT2) / (m + SQRT2)
    t = s * s
    series = 1.0 / 15.0
    for odd in (13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0):
        series = series * t + 1.0 / odd
    value: NDArray[np.float64] = LN_2_32 - (e * LN2 + (LN_SQRT2 + 2.0 * s * series))
    return np.maximum(value, 0.0)


def thresholds(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Cumulative probabilities along the last axis as integers of 32 bits, each off by at most 2^-33."""
    cumulative = np.minimum(np.cumsum(probabilities, axis=-1), 1.0)
    return np.rint(cumulative * 2.0**32).astype(np.int64)
