"""Radii of a tree of any geometry: the recurrences of `poliqi.lab.print.growth.reduced` in plain numpy.

Joints may have any number of children, so trees that were grown elsewhere can be given the same physics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from poliqi.base.errors import DataRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["murray_residual", "tree_radii"]


def tree_radii(
    points_um: NDArray[np.float64],
    segments: NDArray[np.int32],
    *,
    terminal_flow_um3_s: float,
    pressure_drop_pa: float,
    viscosity_pa_s: float,
    exponent: float = 3.0,
) -> NDArray[np.float64]:
    """Radii (m,) in um at which each terminal gets the same flow at the same pressure and Murray's law holds.

    `points_um` (n, 3); `segments` (m, 2), from the root outwards, one root. Children of a segment share its radius
    by r_c proportional to (n_c R_c)^(1/4) with the sum of r_c^g equal to r^g; see `reduced` for R and the root's
    radius. Raises DataRefused for what is no tree.
    """
    levels, parent = _levels(segments, len(points_um))
    m = len(segments)
    length = np.linalg.norm(points_um[segments[:, 1]] - points_um[segments[:, 0]], axis=1)
    terminals = np.zeros(m)
    resistance = length.copy()
    ratio = np.ones(m)
    children = np.bincount(parent[parent >= 0], minlength=m)
    terminals[children == 0] = 1.0
    for level in levels[:0:-1]:
        above = parent[level]
        weight = (terminals[level] * resistance[level]) ** 0.25
        total = np.bincount(above, weights=weight**exponent, minlength=m)[above]
        ratio[level] = weight / total ** (1.0 / exponent)
        conductance = np.bincount(above, weights=ratio[level] ** 4 / resistance[level], minlength=m)
        at = np.unique(above)
        resistance[at] += 1.0 / conductance[at]
        terminals += np.bincount(above, weights=terminals[level], minlength=m)
    root = levels[0][0]
    constant = 8.0 * viscosity_pa_s * terminal_flow_um3_s / (np.pi * pressure_drop_pa)
    radius = np.empty(m)
    radius[root] = (constant * resistance[root] * terminals[root]) ** 0.25
    for level in levels[1:]:
        radius[level] = radius[parent[level]] * ratio[level]
    return radius


def murray_residual(
    segments: NDArray[np.int32], radius_um: NDArray[np.float64], exponent: float = 3.0
) -> NDArray[np.float64]:
    """|r^g - sum of the children's r^g| / r^g of each segment that has children; `segments` from the root
    outwards.
    """
    _, parent = _levels(segments, int(segments.max()) + 1)
    power = radius_um**exponent
    below = np.bincount(parent[parent >= 0], weights=power[parent >= 0], minlength=len(segments))
    has = below > 0.0
    return np.abs(power[has] - below[has]) / power[has]


def _levels(segments: NDArray[np.int32], nodes: int) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    """Segments by their distance from the root, and the parent of each (-1: the root)."""
    m = len(segments)
    into = np.full(nodes, -1, dtype=np.int64)
    into[segments[:, 1]] = np.arange(m)
    parent = into[segments[:, 0]]
    roots = np.nonzero(parent < 0)[0]
    if len(roots) != 1 or len(np.unique(segments[:, 1])) != m:
        raise DataRefused(
            f"vessels: {len(roots)} roots and {m - len(np.unique(segments[:, 1]))} points that two "
            f"segments lead to; "
            "a tree has one and none: give segments from the root outwards"
        )
    order = np.argsort(parent, kind="stable")
    starts = np.searchsorted(parent[order], np.arange(m + 1))
    levels = [roots]
    reached = 1
    while True:
        level = levels[-1]
        many = starts[level + 1] - starts[level]
        if not many.any():
            break
        offsets = np.repeat(starts[level] - np.concatenate(([0], np.cumsum(many)[:-1])), many)
        levels.append(order[offsets + np.arange(many.sum())])
        reached += len(levels[-1])
    if reached != m:
        raise DataRefused(
            f"vessels: {m - reached} of {m} segments are not reached from the root; a tree has no ring"
        )
    return levels, parent
