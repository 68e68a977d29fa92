"""POLYVAL over GF(2^128) (RFC 8452, section 3): one polynomial hash for verification and authentication.

The kernels stand in `polyval_kernels`, one for each width of the processor, and are compiled at first use.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final, TypeAlias

import numpy as np

from poliqi.base.jit import Width, width

__all__ = ["BLOCK_BYTES", "PolyHash"]

BLOCK_BYTES: Final = 16
Data: TypeAlias = bytes | bytearray | memoryview
_Kernel: TypeAlias = Callable[..., None]


@cache
def _kernels(width: Width) -> tuple[_Kernel, _Kernel, int]:
    """Makes powers of a key, absorbs blocks; how many powers there are."""
    from poliqi.distill.kernels.polyval_kernels import POWERS, POWERS_OF, UPDATE_OF

    return POWERS_OF[width], UPDATE_OF[width], POWERS


class PolyHash:
    """A running POLYVAL under one secret key.

    Two different messages of at most b blocks, each ended by its length, have tags that differ by a given
    value for at most b + 1 of the 2^128 keys: `epsilon` is (blocks + 1) / 2^128. The bare digest must never
    be shown under a key that is used again: add a one-time pad to it, or use a fresh key (a point).
    """

    __slots__ = ("_powers", "_state", "_update", "blocks")

    def __init__(self, key: Data) -> None:
        """`key` is 16 bytes, uniform. Raises ValueError for any other length."""
        data = bytes(key)
        if len(data) != BLOCK_BYTES:
            raise ValueError(f"a POLYVAL key has {BLOCK_BYTES} bytes, not {len(data)}")
        make_powers, self._update, count = _kernels(width())
        self._powers = np.empty(2 * count, np.uint64)
        make_powers(np.frombuffer(data, "<u8").astype(np.uint64), self._powers)
        self._state = np.zeros(2, np.uint64)
        self.blocks = 0

    def fresh(self) -> PolyHash:
        """A hash under the same key that has absorbed nothing."""
        other = PolyHash.__new__(PolyHash)
        other._powers, other._update = self._powers, self._update
        other._state, other.blocks = np.zeros(2, np.uint64), 0
        return other

    def update(self, data: Data) -> None:
        """Absorb whole 16-byte blocks, where they lie; the caller pads with zeros.

        Raises ValueError where the length is not a multiple of 16 bytes.
        """
        view = memoryview(data).toreadonly()  # read-only whatever it was: the kernel keeps one signature
        if view.nbytes % BLOCK_BYTES:
            raise ValueError(f"{view.nbytes} bytes are not whole {BLOCK_BYTES}-byte blocks: pad with zeros first")
        if view.nbytes:
            self._update(self._state, self._powers, np.frombuffer(view, np.uint8))
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
        self._update(state, self._powers, np.frombuffer(total.to_bytes(BLOCK_BYTES, "little"), np.uint8))
        return state.astype("<u8").tobytes()

    @property
    def epsilon(self) -> float:
        """Probability, over the key, that a given other message of no more blocks has a given tag difference."""
        return (self.blocks + 1) / 2.0**128
