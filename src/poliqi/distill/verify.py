"""Verification: are the two corrected strings equal? One polynomial hash at a fresh random point each.

The point is drawn after the strings are fixed, announced with the tag, and never used for anything else.
Two different strings of n bits share a tag with probability at most (ceil(n / 128) + 1) / 2^128 over the
point; every tag says 128 bits about the key, and they count as leak.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from poliqi.base.bits import pack_bits, packed_fault
from poliqi.distill.kernels.polyval import BLOCK_BYTES, PolyHash

__all__ = ["frame_tags", "verification_epsilon", "verification_tag"]


def verification_tag(bits_packed: bytes, n_bits: int, point: bytes | memoryview) -> bytes:
    """The 16-byte tag of a packed bit string at `point` (16 fresh random bytes).

    POLYVAL under the point of the string padded with zeros to whole blocks, then a block with `n_bits`.
    Raises ValueError where the string is not the packed form of `n_bits` bits.
    """
    fault = packed_fault(bits_packed, n_bits)
    if fault is not None:
        raise ValueError(f"string to verify: {fault}")
    polynomial = PolyHash(point)
    whole = len(bits_packed) - len(bits_packed) % BLOCK_BYTES
    polynomial.update(memoryview(bits_packed)[:whole])
    if whole < len(bits_packed):
        polynomial.update(bits_packed[whole:].ljust(BLOCK_BYTES, b"\0"))
    return polynomial.digest_with_length(n_bits)


def frame_tags(
    bits: NDArray[np.uint8], bounds: Sequence[tuple[int, int]], point: bytes | memoryview
) -> list[bytes]:
    """One tag for each frame `bits[start:stop]`, all at one point.

    The failure probabilities of the frames add: see `verification_epsilon`.
    """
    return [verification_tag(pack_bits(bits[start:stop]), stop - start, point) for start, stop in bounds]


def verification_epsilon(lengths: Sequence[int]) -> float:
    """Probability that any of the strings of these lengths (bits) differs and still has an equal tag.

    A sum over the tags shown of (blocks + 1) / 2^128; it holds for tags at one point as for many.
    """
    return float(sum(-(-n // (8 * BLOCK_BYTES)) + 1 for n in lengths)) / 2.0**128
