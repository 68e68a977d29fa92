"""Privacy amplification by a modified Toeplitz matrix (I | T): n corrected bits become l secret ones.

The family of matrices (I_l | T), T a uniform l x (n - l) Toeplitz matrix, is 2-universal, in fact dual
universal_2, with n - 1 seed bits: M. Hayashi, T. Tsurumaru, "More efficient privacy amplification with less
random seeds via dual universal hash function", IEEE Trans. Inf. Theory 62, 2213 (2016), arXiv 1311.5322.
The seed must be uniform, drawn in full (never expanded), and announced only after the detections are fixed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poliqi.base.bits import packed_fault
from poliqi.base.errors import DataRefused
from poliqi.distill.kernels.toeplitz import toeplitz_product_fft

__all__ = ["amplify", "seed_bits"]


def seed_bits(n: int) -> int:
    """Seed bits that n input bits take: n - 1, and 0 for no input."""
    return max(n - 1, 0)


def amplify(bits: NDArray[np.uint8], seed_packed: bytes | memoryview, length: int) -> NDArray[np.uint8]:
    """y = x[0:l] xor T x[l:n], with T[i, j] = seed[i - j + (n - l) - 1], over GF(2).

    `bits` is x, uint8[n] of 0 and 1; `seed_packed` holds n - 1 bits; `length` is l, from 0 to n. Returns
    uint8[l]. Raises ValueError for a length outside 0..n or bits other than 0 and 1, DataRefused for a seed
    of another size or with padding that is not zero.
    """
    n = bits.size
    if bits.ndim != 1 or bits.dtype != np.uint8 or (n and int(bits.max()) > 1):
        raise ValueError(f"bits to amplify must be uint8[n] of 0 and 1, not {bits.dtype}{list(bits.shape)}")
    if not 0 <= length <= n:
        raise ValueError(f"{n} bits cannot be amplified to {length}: the length must be 0 to {n}")
    fault = packed_fault(seed_packed, seed_bits(n))
    if fault is not None:
        raise DataRefused(f"privacy-amplification seed: {fault}")
    seed = np.frombuffer(seed_packed, np.uint8)
    return bits[:length] ^ toeplitz_product_fft(seed, bits[length:], length)
