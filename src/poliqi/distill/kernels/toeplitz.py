"""A Toeplitz matrix times a bit vector, exactly, as integer convolutions by tiled real FFTs.

Row tile r and column tile t meet in the seed segment that depends on r - t alone: each segment, each
column tile and each row tile is transformed once, and products are summed in the frequency domain.

Rounding: with u = 2^-53, a transform of length N in double precision is off by at most about 7 u log2(N) of its
norm (N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., theorem 24.2, weights good to u).
A tile product takes three of length 2 B of signals with norms at most sqrt(2 B) and sqrt(B), so a sum over C
column tiles is off by less than 30 C B u log2(2 B): 9e-6 at 2^27 columns with B = 2^19. The nearest integer is
therefore the exact count; a residue above `_RESIDUE_LIMIT` is refused instead of rounded.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["toeplitz_product_fft"]

_LARGEST_TILE: Final = 1 << 19
_GROUP_BITS: Final = 1 << 23  # rows or columns whose spectra are held at a time: 16 bytes a bit
_RESIDUE_LIMIT: Final = 1.0 / 64


def _tile_bits(rows: int, columns: int) -> int:
    """The power of two with the least work: transforms cost 2 B log2(2 B), tile products about 3 B."""

    def cost(tile: int) -> float:
        r, c = -(-rows // tile), -(-columns // tile)
        return tile * (2 * (r + c) * 2 * math.log2(2 * tile) + 3 * r * c)

    return min((1 << k for k in range(6, _LARGEST_TILE.bit_length())), key=cost)


def _segment(packed: NDArray[np.uint8], start: int, count: int) -> NDArray[np.float64]:
    """Bits start to start + count of a packed string as floats; zero before its start and after its end."""
    first, last = max(start, 0), min(start + count, 8 * packed.size)
    segment = np.zeros(count)
    if first < last:
        found = np.unpackbits(packed[first // 8 : -(-last // 8)], bitorder="little")
        segment[first - start : last - start] = found[first % 8 : first % 8 + last - first]
    return segment


def toeplitz_product_fft(packed: NDArray[np.uint8], bits: NDArray[np.uint8], length: int) -> NDArray[np.uint8]:
    """As `definitions.toeplitz_product`, with the seed packed (uint8, length + len(bits) - 1 bits).

    Returns uint8[length]. Memory: 16 bytes for each row and column of one group (at most 2^23 of each) and
    a few tiles.
    """
    columns = bits.size
    result = np.zeros(length, np.uint8)
    if columns == 0 or length == 0:
        return result
    tile = _tile_bits(length, columns)
    group = max(1, _GROUP_BITS // tile)
    row_tiles, column_tiles = -(-length // tile), -(-columns // tile)
    for r0 in range(0, row_tiles, group):
        r1 = min(r0 + group, row_tiles)
        sums = np.zeros((r1 - r0, tile + 1), np.complex128)
        for t0 in range(0, column_tiles, group):
            _add_products(sums, packed, bits, tile, (r0, r1), (t0, min(t0 + group, column_tiles)))
        for r in range(r0, r1):
            # a segment starts one tile before its own rows: the second half is free of wrap-around
            counts = np.fft.irfft(sums[r - r0], 2 * tile)[tile : tile + min(tile, length - r * tile)]
            whole = np.rint(counts)
            if float(np.abs(counts - whole).max()) > _RESIDUE_LIMIT:
                raise ArithmeticError("the convolution of the Toeplitz product lost its integers")
            result[r * tile : r * tile + whole.size] = whole.astype(np.int64) & 1
    return result


def _add_products(
    sums: NDArray[np.complex128],
    packed: NDArray[np.uint8],
    bits: NDArray[np.uint8],
    tile: int,
    rows: tuple[int, int],
    columns: tuple[int, int],
) -> None:
    """Add the spectra of all tile products of a group of rows and a group of columns."""
    (r0, r1), (t0, t1) = rows, columns
    spectra = np.empty((t1 - t0, tile + 1), np.complex128)
    for t in range(t0, t1):
        spectra[t - t0] = np.fft.rfft(bits[t * tile : (t + 1) * tile].astype(np.float64), 2 * tile)
    product = np.empty(tile + 1, np.complex128)
    for d in range(r0 - t1 + 1, r1 - t0):
        start = d * tile + bits.size - 1 - tile
        seed = np.fft.rfft(_segment(packed, start, 2 * tile))
        for r in range(max(r0, t0 + d), min(r1, t1 + d)):
            np.multiply(seed, spectra[r - d - t0], out=product)
            sums[r - r0] += product
