"""The emulated QSN-d-1's own correction and amplification: it imitates the device and proves nothing.

Cascade without its step back: each pass permutes the block, cuts it into pieces, and bisects the pieces whose
parities differ, all of them side by side. Pairs of errors that stay are found by the comparison of CRC-32, which
confirms nothing against anybody who means harm. POLIQI's own distillation has no part in it.
"""

from __future__ import annotations

import math
import zlib
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ProtocolError

__all__ = ["LEAST_BLOCK", "Correction", "amplify", "check_value", "order", "parities", "secret_bits"]

LEAST_BLOCK: Final = 256
_PASSES: Final = 4
_QUIET: Final = 2
_MOST_PASSES: Final = 16
_CHECK_BITS: Final = 32
_MARGIN_BITS: Final = 64

Bits = NDArray[np.uint8]
Ranges = list[tuple[int, int]]


def order(key_id: str, number: int, size: int) -> NDArray[np.int64]:
    """The permutation of pass `number`, the same at both ends: place i holds bit order[i]."""
    words = (UUID(key_id).int, number)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words))).permutation(size)


def parities(bits: Bits, key_id: str, number: int, ranges: Ranges) -> list[int]:
    """Parities of stretches [first, end) of the permuted bits. Raises ProtocolError where one is out of range."""
    if not ranges:
        return []
    bounds = np.asarray(ranges, dtype=np.int64)
    first, end = bounds[:, 0], bounds[:, 1]
    if int(first.min()) < 0 or int(end.max()) > bits.size or not bool((first < end).all()):
        raise ProtocolError(f"QSN-d-1: Cascade: a range of no bits, or outside 0 to {bits.size}")
    sums = np.concatenate(([0], np.cumsum(bits[order(key_id, number, bits.size)], dtype=np.int64)))
    return ((sums[end] - sums[first]) & 1).tolist()


class Correction:
    """Bob's side of one block: ask, be told, until there is nothing to ask. `bits` are then Alice's, or nearly."""

    __slots__ = ("_halves", "_key_id", "_now", "_number", "_piece", "_quiet", "bits", "corrected")

    def __init__(self, key_id: str, bits: Bits, qber: float) -> None:
        self._key_id: Final = key_id
        self.bits: Final = bits.copy()
        self.corrected = 0
        self._number = 0
        self._quiet = 0
        self._piece = _first_piece(bits.size, qber)
        self._halves: Ranges = []
        self._now: Ranges = self._pieces()

    def ask(self) -> tuple[int, Ranges] | None:
        """Number of the pass and the stretches whose parities are wanted; None at the end."""
        return (self._number, self._now) if self._now else None

    def told(self, theirs: list[int]) -> None:
        """Alice's parities for what `ask` said. Raises ProtocolError where their number differs."""
        if len(theirs) != len(self._now):
            raise ProtocolError(f"QSN-d-1: {len(theirs)} parities came for {len(self._now)} ranges")
        ours = parities(self.bits, self._key_id, self._number, self._now)
        differ = [mine != other for mine, other in zip(ours, theirs, strict=True)]
        if self._halves:  # the parity of a left half was asked: the error is in the half that it tells
            odd = [
                asked if wrong else (asked[1], whole[1])
                for asked, whole, wrong in zip(self._now, self._halves, differ, strict=True)
            ]
        else:
            odd = [piece for piece, wrong in zip(self._now, differ, strict=True) if wrong]
            self._quiet = 0 if odd else self._quiet + 1
        self._flip([first for first, end in odd if end - first == 1])
        self._halves = [(first, end) for first, end in odd if end - first > 1]
        self._now = [(first, (first + end) // 2) for first, end in self._halves] or self._next_pass()

    def _flip(self, places: list[int]) -> None:
        if places:
            self.bits[order(self._key_id, self._number, self.bits.size)[places]] ^= 1
            self.corrected += len(places)

    def _next_pass(self) -> Ranges:
        self._number += 1
        done = self._number >= _PASSES and self._quiet >= _QUIET
        if done or self._number >= _MOST_PASSES:
            return []
        self._piece = min(2 * self._piece, max(2, self.bits.size // 16))
        return self._pieces()

    def _pieces(self) -> Ranges:
        size, piece = self.bits.size, self._piece
        return [(first, min(first + piece, size)) for first in range(0, size, piece)]


def _first_piece(size: int, qber: float) -> int:
    """The power of two at or below .73/QBER, the first pass of Cascade as published (Brassard, Salvail 1993)."""
    wanted = 0.73 / max(qber, 1e-3)
    return max(2, min(1 << int(math.log2(wanted)), size // 16))


def check_value(bits: Bits) -> int:
    """CRC-32 of the bits, packed with the first bit highest. It finds accidents, and no adversary."""
    return zlib.crc32(np.packbits(bits).tobytes())


def secret_bits(size: int, qber: float, revealed: int) -> int:
    """n (1 - h(BER)) - parities - CRC - margin, in whole bytes; 0 where nothing is left. No proof."""
    entropy = 0.0 if qber in (0.0, 1.0) else -qber * math.log2(qber) - (1 - qber) * math.log2(1 - qber)
    left = size * (1.0 - entropy) - revealed - _CHECK_BITS - _MARGIN_BITS
    return max(0, int(left) // 8 * 8)


def amplify(bits: Bits, seed: bytes, length: int) -> bytes:
    """`length` bits (a multiple of 8), packed: row i of the Toeplitz matrix is bits i to i + n - 1 of the seed.

    Raises ProtocolError where the seed is shorter than n + length - 1 bits or more is asked than went in.
    """
    size = bits.size
    if not 0 < length <= size or length % 8 or 8 * len(seed) < size + length - 1:
        raise ProtocolError(f"QSN-d-1: {length} bits of {size} asked with a seed of {len(seed)} bytes")
    # as integers: bit j of the key set adds the seed's bits j to j + length - 1
    total, mask, whole = 0, (1 << length) - 1, int.from_bytes(seed, "big")
    top = 8 * len(seed) - length
    for place in np.flatnonzero(bits).tolist():
        total ^= whole >> (top - place) & mask
    return total.to_bytes(length // 8, "big")
