"""Compiled sweeps over a grid of cells; `poliqi.lab.print.oxygen.stencilnumpy` says in plain numpy what they
compute.

Arrays are float32 with one empty layer of cells around them. `x`, `y`, `z` hold the conductance between a cell and
the next one along that axis in units of D h, 0 where there is none; work is divided by planes `first` to `last`.

Speed goal: 128^3 cells with 1,000 vessels in 2 s on two cores (`python -m bench print`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel

__all__ = ["apply_planes", "gather_planes", "lift_planes", "lower_planes", "sweep_planes"]


@kernel
def apply_planes(
    c: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32], z: NDArray[np.float32],
    extra: NDArray[np.float32], out: NDArray[np.float32], first: int, last: int,
) -> None:  # fmt: skip
    """out = sum over neighbours of link (c - neighbour) + extra c."""
    for i in range(first, last):
        for j in range(1, c.shape[1] - 1):
            for k in range(1, c.shape[2] - 1):
                v = c[i, j, k]
                out[i, j, k] = (
                    extra[i, j, k] * v
                    + x[i, j, k] * (v - c[i + 1, j, k])
                    + x[i - 1, j, k] * (v - c[i - 1, j, k])
                    + y[i, j, k] * (v - c[i, j + 1, k])
                    + y[i, j - 1, k] * (v - c[i, j - 1, k])
                    + z[i, j, k] * (v - c[i, j, k + 1])
                    + z[i, j, k - 1] * (v - c[i, j, k - 1])
                )


@kernel
def sweep_planes(
    c: NDArray[np.float32], b: NDArray[np.float32], inverse: NDArray[np.float32],
    x: NDArray[np.float32], y: NDArray[np.float32], z: NDArray[np.float32], colour: int, first: int, last: int,
) -> None:  # fmt: skip
    """Gauss-Seidel for the cells of one colour of a chess board; `inverse` is 0 in cells without an unknown."""
    for i in range(first, last):
        for j in range(1, c.shape[1] - 1):
            for k in range(1 + (i + j + 1 + colour) % 2, c.shape[2] - 1, 2):
                c[i, j, k] = inverse[i, j, k] * (
                    b[i, j, k]
                    + x[i, j, k] * c[i + 1, j, k]
                    + x[i - 1, j, k] * c[i - 1, j, k]
                    + y[i, j, k] * c[i, j + 1, k]
                    + y[i, j - 1, k] * c[i, j - 1, k]
                    + z[i, j, k] * c[i, j, k + 1]
                    + z[i, j, k - 1] * c[i, j, k - 1]
                )


@kernel
def gather_planes(
    c: NDArray[np.float32], b: NDArray[np.float32], diagonal: NDArray[np.float32],
    x: NDArray[np.float32], y: NDArray[np.float32], z: NDArray[np.float32],
    coarse: NDArray[np.float32], first: int, last: int,
) -> None:  # fmt: skip
    """coarse = sum of b - A c over the eight cells of each coarse one; planes are those of the coarse grid."""
    for ci in range(first, last):
        for cj in range(1, coarse.shape[1] - 1):
            for ck in range(1, coarse.shape[2] - 1):
                coarse[ci, cj, ck] = np.float32(0.0)
        for i in range(2 * ci - 1, min(2 * ci + 1, c.shape[0] - 1)):
            for j in range(1, c.shape[1] - 1):
                cj = (j + 1) // 2
                for k in range(1, c.shape[2] - 1):
                    if diagonal[i, j, k] > 0:
                        coarse[ci, cj, (k + 1) // 2] += (
                            b[i, j, k]
                            - diagonal[i, j, k] * c[i, j, k]
                            + x[i, j, k] * c[i + 1, j, k]
                            + x[i - 1, j, k] * c[i - 1, j, k]
                            + y[i, j, k] * c[i, j + 1, k]
                            + y[i, j - 1, k] * c[i, j - 1, k]
                            + z[i, j, k] * c[i, j, k + 1]
                            + z[i, j, k - 1] * c[i, j, k - 1]
                        )


@kernel
def lift_planes(
    coarse: NDArray[np.float32], there: NDArray[np.float32], inverse: NDArray[np.float32],
    c: NDArray[np.float32], first: int, last: int,
) -> None:  # fmt: skip
    """Add to each cell with an unknown the trilinear mean of the coarse cells around it that have one.

    `there` (coarse): 1 where a cell has an unknown. `inverse` (fine): 0 where not.
    """
    near, far = np.float32(0.75), np.float32(0.25)
    for i in range(first, last):
        ci = (i + 1) // 2
        oi = ci + (1 if i % 2 == 0 else -1)
        for j in range(1, c.shape[1] - 1):
            cj = (j + 1) // 2
            oj = cj + (1 if j % 2 == 0 else -1)
            for k in range(1, c.shape[2] - 1):
                if inverse[i, j, k] > 0:
                    ck = (k + 1) // 2
                    ok = ck + (1 if k % 2 == 0 else -1)
                    total = np.float32(0.0)
                    weight = np.float32(0.0)
                    for a in range(2):
                        pi = ci if a == 0 else oi
                        wi = near if a == 0 else far
                        for e in range(2):
                            pj = cj if e == 0 else oj
                            wj = wi * (near if e == 0 else far)
                            w = wj * near * there[pi, pj, ck]
                            u = wj * far * there[pi, pj, ok]
                            total += w * coarse[pi, pj, ck] + u * coarse[pi, pj, ok]
                            weight += w + u
                    if weight > 0:
                        c[i, j, k] += total / weight


@kernel
def lower_planes(fine: NDArray[np.float32], coarse: NDArray[np.float32]) -> None:
    """coarse = sum of the eight cells of each."""
    coarse[:] = 0
    for i in range(1, fine.shape[0] - 1):
        for j in range(1, fine.shape[1] - 1):
            for k in range(1, fine.shape[2] - 1):
                coarse[(i + 1) // 2, (j + 1) // 2, (k + 1) // 2] += fine[i, j, k]
