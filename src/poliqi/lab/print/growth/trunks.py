"""The first vessel of each tree."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.jit import kernel
from poliqi.lab.print.domain.field import Field
from poliqi.lab.print.growth.closest import free_closest
from poliqi.lab.print.growth.reduced import Trees, update_above
from poliqi.lab.print.growth.room import within

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.growth.settings import GrowthSettings

__all__ = ["clear_of", "place_trunk"]

_TIP: Final = 0.75
"""A terminal's radius over that expected, at first: what becomes too thick is judged and mended later."""


@kernel
def clear_of(
    trees: Trees, first: int, start: NDArray[np.float64], end: NDArray[np.float64], radius: float, gap: float
) -> bool:
    """Whether a vessel comes nearer than `gap` to any segment before `first` or any in use after it."""
    ux, uy, uz = end[0] - start[0], end[1] - start[1], end[2] - start[2]
    length = math.sqrt(ux * ux + uy * uy + uz * uz)
    ux, uy, uz = ux / length, uy / length, uz / length
    for one in range(trees.used[0]):
        long = trees.length[one]
        if long <= 0.0:
            continue
        bx, by, bz = trees.near[one, 0], trees.near[one, 1], trees.near[one, 2]
        vx, vy, vz = (
            (trees.far[one, 0] - bx) / long, (trees.far[one, 1] - by) / long, (trees.far[one, 2] - bz) / long,
        )  # fmt: skip
        s, t = free_closest(start[0], start[1], start[2], ux, uy, uz, length, bx, by, bz, vx, vy, vz, long)
        x = start[0] + s * ux - bx - t * vx
        y = start[1] + s * uy - by - t * vy
        z = start[2] + s * uz - bz - t * vz
        own = trees.unit[one]
        if one >= first and trees.terminals[one] == 1:
            own += (trees.unit[trees.tree[one]] - own) * (1.0 - t / long)
        if math.sqrt(x * x + y * y + z * z) < own + radius + gap:
            return True
    return False


@kernel
def _first_that_fits(
    trees: Trees, first: int, field: Field, start: NDArray[np.float64], points: NDArray[np.float64],
    radius: float, tip: float, wall: float, gap: float,
) -> int:  # fmt: skip
    """The first point to which a straight trunk has room; -1: none."""
    least = 2.0 * radius
    begin = (start[0], start[1], start[2])
    for at in range(points.shape[0]):
        x, y, z = points[at, 0], points[at, 1], points[at, 2]
        far = math.sqrt((x - start[0]) ** 2 + (y - start[1]) ** 2 + (z - start[2]) ** 2)
        if far < least:
            continue
        if not within(field, begin, (x, y, z), radius + wall, tip + wall, 0.05):
            continue
        if not clear_of(trees, first, start, points[at], tip, gap):
            return at
    return -1


def place_trunk(
    trees: Trees,
    first: int,
    field: Field,
    k: int,
    start_um: NDArray[np.float64],
    end_um: NDArray[np.float64],
    points: NDArray[np.float64],
    radius_um: float,
    settings: GrowthSettings,
    total: int,
) -> int:
    """Make the stub of tree k from start to end (3,), and its trunk to the first of `points` that has room;
    which, or -1.
    """
    tip = _TIP * radius_um / total ** (1.0 / settings.exponent)
    at = _first_that_fits(
        trees,
        first,
        field,
        end_um,
        np.ascontiguousarray(points),
        radius_um,
        tip,
        settings.wall_um,
        settings.gap_um,
    )
    if at < 0:
        return -1
    one = int(trees.used[0])
    trees.used[0] += 1
    trees.near[k], trees.far[k] = start_um, end_um
    trees.near[one], trees.far[one] = end_um, points[at]
    trees.length[k] = np.linalg.norm(end_um - start_um)
    trees.length[one] = np.linalg.norm(points[at] - end_um)
    trees.tree[k] = trees.tree[one] = k
    trees.left[k], trees.parent[one] = one, k
    trees.terminals[one] = 1
    trees.resistance[one] = trees.volume[one] = trees.length[one]
    update_above(trees, one, settings.exponent)
    trees.unit[k] = radius_um
    trees.unit[one] = tip
    return at
