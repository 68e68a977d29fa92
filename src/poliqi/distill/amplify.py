"""Privacy amplification by a modified Toeplitz matrix (I | T): n corrected bits become l secret ones.

The family of matrices (I_l | T), T a uniform l x (n - l) Toeplitz matrix, is 2-universal, in fact dual
universal_2, with n - 1 seed bits: M. Hayashi, T. Tsurumaru, "More efficient privacy amplification with less
random seeds via dual universal hash function", IEEE Trans. Inf. Theory 62, 2213 (2016), arXiv 1311.5322.
The seed must be uniform, drawn in full (never expanded), and announced only after the detections are fixed.

The product is exact, so every amplifier gives the same bits. To add one: a class with `name` and `amplify`, and a
line in `AMPLIFIERS`; sessions take `DEFAULT_AMPLIFIER`. `python -m bench amplify --with FILE.py:CLASS` compares it
on the same blocks.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np

from poliqi.base.bits import BitString
from poliqi.base.errors import DataRefused
from poliqi.base.jit import width

__all__ = ["AMPLIFIERS", "DEFAULT_AMPLIFIER", "AdditiveFft", "Amplifier", "RealFft", "amplify", "seed_bits"]


class Amplifier(Protocol):
    """Computes the hash; holds no state between blocks, so that threads may share it."""

    @property
    def name(self) -> str:
        """What it is called in `AMPLIFIERS` and in benchmarks."""
        ...

    def amplify(self, bits: BitString, seed: BitString, length: int) -> BitString:
        """y = x[0:l] xor T x[l:n], T[i, j] = seed[i - j + (n - l) - 1], for 0 < l < n and n - 1 seed bits."""
        ...


class AdditiveFft:
    """Products of polynomials over GF(2^128) by additive FFTs, in the width of `poliqi.base.jit.width()`."""

    @property
    def name(self) -> str:
        return "additive-fft"

    def amplify(self, bits: BitString, seed: BitString, length: int) -> BitString:
        """As `Amplifier.amplify`. Memory beside the strings: 1 to 1.5 bytes a bit, 10 kB for short ones."""
        from poliqi.distill.kernels.additive_toeplitz import plan_tiles, toeplitz_product
        from poliqi.distill.kernels.gf128 import unit

        columns = bits.size - length
        result = bits.part(0, length).words
        # read-only arrays are another type to the compiler: one compilation serves all that are not
        x, s = (np.require(string.words, requirements="W") for string in (bits, seed))
        plan = plan_tiles(result.size, -(-columns // 64))
        toeplitz_product(unit(width()), s, columns - 1, x, length, result, plan)
        if length % 64:
            result[-1] &= np.uint64((1 << length % 64) - 1)
        return BitString(result, length)


class RealFft:
    """Integer convolutions by tiled real FFTs of numpy: independent of the other, and some fifty times slower."""

    @property
    def name(self) -> str:
        return "real-fft"

    def amplify(self, bits: BitString, seed: BitString, length: int) -> BitString:
        """As `Amplifier.amplify`. Memory beside the strings: 2 bytes a bit and up to 256 MB."""
        from poliqi.distill.kernels.toeplitz import toeplitz_product_fft

        product = toeplitz_product_fft(seed.packed(), bits.part(length, bits.size).to_bits(), length)
        return bits.part(0, length) ^ BitString.from_bits(product)


DEFAULT_AMPLIFIER: Final = "additive-fft"
AMPLIFIERS: Final[dict[str, Amplifier]] = {"additive-fft": AdditiveFft(), "real-fft": RealFft()}
"""Every amplifier by its name."""


def seed_bits(n: int) -> int:
    """Seed bits that n input bits take: n - 1, and 0 for no input."""
    return max(n - 1, 0)


def amplify(
    bits: BitString, seed_packed: bytes | memoryview, length: int, amplifier: Amplifier | None = None
) -> BitString:
    """y = x[0:l] xor T x[l:n], with T[i, j] = seed[i - j + (n - l) - 1], over GF(2).

    `bits` is x, n bits; `seed_packed` holds n - 1 bits; `length` is l, from 0 to n; by `amplifier`, or else the
    default. Raises ValueError for a length outside 0..n, DataRefused for a seed of another size or with padding
    that is not zero.
    """
    n = bits.size
    if not 0 <= length <= n:
        raise ValueError(f"{n} bits cannot be amplified to {length}: the length must be 0 to {n}")
    seed = _seed(seed_packed, seed_bits(n))
    if length in (0, n):
        return bits.part(0, length)
    return (amplifier or AMPLIFIERS[DEFAULT_AMPLIFIER]).amplify(bits, seed, length)


def _seed(packed: bytes | memoryview, count: int) -> BitString:
    try:
        return BitString.from_bytes(packed, count)
    except DataRefused as refused:
        raise DataRefused(f"privacy-amplification seed: {refused}") from None
