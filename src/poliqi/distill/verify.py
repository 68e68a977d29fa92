"""Verification: are the two corrected strings equal? One polynomial hash at a fresh random point each.

The point is drawn after the strings are fixed, announced with the tag, and never used for anything else. That
nobody changed a message of reconciliation after seeing it is for the tag over the whole transcript to show.
Two different strings of n bits share a tag with probability at most (ceil(n / 128) + 1) / 2^128 over the
point; every tag says 128 bits about the key, and they count as leak.
"""

from __future__ import annotations

from collections.abc import Sequence

from poliqi.base.bits import BitString, packed_size
from poliqi.distill.kernels.polyval import BLOCK_BYTES, PolyHash

__all__ = ["frame_tags", "verification_epsilon", "verification_tag"]

_BLOCK_BITS = 8 * BLOCK_BYTES


def verification_tag(bits: BitString, point: bytes | memoryview) -> bytes:
    """The 16-byte tag of a bit string at `point` (16 fresh random bytes; ValueError for any other length).

    POLYVAL under the point of the packed bits padded with zeros to whole blocks, then a block with their number.
    """
    return frame_tags(bits, [(0, bits.size)], point)[0]


def frame_tags(bits: BitString, bounds: Sequence[tuple[int, int]], point: bytes | memoryview) -> list[bytes]:
    """One tag for each frame, bits start to stop of the string, all at one point; each start a multiple of 64.

    The failure probabilities of the frames add: see `verification_epsilon`. Raises ValueError for a frame that
    starts elsewhere or leaves the string.
    """
    packed, under_point, tags = bits.packed(), PolyHash(point), list[bytes]()
    for start, stop in bounds:
        if start % 64 or not 0 <= start <= stop <= bits.size:
            raise ValueError(f"a frame from bit {start} to {stop} of {bits.size}: frames start at multiples of 64")
        size = stop - start
        whole = start // 8 + size // _BLOCK_BITS * BLOCK_BYTES
        polynomial = under_point.fresh()
        polynomial.update(packed[start // 8 : whole].data)
        if size % _BLOCK_BITS:
            rest = int.from_bytes(packed[whole : whole + packed_size(size % _BLOCK_BITS)].data, "little")
            rest &= (1 << size % _BLOCK_BITS) - 1
            polynomial.update(rest.to_bytes(BLOCK_BYTES, "little"))
        tags.append(polynomial.digest_with_length(size))
    return tags


def verification_epsilon(lengths: Sequence[int]) -> float:
    """Probability that any of the strings of these lengths (bits) differs and still has an equal tag.

    A sum over the tags shown of (blocks + 1) / 2^128; it holds for tags at one point as for many.
    """
    return float(sum(-(-n // _BLOCK_BITS) + 1 for n in lengths)) / 2.0**128
