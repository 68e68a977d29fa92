"""One frame of parity-check reconciliation: what Alice says of it, and how Bob decodes it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from poliqi.distill.reconcile.ldpc_code import COLUMNS, LiftedCode

__all__ = ["Decoder", "syndrome"]

Words = NDArray[np.uint64]


def syndrome(code: LiftedCode, frame: Words) -> Words:
    """uint64[rows * Z / 64]: the parities of all checks over `frame`, packed bits; those it does not have are 0."""
    from poliqi.distill.kernels import ldpc

    words = code.lift // 64
    bits = np.zeros(COLUMNS * words, np.uint64)
    bits[: frame.size] = frame
    out = np.empty(code.rows * words, np.uint64)
    ldpc.syndrome(bits, code.start, code.column, code.shift, words, out)
    return out


class Decoder:
    """Decodes frames of one code one after the other; holds the messages of one frame."""

    def __init__(self, code: LiftedCode, qber: float, limit: int) -> None:
        from poliqi.distill.kernels import ldpc

        self._code, self._limit = code, limit
        self._prior = round(math.log((1 - qber) / qber) * ldpc.SCALE)
        words, lanes = code.lift // 64, ldpc.LANES * code.widest
        self._belief = np.zeros((COLUMNS, ldpc.stride(code.lift)), np.int16)
        self._said = np.zeros(code.column.size * code.lift, np.uint8)
        self._bits = np.zeros(COLUMNS * words, np.uint64)
        self._found = np.zeros(code.rows * words, np.uint64)
        self._odd = np.zeros(code.rows * code.lift, np.uint8)
        self._scratch = np.zeros(lanes, np.int16), np.zeros(2 * lanes, np.uint8)

    def decode(self, checks: Words, size: int) -> tuple[Words | None, int]:
        """The errors of a frame of `size` bits, packed, and the iterations; None for the errors where it failed.

        `checks` are the parities of the errors over the code's first checks, uint64[any number].
        """
        from poliqi.distill.kernels import ldpc

        code, lanes = self._code, ldpc.LANES
        belief = np.full((COLUMNS, code.lift), self._prior, np.int16)
        belief.reshape(-1)[size:] = ldpc.CERTAIN
        self._belief[:, lanes : lanes + code.lift] = belief
        self._belief[:, lanes + code.lift : 2 * lanes + code.lift] = belief[:, :lanes]
        self._said[:] = 0
        graph = code.start, code.column, code.shift, code.lift, self._limit
        work = self._bits, self._found, self._odd, *self._scratch
        iterations = int(ldpc.decode(self._belief.reshape(-1), self._said, checks, *graph, *work))
        if iterations < 0:
            return None, -iterations
        return self._bits[: -(-size // 64)].copy(), iterations
