"""POLYVAL of a share (RFC 8452, section 3): short ones here, long ones by the compiled kernel.

Loading that kernel takes two seconds of processor time, which a password or a page of text does not pay back. Here
each bit has a byte of one long integer to itself, so that ordinary multiplication adds without carries (at most 128
ones meet in a byte). No secret bit decides what is done next.
"""

from __future__ import annotations

from typing import Final

__all__ = ["hash_share", "plain_polyval"]

_PLAIN_MOST: Final = 16 << 10
_BLOCK: Final = 16
_LANES: Final = 8 * _BLOCK
_ONES: Final = int.from_bytes(b"\x01" * 2 * _LANES, "little")
_LOW: Final = (1 << 8 * 64) - 1
_TERMS: Final = (8 * 121, 8 * 126, 8 * 127, 8 * 128)
"""The modulus is 1 + x^121 + x^126 + x^127 + x^128."""


def hash_share(share: bytes, key: bytes) -> bytes:
    """Of the share, filled with zeros to 16 bytes, and a block with its length in bits; `key` has 16 bytes."""
    filled = share + bytes(-len(share) % _BLOCK)
    if len(share) <= _PLAIN_MOST:
        return plain_polyval(filled + (8 * len(share)).to_bytes(_BLOCK, "little"), key)
    from poliqi.distill.kernels.polyval import PolyHash

    running = PolyHash(key)
    running.update(filled)
    return running.digest_with_length(8 * len(share))


def plain_polyval(data: bytes, key: bytes) -> bytes:
    """Of whole blocks, without compiled code."""
    import numpy as np  # 18 MB that a service without shares does not need

    spread = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little").tobytes()
    factor = int.from_bytes(np.unpackbits(np.frombuffer(key, np.uint8), bitorder="little").tobytes(), "little")
    state = 0
    for at in range(0, len(spread), _LANES):
        state ^= int.from_bytes(spread[at : at + _LANES], "little")
        state = _halved(_halved(state * factor & _ONES))
    lanes = np.frombuffer(state.to_bytes(_LANES, "little"), np.uint8)
    return np.packbits(lanes, bitorder="little").tobytes()


def _halved(value: int) -> int:
    """Over x^64, modulo the polynomial: twice makes the x^-128 of POLYVAL's product."""
    low = value & _LOW
    for shift in _TERMS:
        value ^= low << shift
    return value >> 8 * 64
