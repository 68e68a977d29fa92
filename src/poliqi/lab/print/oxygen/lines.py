"""Vessels thinner than a cell: line sources, smeared over a few cells, and what the mean of those cells tells.

A source q per length is spread by a cubic spline of width m h, which the grid resolves, and the tissue's mean is
taken by the same spline. About a straight vessel that mean is the undisturbed field at an effective radius R_e,
whatever the direction and the place on the grid, so that q = 2 pi D (c - mean)/ln(R_e/R): a Peaceman well (SPE J.
18 (1978) 183) with a resolved source (Koch et al., SIAM J. Appl. Math. 80 (2020) 126).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError
from poliqi.base.jit import kernel
from poliqi.lab.print.oxygen.walls import THICK

if TYPE_CHECKING:
    from poliqi.lab.print.oxygen.elements import Elements

__all__ = ["EFFECTIVE", "WIDTH", "Lines", "line_means", "lines_of", "spread_lines"]

WIDTH: Final = 1.5
"""m: width of the spline over the spacing."""
EFFECTIVE: Final = 1.262
"""R_e/h at that width, +-.7 % over directions and places; measured against ln(rho) in an infinite medium."""
_CELLS: Final = 6
_LEAST_HELD: Final = 0.02


@dataclass(frozen=True, slots=True)
class Lines:
    """Thin elements (t,): `element`, `base` (t, 3) first cell, `weight` (t, 3, 6) splines, `scale` (t,) 1/their
    sum.

    `conductance` (t,) in D h: 2 pi l/(ln(R_e/R) + film). `reach` (t,): what a consumption of 1 (D/h^2) between mean
    and wall changes in c. `tube` (t,): volume of the lumen in h^3.
    """

    element: NDArray[np.int64]
    base: NDArray[np.int64]
    weight: NDArray[np.float32]
    scale: NDArray[np.float32]
    conductance: NDArray[np.float32]
    reach: NDArray[np.float32]
    tube: NDArray[np.float32]


@kernel
def line_means(
    c: NDArray[np.float32], base: NDArray[np.int64], weight: NDArray[np.float32], scale: NDArray[np.float32],
    out: NDArray[np.float64],
) -> None:  # fmt: skip
    """Weighted mean of c about each line."""
    for at in range(base.shape[0]):
        total = 0.0
        for a in range(6):
            for b in range(6):
                w = weight[at, 0, a] * weight[at, 1, b]
                row = np.float32(0.0)
                for d in range(6):
                    row += weight[at, 2, d] * c[base[at, 0] + a, base[at, 1] + b, base[at, 2] + d]
                total += w * row
        out[at] = total * scale[at]


@kernel
def spread_lines(
    q: NDArray[np.float32], base: NDArray[np.int64], weight: NDArray[np.float32], scale: NDArray[np.float32],
    field: NDArray[np.float32],
) -> None:  # fmt: skip
    """Add q of each line to the cells about it."""
    for at in range(base.shape[0]):
        v = q[at] * scale[at]
        for a in range(6):
            for b in range(6):
                w = v * weight[at, 0, a] * weight[at, 1, b]
                for d in range(6):
                    field[base[at, 0] + a, base[at, 1] + b, base[at, 2] + d] += w * weight[at, 2, d]


def _spline(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cubic B-spline, of support -2 to 2."""
    x = np.abs(x)
    return np.where(x < 1, 2 / 3 - x * x + x**3 / 2, np.where(x < 2, (2 - x) ** 3 / 6, 0.0))


def lines_of(elements: Elements, there: NDArray[np.float32], film: float | None) -> Lines:
    """Lines of all thin vessels; what lies outside the tissue or in a thick lumen is left out.

    `there` has at least 6 cells along each side (ConfigError).
    """
    shape = np.array(there.shape)
    if shape.min() < _CELLS:
        raise ConfigError(f"oxygen: {shape.min() - 2} cells across; give at least {_CELLS - 2}")
    element = np.flatnonzero(elements.radius[elements.owner] < THICK)
    middle = elements.middle[element]
    near = np.all((middle > 0.5) & (middle < shape - 1.5), axis=1)
    element, middle = element[near], middle[near]
    is_there = there[tuple(np.rint(middle).astype(np.int64).T)] > 0
    element, middle = element[is_there], middle[is_there]
    base = np.floor(middle - 2 * WIDTH).astype(np.int64) + 1
    base = np.clip(base, 0, np.maximum(shape - _CELLS, 0))
    cells = base[:, :, None] + np.arange(_CELLS)
    weight = (_spline((cells - middle[:, :, None]) / WIDTH) / WIDTH).astype(np.float32)
    ones, held = np.ones(element.size, np.float32), np.empty(element.size)
    line_means(there, base, weight, ones, held)
    kept = held > _LEAST_HELD
    element, base, weight, held = element[kept], base[kept], weight[kept], held[kept]
    owner = elements.owner[element]
    r, length = elements.radius[owner], elements.length[owner]
    resistance = np.log(EFFECTIVE / r) + (0.0 if film is None else 1.0 / film)
    reach = 0.5 * r * r * np.log(EFFECTIVE / r) + 0.25 * (r * r - 2 * WIDTH**2 / 3)
    return Lines(
        element,
        base,
        weight,
        (1.0 / held).astype(np.float32),
        (2 * np.pi * length / resistance).astype(np.float32),
        reach.astype(np.float32),
        (np.pi * r * r * length).astype(np.float32),
    )
