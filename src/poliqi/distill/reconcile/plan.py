"""What both parties derive from public parameters before the first round of Cascade: block sizes,
interleavers, masks. The exact rules stand in docs/spec/cascade.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK_PASSES", "CascadeParameters", "FramePlan", "block_sizes", "public_word", "splitmix64"]

BLOCK_PASSES: Final = 3
TILE_BITS: Final = 4096
MAX_FRAME_BITS: Final = 1 << 24

_MASK64: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15
MASK_STREAM: Final = 256
_QBER_RANGE: Final = (0.001, 0.12)


@dataclass(frozen=True, slots=True)
class CascadeParameters:
    """Public parameters, equal at both ends.

    `frame_bits`: bits of a frame, a multiple of 4096 (the last frame takes what is left).
    `random_passes`: passes over random halves after the three block passes.
    `block_sizes`: k1, k2, k3 as powers of two, or None to take them from the estimated QBER.
    `round_limit`: rounds after which a party stops, whatever is left.
    """

    frame_bits: int = 65536
    random_passes: int = 12
    block_sizes: tuple[int, int, int] | None = None
    round_limit: int = 20000

    def __post_init__(self) -> None:
        if not TILE_BITS <= self.frame_bits <= MAX_FRAME_BITS or self.frame_bits % TILE_BITS:
            raise ValueError(
                f"frame_bits must be a multiple of {TILE_BITS} up to {MAX_FRAME_BITS}, not {self.frame_bits}"
            )
        if not 1 <= self.random_passes <= 64:
            raise ValueError(f"random_passes must be 1 to 64, not {self.random_passes}")
        if self.round_limit < 1:
            raise ValueError(f"round_limit must be at least 1, not {self.round_limit}")
        if self.block_sizes is not None and any(k < 2 or k & (k - 1) for k in self.block_sizes):
            raise ValueError(f"block sizes must be powers of two from 2, not {self.block_sizes}")


def block_sizes(qber: float) -> tuple[int, int, int]:
    """k1, k2, k3 for an estimated QBER, which is first brought into 0.001 to 0.12.

    k1 is the greatest power of two with k1 qber <= 1.35; k2 is 8 k1 where k1 qber <= 0.97, else 4 k1; k3 is
    8 k2, at least 8192. Three growing passes with backtracking after J. Martinez-Mateo et al., arXiv 1407.3257;
    the factors come from a scan, see docs/explanation/reconciliation.md.
    """
    low, high = _QBER_RANGE
    q = min(max(qber, low), high)
    k1 = 1
    while 2 * k1 * q <= 1.35:
        k1 *= 2
    k2 = 8 * k1 if k1 * q <= 0.97 else 4 * k1
    return k1, k2, max(8192, 8 * k2)


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


def _permutation(seed: int, stream: int, count: int) -> NDArray[np.int32]:
    order = list(range(count))
    draws = (public_words(seed, stream, count) >> np.uint64(32)).tolist()
    for i in range(count - 1, 0, -1):
        j = draws[i] * (i + 1) >> 32
        order[i], order[j] = order[j], order[i]
    return np.array(order, np.int32)


def _interleaver(seed: int, stream: int, count: int) -> NDArray[np.int32]:
    first, second = _permutation(seed, stream, count), _permutation(seed, stream + 2, count)
    turns = (public_words(seed, stream + 1, count) >> np.uint64(58)).astype(np.int32)
    return np.stack([first, np.argsort(first).astype(np.int32), turns, second, np.argsort(second).astype(np.int32)])


@dataclass(frozen=True, slots=True)
class FramePlan:
    """Everything public about frames of one size.

    `words` W is a multiple of 64; `relevant` uint64[lanes, W] marks the positions of each lane that carry a
    bit; `tables` int32[2, 5, W] are the interleavers; `blocks` are the starts of the blocks of each block
    pass that carry any bit.
    """

    bits: int
    words: int
    sizes: tuple[int, int, int]
    relevant: NDArray[np.uint64]
    tables: NDArray[np.int32]
    blocks: tuple[NDArray[np.int32], ...]

    @staticmethod
    def make(bits: int, sizes: tuple[int, int, int], random_passes: int, seed: int) -> FramePlan:
        """The plan of frames of `bits` bits, at least 1."""
        from poliqi.distill.kernels.interleave import interleave

        words = 64 * -(-bits // TILE_BITS)
        tables = np.stack([_interleaver(seed, 16 * p, words) for p in (1, 2)])
        relevant = np.zeros((BLOCK_PASSES + 2 * random_passes, words), np.uint64)
        present = np.zeros(64 * words, np.uint8)
        present[:bits] = 1
        relevant[0] = np.packbits(present, bitorder="little").view("<u8")
        scratch = np.empty(words, np.uint64)
        for p in (1, 2):
            interleave(relevant[0], tables[p - 1], scratch, relevant[p])
        for j in range(random_passes):
            mask = public_words(seed, MASK_STREAM + j, words)
            relevant[BLOCK_PASSES + 2 * j] = relevant[0] & mask
            relevant[BLOCK_PASSES + 2 * j + 1] = relevant[0] & ~mask
        k1, k2, k3 = (min(k, 64 * words) for k in sizes)
        sizes = k1, k2, k3
        blocks = tuple(_blocks_with_bits(relevant[p], sizes[p]) for p in range(BLOCK_PASSES))
        return FramePlan(bits, words, sizes, relevant, tables, blocks)


def _blocks_with_bits(relevant: NDArray[np.uint64], size: int) -> NDArray[np.int32]:
    """Starts of the blocks of `size` places (the last may be shorter) that carry any bit."""
    present = np.unpackbits(relevant.view(np.uint8), bitorder="little")
    starts = np.arange(0, present.size, size, dtype=np.int32)
    return starts[np.add.reduceat(present.astype(np.int32), starts) > 0]
