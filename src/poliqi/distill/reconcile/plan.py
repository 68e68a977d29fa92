"""What both parties derive from public data before the first round of Cascade: block sizes, interleavers, masks.

The exact rules stand in docs/spec/cascade.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LANES",
    "MAX_FRAME_BITS",
    "TILE_BITS",
    "CascadeParameters",
    "block_sizes",
    "fitted_sizes",
    "frame_places",
    "interleaver",
    "masks",
    "public_word",
    "public_words",
    "splitmix64",
]

LANES: Final = 3
TILE_BITS: Final = 4096
MAX_FRAME_BITS: Final = 1 << 24
MASK_STREAM: Final = 256

_MASK64: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15
_QBER_RANGE: Final = (0.001, 0.12)


@dataclass(frozen=True, slots=True)
class CascadeParameters:
    """Public parameters, equal at both ends.

    `random_passes`: passes over random halves after the three block passes.
    `block_sizes`: k1, k2, k3 as powers of two, or None to take them from the estimated QBER.
    `few_rounds`: take them for long round-trip times, at the price of some more bits said.
    `round_limit`: rounds after which a party stops, whatever is left.
    """

    random_passes: int = 16
    block_sizes: tuple[int, int, int] | None = None
    few_rounds: bool = False
    round_limit: int = 20000

    def __post_init__(self) -> None:
        if not 1 <= self.random_passes <= 32:
            raise ValueError(f"random_passes must be 1 to 32, not {self.random_passes}")
        if self.round_limit < 1:
            raise ValueError(f"round_limit must be at least 1, not {self.round_limit}")
        if self.block_sizes is not None and any(k < 2 or k & (k - 1) for k in self.block_sizes):
            raise ValueError(f"block sizes must be powers of two from 2, not {self.block_sizes}")

    def sizes(self, qber: float) -> tuple[int, int, int]:
        """k1, k2, k3 at an estimated QBER."""
        return self.block_sizes or block_sizes(qber, few_rounds=self.few_rounds)


def block_sizes(qber: float, *, few_rounds: bool = False) -> tuple[int, int, int]:
    """k1, k2, k3 for an estimated QBER q, which is first brought into 0.001 to 0.12.

    k1 is the greatest power of two with k1 q <= 1.35, k2 is 8 k1 where k1 q <= 0.97, else 4 k1, k3 is 8 k2, at
    least 8192. For few rounds: k1 q <= 1, k2 is 4 k1 where k1 q <= 0.85, else 2 k1, k3 is 8 k2, at least 4096.
    Three growing passes with backtracking after J. Martinez-Mateo et al., arXiv 1407.3257; the factors come from a
    scan, see docs/explanation/reconciliation.md.
    """
    low, high = _QBER_RANGE
    q = min(max(qber, low), high)
    most, far, near = (1.0, 0.85, 2) if few_rounds else (1.35, 0.97, 4)
    k1 = 1
    while 2 * k1 * q <= most:
        k1 *= 2
    k2 = 2 * near * k1 if k1 * q <= far else near * k1
    return k1, k2, max(4096 if few_rounds else 8192, 8 * k2)


def frame_places(bits: int) -> int:
    """Places of a frame of `bits` bits: the next multiple of 4096."""
    return -(-bits // TILE_BITS) * TILE_BITS


def fitted_sizes(sizes: tuple[int, int, int], places: int) -> tuple[int, int, int]:
    """Block sizes, none above the greatest power of two that divides the number of places."""
    limit = places & -places
    return min(sizes[0], limit), min(sizes[1], limit), min(sizes[2], limit)


def splitmix64(state: int, index: int) -> int:
    """Output `index` (from 0) of the SplitMix64 generator that starts at `state` (Steele, Lea, Flood 2014)."""
    x = state + (index + 1) * _GOLDEN & _MASK64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & _MASK64
    x = (x ^ x >> 27) * 0x94D049BB133111EB & _MASK64
    return x ^ x >> 31


def public_word(seed: int, stream: int, index: int) -> int:
    """Word `index` of a public stream: 64 bits that both ends compute from the seed."""
    return splitmix64(splitmix64(seed, stream), index)


def public_words(seed: int, stream: int, count: int) -> NDArray[np.uint64]:
    """The first `count` words of a public stream."""
    x = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN) + np.uint64(splitmix64(seed, stream))
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)


def masks(seed: int, count: int, words: int) -> NDArray[np.uint64]:
    """The random masks, uint64[count, words]."""
    return np.stack([public_words(seed, MASK_STREAM + j, words) for j in range(count)])


def interleaver(seed: int, lane: int, words: int) -> NDArray[np.int32]:
    """The tables of lane 1 or 2 of frames of `words` words: int32[4, words], see `kernels.interleave`."""
    from poliqi.distill.kernels.interleave import make_interleaver

    tables = np.empty((4, words), np.int32)
    make_interleaver(np.stack([public_words(seed, 16 * lane + i, words) for i in range(3)]), tables)
    return tables
