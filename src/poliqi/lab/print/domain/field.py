"""The clearance of a domain inside compiled kernels: arrays that say everything, and a function that reads them.

A domain is a union of bodies less a union of obstacles; `parts` has a row for each. A primitive is a formula. A
mesh or a label volume is a hierarchy of boxes around its surface (exact, a microsecond a call near it) with a
coarse grid of distances, which answers further away. `field_clearance` never says more than the distance to the
boundary from a point inside; outside it is negative.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import inlined, kernel
from poliqi.lab.print.domain.bound import MESH, surface_bound
from poliqi.lab.print.domain.depths import primitive_depth

__all__ = ["Field", "clearances", "field_clearance"]


class Field(NamedTuple):
    """What `field_clearance` reads.

    `parts`: int64 (k, 14), kind, sign (1: body, -1: obstacle) and places, bodies first; `frames`: float64 (k, 16).
    See `depths` for primitives and `bound` for surfaces, whose arrays stand one behind the other in the rest.
    """

    parts: NDArray[np.int64]
    frames: NDArray[np.float64]
    nodes: NDArray[np.float64]
    first: NDArray[np.int64]
    elements: NDArray[np.float64]
    mask: NDArray[np.uint8]
    grid: NDArray[np.float64]


@inlined
def field_clearance(field: Field, x: float, y: float, z: float) -> float:
    """A lower bound of the distance in um from (x, y, z) to the domain's boundary; negative outside.

    Exact for one primitive, and for any number of obstacles taken from it; two bodies that overlap are further from
    the boundary than it says.
    """
    best = -math.inf
    for n in range(field.parts.shape[0]):
        turn = float(field.parts[n, 1])
        if field.parts[n, 0] < MESH:
            depth = turn * primitive_depth(field.parts[n, 0], field.frames, n, x, y, z)
        else:
            depth = surface_bound(
                field.parts, field.frames, n, field.nodes, field.first, field.elements, field.mask, field.grid,
                (x, y, z), turn,
            )  # fmt: skip
        best = max(best, depth) if turn > 0.0 else min(best, depth)
    return best


@kernel
def clearances(field: Field, points_um: NDArray[np.float64], found: NDArray[np.float64]) -> None:
    """`field_clearance` of each of `points_um` (n, 3) into `found` (n,)."""
    for i in range(points_um.shape[0]):
        found[i] = field_clearance(field, points_um[i, 0], points_um[i, 1], points_um[i, 2])
