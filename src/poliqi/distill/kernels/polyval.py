"""POLYVAL over GF(2^128) (RFC 8452, section 3): one polynomial hash for verification and authentication.

The multiplication is portable and takes the same time for every key and message: integer products of
operands with three zero bits between any two data bits, so that no carry reaches the next data bit (the
method is described in T. Pornin's notes on constant-time GHASH, https://www.bearssl.org/constanttime.html).
No table is indexed by a secret.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel

__all__ = ["BLOCK_BYTES", "PolyHash", "polyval_update"]

BLOCK_BYTES: Final = 16
_CHUNK_BYTES: Final = 1 << 16

_M0 = np.uint64(0x1111111111111111)
_M1 = np.uint64(0x2222222222222222)
_M2 = np.uint64(0x4444444444444444)
_M3 = np.uint64(0x8888888888888888)
_R1 = np.uint64(0x5555555555555555)
_R2 = np.uint64(0x3333333333333333)
_R4 = np.uint64(0x0F0F0F0F0F0F0F0F)
_R8 = np.uint64(0x00FF00FF00FF00FF)
_R16 = np.uint64(0x0000FFFF0000FFFF)
_1, _2, _4, _7, _8, _16, _32, _57, _62, _63 = (np.uint64(s) for s in (1, 2, 4, 7, 8, 16, 32, 57, 62, 63))


@kernel
def _low_product(x: np.uint64, y: np.uint64) -> np.uint64:
    """Low 64 bits of the carry-less product."""
    x0, x1, x2, x3 = x & _M0, x & _M1, x & _M2, x & _M3
    y0, y1, y2, y3 = y & _M0, y & _M1, y & _M2, y & _M3
    z0 = (x0 * y0) ^ (x1 * y3) ^ (x2 * y2) ^ (x3 * y1)
    z1 = (x0 * y1) ^ (x1 * y0) ^ (x2 * y3) ^ (x3 * y2)
    z2 = (x0 * y2) ^ (x1 * y1) ^ (x2 * y0) ^ (x3 * y3)
    z3 = (x0 * y3) ^ (x1 * y2) ^ (x2 * y1) ^ (x3 * y0)
    return (z0 & _M0) | (z1 & _M1) | (z2 & _M2) | (z3 & _M3)


@kernel
def _reverse(x: np.uint64) -> np.uint64:
    """The 64 bits of x in opposite order."""
    x = ((x & _R1) << _1) | ((x >> _1) & _R1)
    x = ((x & _R2) << _2) | ((x >> _2) & _R2)
    x = ((x & _R4) << _4) | ((x >> _4) & _R4)
    x = ((x & _R8) << _8) | ((x >> _8) & _R8)
    x = ((x & _R16) << _16) | ((x >> _16) & _R16)
    return (x << _32) | (x >> _32)


@kernel
def polyval_update(state: NDArray[np.uint64], key: NDArray[np.uint64], words: NDArray[np.uint64]) -> None:
    """Absorb blocks: state = dot(state xor block, key) for each pair of little-endian 64-bit words.

    `state` and `key` are uint64[2], `words` is uint64[2 k]; `state` is updated in place.
    """
    h0, h1 = key[0], key[1]
    h2 = h0 ^ h1
    g0, g1 = _reverse(h0), _reverse(h1)
    g2 = g0 ^ g1
    s0, s1 = state[0], state[1]
    for i in range(words.size // 2):
        s0 ^= words[2 * i]
        s1 ^= words[2 * i + 1]
        r0, r1 = _reverse(s0), _reverse(s1)
        # Karatsuba; the high half of a product is the low half of the reversed one, reversed and shifted
        v0 = _low_product(s0, h0)
        t2 = _low_product(s1, h1)
        t1 = _low_product(s0 ^ s1, h2) ^ v0 ^ t2
        u0 = _low_product(r0, g0)
        u3 = _low_product(r1, g1)
        u2 = _reverse(_low_product(r0 ^ r1, g2) ^ u0 ^ u3) >> _1
        v1 = (_reverse(u0) >> _1) ^ t1
        v2 = t2 ^ u2
        v3 = _reverse(u3) >> _1
        # two folds by the modulus take x^-128 off
        v1 ^= (v0 << _63) ^ (v0 << _62) ^ (v0 << _57)
        v2 ^= v0 ^ (v0 >> _1) ^ (v0 >> _2) ^ (v0 >> _7)
        v2 ^= (v1 << _63) ^ (v1 << _62) ^ (v1 << _57)
        v3 ^= v1 ^ (v1 >> _1) ^ (v1 >> _2) ^ (v1 >> _7)
        s0, s1 = v2, v3
    state[0], state[1] = s0, s1


class PolyHash:
    """A running POLYVAL under one secret key.

    Two different messages of at most b blocks, each ended by its length, have tags that differ by a given
    value for at most b + 1 of the 2^128 keys: `epsilon` is (blocks + 1) / 2^128. The bare digest must never
    be shown under a key that is used again: add a one-time pad to it, or use a fresh key (a point).
    """

    __slots__ = ("_key", "_state", "_words", "blocks")

    def __init__(self, key: bytes | bytearray | memoryview) -> None:
        """`key` is 16 bytes, uniform. Raises ValueError for any other length."""
        data = bytes(key)
        if len(data) != BLOCK_BYTES:
            raise ValueError(f"a POLYVAL key has {BLOCK_BYTES} bytes, not {len(data)}")
        self._key = np.frombuffer(data, "<u8").astype(np.uint64)
        self._state = np.zeros(2, np.uint64)
        self._words = np.empty(_CHUNK_BYTES // 8, np.uint64)
        self.blocks = 0

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Absorb whole 16-byte blocks; the caller pads with zeros.

        Raises ValueError where the length is not a multiple of 16 bytes.
        """
        view = memoryview(data).cast("B")
        if view.nbytes % BLOCK_BYTES:
            raise ValueError(f"{view.nbytes} bytes are not whole {BLOCK_BYTES}-byte blocks: pad with zeros first")
        for start in range(0, view.nbytes, _CHUNK_BYTES):
            chunk = np.frombuffer(view[start : start + _CHUNK_BYTES], "<u8")
            words = self._words[: chunk.size]
            words[:] = chunk  # an aligned, writable copy: the kernel keeps one signature
            polyval_update(self._state, self._key, words)
        self.blocks += view.nbytes // BLOCK_BYTES

    def digest_with_length(self, length_bits: int | None = None) -> bytes:
        """The 16-byte hash of what was absorbed, ended by a block with its length; the state stays.

        `length_bits` is the length before zero padding; without it, the length of all absorbed blocks.
        The last block is that length as a little-endian 64-bit number, then eight zero bytes.
        """
        total = 128 * self.blocks if length_bits is None else length_bits
        if not total <= 128 * self.blocks < total + 128:
            raise ValueError(f"{total} bits do not end in the last of {self.blocks} absorbed blocks")
        state = self._state.copy()
        polyval_update(state, self._key, np.array([total, 0], np.uint64))
        return state.astype("<u8").tobytes()

    @property
    def epsilon(self) -> float:
        """Probability, over the key, that a given other message of no more blocks has a given tag difference."""
        return (self.blocks + 1) / 2.0**128
