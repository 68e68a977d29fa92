"""The sweeps of `poliqi.lab.print.oxygen.stencil` in plain numpy: what they compute, for tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["around", "gather", "lift", "lower", "operate", "sweep"]

Field3 = NDArray[np.float32]
Links = tuple[Field3, Field3, Field3]


def _core(a: Field3, axis: int = 0, step: int = 0) -> Field3:
    """The cells within the layer, shifted along an axis."""
    part = [slice(1, n - 1) for n in a.shape]
    part[axis] = slice(1 + step, a.shape[axis] - 1 + step)
    return a[tuple(part)]


def around(c: Field3, links: Links) -> Field3:
    """Sum over neighbours of link times c, in the cells within the layer."""
    total = np.zeros_like(_core(c))
    for axis, link in enumerate(links):
        total += _core(link) * _core(c, axis, 1) + _core(link, axis, -1) * _core(c, axis, -1)
    return total


def operate(c: Field3, links: Links, extra: Field3) -> Field3:
    """Sum over neighbours of link (c - neighbour), plus extra c; 0 in the layer."""
    out = np.zeros_like(c)
    _core(out)[...] = (around(np.ones_like(c), links) + _core(extra)) * _core(c) - around(c, links)
    return out


def sweep(c: Field3, b: Field3, inverse: Field3, links: Links, colour: int) -> Field3:
    """c after Gauss-Seidel for one colour of a chess board; cell (1, 1, 1) has colour 1 - (1 + 1 + 1) % 2."""
    at = np.indices(c.shape).sum(axis=0)
    mine = (at + colour) % 2 == 0
    found = c.copy()
    new = _core(inverse) * (_core(b) + around(c, links))
    _core(found)[...] = np.where(_core(mine.astype(np.float32)) > 0, new, _core(c))
    return found


def lower(fine: Field3) -> Field3:
    """Sum of the eight cells of each coarse one."""
    shape = tuple((n - 1) // 2 + 2 for n in fine.shape)
    out = np.zeros(shape, np.float32)
    i, j, k = np.indices(tuple(n - 2 for n in fine.shape)) + 1
    np.add.at(out, ((i + 1) // 2, (j + 1) // 2, (k + 1) // 2), _core(fine))
    return out


def gather(c: Field3, b: Field3, diagonal: Field3, links: Links) -> Field3:
    """Sums of b - diagonal c + neighbours over the eight cells of each coarse one that have an unknown."""
    residual = np.zeros_like(c)
    _core(residual)[...] = (_core(b) - _core(diagonal) * _core(c) + around(c, links)) * (_core(diagonal) > 0)
    return lower(residual)


def lift(coarse: Field3, there: Field3, inverse: Field3, c: Field3) -> Field3:
    """c plus the trilinear mean of the coarse cells around each cell, of those that are there."""
    i, j, k = np.indices(tuple(n - 2 for n in c.shape)) + 1
    near = [(n + 1) // 2 for n in (i, j, k)]
    far = [m + np.where(n % 2 == 0, 1, -1) for m, n in zip(near, (i, j, k), strict=True)]
    total, weight = np.zeros(i.shape), np.zeros(i.shape)
    for corner in np.ndindex(2, 2, 2):
        at = tuple(far[axis] if corner[axis] else near[axis] for axis in range(3))
        w = 0.75 ** (3 - sum(corner)) * 0.25 ** sum(corner) * there[at]
        total += w * coarse[at]
        weight += w
    added = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    found = c.copy()
    _core(found)[...] += np.where(_core(inverse) > 0, added, 0).astype(np.float32)
    return found
