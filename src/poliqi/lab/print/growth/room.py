"""Whether a vessel has room: within the domain, and apart from all others but where they are one lumen.

Two vessels of a tree count as one lumen where the path along the axes between two of their points is shorter than
`SAME_LUMEN` times the sum of both radii and the gap; `poliqi.lab.print.growth.contacts` judges by the same rule.
While a tree grows, radii are those that the vessels will at most have when it is finished; the outer end of a leaf
has only that of a terminal, as what is joined to the leaf later leaves its last piece a leaf.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel
from poliqi.lab.print.domain.field import Field, field_clearance
from poliqi.lab.print.growth.cells import Cells, cell_of
from poliqi.lab.print.growth.closest import apart
from poliqi.lab.print.growth.reduced import Trees

__all__ = ["SAME_LUMEN", "Piece", "at_wall", "beside", "clash", "final_radius", "leaf_tip", "within"]

SAME_LUMEN: Final = 3.0
_LONGEST_CHAIN: Final = 64


class Piece(NamedTuple):
    """A vessel that is to come, between two points, and the ways that lead off it.

    Along the tree, one way leads upwards: to the far end of segment `above`, `up` um from the end of this piece
    that `up_from_end` names (0: its first point, 1: its last). Ways downwards lead to the far ends of segments
    `one` and `two` (-1: none). Segments `skip_a`, `skip_b`, `skip_c` are not looked at: they will be replaced, or
    touch it.
    """

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    start_radius: float
    end_radius: float
    tree: int
    above: int
    up: float
    up_from_end: int
    one: int
    one_down: float
    one_from_end: int
    two: int
    two_down: float
    two_from_end: int
    skip_a: int
    skip_b: int
    skip_c: int


@kernel
def final_radius(trees: Trees, segment: int, extra: int, exponent: float) -> float:
    """What the radius of a segment will at most be, with `extra` terminals more."""
    if trees.tree[segment] < 0:
        return trees.unit[segment]
    count = float(trees.terminals[segment] + extra)
    power = np.cbrt(count) if exponent == 3.0 else count ** (1.0 / exponent)
    return trees.unit[segment] * power * trees.swell[trees.tree[segment]]


@kernel
def leaf_tip(trees: Trees, segment: int, radius: float) -> float:
    """Radius at the outer end of a segment whose final radius is `radius`."""
    return min(radius, 1.02 * trees.unit[segment]) if trees.terminals[segment] == 1 else radius


@kernel
def within(
    field: Field,
    start: tuple[float, float, float], end: tuple[float, float, float],
    start_need: float, end_need: float, coarse: float,
) -> bool:  # fmt: skip
    """Whether all points of a line have the clearance needed, which changes linearly from start to end.

    The clearance changes by at most 1 um per um, so a point with plenty stands for its surroundings: two points
    with a surplus of h and k have none in short between them where they are h + k apart. For a step that does not
    vanish, `coarse` / 2 of the need is asked on top.
    """
    x, y, z = start
    ux, uy, uz = end[0] - x, end[1] - y, end[2] - z
    length = math.sqrt(ux * ux + uy * uy + uz * uz)
    if length <= 0.0:
        return field_clearance(field, x, y, z) >= max(start_need, end_need)
    ux, uy, uz = ux / length, uy / length, uz / length
    slope = (end_need - start_need) / length
    steep = 1.0 + abs(slope)
    ask = 0.5 * steep * max(coarse * min(start_need, end_need), 1e-3)
    at = 0.0
    while True:
        spare = field_clearance(field, x + at * ux, y + at * uy, z + at * uz) - start_need - slope * at - ask
        if spare < 0.0:
            return False
        if at >= length:
            return True
        at = min(at + (spare + 2.0 * ask) / steep, length)


@kernel
def _chain(trees: Trees, above: int, reach: float, links: NDArray[np.int64], ways: NDArray[np.float64]) -> int:
    """Ancestors from `above` on, and the way from its far end to the far end of each; returns how many."""
    way, count = 0.0, 0
    while above >= 0 and count < links.size and way <= reach:
        links[count], ways[count] = above, way
        count += 1
        way += trees.length[above]
        above = trees.parent[above]
    return count


@kernel
def _way(
    trees: Trees,
    piece: Piece,
    other: int,
    reach: float,
    links: NDArray[np.int64],
    ways: NDArray[np.float64],
    chain: int,
) -> tuple[float, int, int]:
    """The path from a piece to another segment: length, end of the piece, end of the other (0: near, 1: far)."""
    for at in range(chain):
        if links[at] == other:
            return piece.up + ways[at], piece.up_from_end, 1
    way, below = 0.0, other
    while way <= reach:
        above: int = trees.parent[below]
        if above < 0:
            break
        if above == piece.one:
            return piece.one_down + way, piece.one_from_end, 0
        if above == piece.two:
            return piece.two_down + way, piece.two_from_end, 0
        for at in range(chain):
            if links[at] == above:
                return piece.up + ways[at] + way, piece.up_from_end, 0
        way += trees.length[above]
        below = above
    return math.inf, 0, 0


@kernel
def clash(
    cells: Cells, trees: Trees, piece: Piece, gap: float, exponent: float,
    links: NDArray[np.int64], ways: NDArray[np.float64],
) -> int:  # fmt: skip
    """The first segment that a piece would come nearer than `gap` to; -1 where there is none."""
    sx, sy, sz = piece.start
    ux, uy, uz = piece.end[0] - sx, piece.end[1] - sy, piece.end[2] - sz
    length = math.sqrt(ux * ux + uy * uy + uz * uz)
    if length <= 0.0:
        return piece.skip_a
    ux, uy, uz = ux / length, uy / length, uz / length
    thick = max(piece.start_radius, piece.end_radius)
    edge = cells.edge[0]
    cells.tick[0] += 1
    tick = cells.tick[0]
    chain = -1
    x0, x1 = cell_of(cells, 0, min(sx, piece.end[0]) - thick), cell_of(cells, 0, max(sx, piece.end[0]) + thick)
    y0, y1 = cell_of(cells, 1, min(sy, piece.end[1]) - thick), cell_of(cells, 1, max(sy, piece.end[1]) + thick)
    z0, z1 = cell_of(cells, 2, min(sz, piece.end[2]) - thick), cell_of(cells, 2, max(sz, piece.end[2]) + thick)
    few = (x1 - x0 + 1) * (y1 - y0 + 1) * (z1 - z0 + 1) <= 8
    for i in range(x0, x1 + 1):
        for j in range(y0, y1 + 1):
            for k in range(z0, z1 + 1):
                at = cells.head[(i * cells.shape[1] + j) * cells.shape[2] + k]
                if at < 0:
                    continue
                if not few:
                    x = cells.origin[0] + (i + 0.5) * edge - sx
                    y = cells.origin[1] + (j + 0.5) * edge - sy
                    z = cells.origin[2] + (k + 0.5) * edge - sz
                    t = min(max(x * ux + y * uy + z * uz, 0.0), length)
                    x, y, z = x - t * ux, y - t * uy, z - t * uz
                    reach = thick + 0.8660254037844387 * edge
                    outer = (
                        i == 0 or j == 0 or k == 0
                        or i == cells.shape[0] - 1 or j == cells.shape[1] - 1 or k == cells.shape[2] - 1
                    )  # fmt: skip
                    if not outer and x * x + y * y + z * z > reach * reach:
                        continue
                while at >= 0:
                    one: int = cells.entry[at]  # pyright: ignore[reportAssignmentType]
                    at = cells.follow[at]
                    if cells.seen[one] == tick:
                        continue
                    cells.seen[one] = tick
                    if one == piece.skip_a or one == piece.skip_b or one == piece.skip_c:
                        continue
                    bx, by, bz = trees.near[one, 0], trees.near[one, 1], trees.near[one, 2]
                    vx, vy, vz = trees.far[one, 0] - bx, trees.far[one, 1] - by, trees.far[one, 2] - bz
                    long = trees.length[one]
                    vx, vy, vz = vx / long, vy / long, vz / long
                    near_radius = final_radius(trees, one, 0, exponent)
                    far_radius = leaf_tip(trees, one, near_radius)
                    limit = thick + near_radius + gap
                    distance, s, t = apart(sx, sy, sz, ux, uy, uz, length, bx, by, bz, vx, vy, vz, long, 0.0)
                    if distance >= limit:
                        continue
                    if trees.tree[one] == piece.tree:
                        same = SAME_LUMEN * limit
                        if chain < 0:
                            chain = _chain(trees, piece.above, same, links, ways)
                        way, mine, its = _way(trees, piece, one, same, links, ways, chain)
                        if way < same:
                            ax, ay, az, sign = sx, sy, sz, 1.0
                            if mine == 1:
                                ax, ay, az, sign = piece.end[0], piece.end[1], piece.end[2], -1.0
                            other = 1.0
                            if its == 1:
                                bx, by, bz, other = trees.far[one, 0], trees.far[one, 1], trees.far[one, 2], -1.0
                            distance, s, t = apart(
                                ax, ay, az, sign * ux, sign * uy, sign * uz, length,
                                bx, by, bz, other * vx, other * vy, other * vz, long, same - way,
                            )  # fmt: skip
                            s = length - s if mine == 1 else s
                            t = long - t if its == 1 else t
                    here = piece.start_radius + (piece.end_radius - piece.start_radius) * s / length
                    there = near_radius + (far_radius - near_radius) * t / long
                    if distance < here + there + gap:
                        return one
    return -1


@kernel
def beside(
    joint: tuple[float, float, float],
    first: tuple[float, float, float], first_radius: float,
    second: tuple[float, float, float], second_radius: float,
    gap: float,
) -> bool:  # fmt: skip
    """Whether two vessels that leave a joint for `first` and `second` lie apart once they are no longer one
    lumen.
    """
    ux, uy, uz = first[0] - joint[0], first[1] - joint[1], first[2] - joint[2]
    vx, vy, vz = second[0] - joint[0], second[1] - joint[1], second[2] - joint[2]
    a, b = math.sqrt(ux * ux + uy * uy + uz * uz), math.sqrt(vx * vx + vy * vy + vz * vz)
    if a <= 0.0 or b <= 0.0:
        return False
    limit = first_radius + second_radius + gap
    distance, _, _ = apart(
        joint[0], joint[1], joint[2], ux / a, uy / a, uz / a, a,
        joint[0], joint[1], joint[2], vx / b, vy / b, vz / b, b,
        SAME_LUMEN * limit,
    )  # fmt: skip
    return distance >= limit


@kernel
def at_wall(
    field: Field, start: NDArray[np.float64], end: NDArray[np.float64], need: NDArray[np.float64],
    found: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Which lines (m, 3) to (m, 3) have less clearance than `need` (m,) somewhere, into `found` (m,)."""
    for i in range(need.size):
        found[i] = not within(
            field,
            (start[i, 0], start[i, 1], start[i, 2]), (end[i, 0], end[i, 1], end[i, 2]),
            need[i], need[i], 0.02,
        )  # fmt: skip
