"""Joints moved to where their three vessels have the least volume, as far as there is room."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel
from poliqi.lab.print.domain.field import Field
from poliqi.lab.print.growth.advance import Scratch
from poliqi.lab.print.growth.cells import Cells, enlist
from poliqi.lab.print.growth.joints import balanced, kept_off
from poliqi.lab.print.growth.reduced import Trees
from poliqi.lab.print.growth.room import Piece, beside, clash, final_radius, leaf_tip, within

__all__ = ["relax"]

_COARSE: Final = 0.1
_GAIN: Final = 1e-4


@kernel
def _length(trees: Trees, j: int) -> float:
    x = trees.far[j, 0] - trees.near[j, 0]
    y = trees.far[j, 1] - trees.near[j, 1]
    z = trees.far[j, 2] - trees.near[j, 2]
    return math.sqrt(x * x + y * y + z * z)


@kernel
def _free(
    cells: Cells, trees: Trees, field: Field, j: int, joint: tuple[float, float, float],
    wall: float, gap: float, exponent: float, work: Scratch,
) -> bool:  # fmt: skip
    """Whether the joint at the far end of segment j may lie at `joint`."""
    tree: int = np.int64(trees.tree[j])  # pyright: ignore[reportAssignmentType]  # one type for the compiler
    parent: int = np.int64(trees.parent[j])  # pyright: ignore[reportAssignmentType]  # one type for the compiler
    one: int = np.int64(trees.left[j])  # pyright: ignore[reportAssignmentType]  # one type for the compiler
    two: int = np.int64(trees.right[j])  # pyright: ignore[reportAssignmentType]  # one type for the compiler
    near = (trees.near[j, 0], trees.near[j, 1], trees.near[j, 2])
    ends = (
        (trees.far[one, 0], trees.far[one, 1], trees.far[one, 2]),
        (trees.far[two, 0], trees.far[two, 1], trees.far[two, 2]),
    )
    thick = final_radius(trees, j, 0, exponent)
    first, second = final_radius(trees, one, 0, exponent), final_radius(trees, two, 0, exponent)
    first_tip, second_tip = leaf_tip(trees, one, first), leaf_tip(trees, two, second)
    points = (near, ends[0], ends[1])
    wide, tips = (thick, first, second), (thick, first_tip, second_tip)
    for turn in range(3):
        if not within(field, joint, points[turn], wide[turn] + wall, tips[turn] + wall, _COARSE):
            return False
        other = (turn + 1) % 3
        if not beside(joint, points[turn], wide[turn], points[other], wide[other], gap):
            return False
    up = math.sqrt((joint[0] - near[0]) ** 2 + (joint[1] - near[1]) ** 2 + (joint[2] - near[2]) ** 2)
    a = math.sqrt((joint[0] - ends[0][0]) ** 2 + (joint[1] - ends[0][1]) ** 2 + (joint[2] - ends[0][2]) ** 2)
    b = math.sqrt((joint[0] - ends[1][0]) ** 2 + (joint[1] - ends[1][1]) ** 2 + (joint[2] - ends[1][2]) ** 2)
    for turn in range(3):
        piece = Piece(
            joint, points[turn], wide[turn], tips[turn], tree,
            parent, 0.0 if turn == 0 else up, 1 if turn == 0 else 0,
            one, 0.0 if turn == 1 else a, 1 if turn == 1 else 0,
            two, 0.0 if turn == 2 else b, 1 if turn == 2 else 0,
            j, one, two,
        )  # fmt: skip
        if clash(cells, trees, piece, gap, exponent, work.links, work.ways) >= 0:
            return False
    return True


@kernel
def relax(
    cells: Cells, trees: Trees, field: Field, first: int, begin: int, end: int, radius: NDArray[np.float64],
    wall: float, gap: float, exponent: float, work: Scratch,
) -> int:  # fmt: skip
    """Move the joints of segments `begin` .. `end` (from `first`); how many were moved.

    Radii (m,) are held; `rebuild` and `refresh` the trees afterwards. A joint moves where the sum of r^2 l of its
    vessels falls, all the way or a half or a quarter of it.
    """
    moved = 0
    for j in range(max(begin, first), min(end, trees.used[0])):
        this: int = np.int64(j)  # pyright: ignore[reportAssignmentType]  # one type for the compiler
        one: int = np.int64(trees.left[j])  # pyright: ignore[reportAssignmentType]  # one type for the compiler
        two: int = np.int64(trees.right[j])  # pyright: ignore[reportAssignmentType]  # one type for the compiler
        if trees.terminals[j] == 0 or two < 0:
            continue
        if cells.used[0] + 4096 > cells.entry.size:
            break
        x, y, z = trees.far[j, 0], trees.far[j, 1], trees.far[j, 2]
        a, b, c = radius[j] ** 2, radius[one] ** 2, radius[two] ** 2
        nx, ny, nz = balanced(
            trees.near[j, 0], trees.near[j, 1], trees.near[j, 2], a,
            trees.far[one, 0], trees.far[one, 1], trees.far[one, 2], b,
            trees.far[two, 0], trees.far[two, 1], trees.far[two, 2], c,
        )  # fmt: skip
        for other in (this, one, two):
            ox, oy, oz = trees.far[other, 0], trees.far[other, 1], trees.far[other, 2]
            if other == j:
                ox, oy, oz = trees.near[j, 0], trees.near[j, 1], trees.near[j, 2]
            nx, ny, nz = kept_off(nx, ny, nz, ox, oy, oz, trees.unit[other], x, y, z)
        before = a * trees.length[j] + b * trees.length[one] + c * trees.length[two]
        step = 1.0
        for _ in range(3):
            jx, jy, jz = x + step * (nx - x), y + step * (ny - y), z + step * (nz - z)
            step *= 0.5
            trees.far[j, 0], trees.far[j, 1], trees.far[j, 2] = jx, jy, jz
            for child in (one, two):
                trees.near[child, 0], trees.near[child, 1], trees.near[child, 2] = jx, jy, jz
            la, lb, lc = _length(trees, j), _length(trees, one), _length(trees, two)
            least = min(la / trees.unit[j], lb / trees.unit[one], lc / trees.unit[two])
            better = a * la + b * lb + c * lc < (1.0 - _GAIN) * before and least > 0.9
            if better and _free(cells, trees, field, this, (jx, jy, jz), wall, gap, exponent, work):
                trees.length[j], trees.length[one], trees.length[two] = la, lb, lc
                for other in (this, one, two):
                    enlist(cells, trees, other, final_radius(trees, other, 0, exponent))
                moved += 1
                break
            trees.far[j, 0], trees.far[j, 1], trees.far[j, 2] = x, y, z
            for child in (one, two):
                trees.near[child, 0], trees.near[child, 1], trees.near[child, 2] = x, y, z
            if not better:
                break
    return moved
