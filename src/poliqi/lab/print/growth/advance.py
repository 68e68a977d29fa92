"""The loop of growth, compiled: points come in, those with room become terminals."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel
from poliqi.lab.print.domain.field import Field, field_clearance
from poliqi.lab.print.growth.cells import Cells, enlist, nearest
from poliqi.lab.print.growth.joints import balanced, kept_off
from poliqi.lab.print.growth.reduced import Trees, attach, ratios, root_cost, walk_cost
from poliqi.lab.print.growth.room import Piece, beside, clash, final_radius, within

__all__ = [
    "AT_WALL",
    "FULL",
    "JOINED",
    "NOT_TRIED",
    "NO_ROOM",
    "OUTSIDE",
    "TOO_NEAR",
    "Scratch",
    "advance",
    "scratch",
]

NOT_TRIED: Final = 0
JOINED: Final = 1
OUTSIDE: Final = 2
TOO_NEAR: Final = 3
AT_WALL: Final = 4
NO_ROOM: Final = 5
FULL: Final = 6
"""The grid has no entries left: make it anew and go on."""
_LOOSEN: Final = 0.9
_PATIENCE: Final = 10
_COARSE: Final = 0.1
_ALONG: Final = 7
_LEANS: Final = 3


class Scratch(NamedTuple):
    """Working space of `advance`: room for so many candidates and links."""

    found: NDArray[Any]
    distance: NDArray[Any]
    cost: NDArray[Any]
    joint: NDArray[Any]
    links: NDArray[Any]
    ways: NDArray[Any]
    open_trees: NDArray[Any]


def scratch(candidates: int, trees: int) -> Scratch:
    """Working space for so many candidates a terminal."""
    return Scratch(
        np.zeros(candidates, dtype=np.int64),
        np.zeros(candidates),
        np.zeros(candidates),
        np.zeros((candidates, 3)),
        np.zeros(64, dtype=np.int64),
        np.zeros(64),
        np.zeros(trees, dtype=np.bool_),
    )


@kernel
def _joint_of(
    trees: Trees, at: int, x: float, y: float, z: float, exponent: float
) -> tuple[float, float, float, float]:
    """Joint of a terminal with segment `at`, and the least length of a vessel there; negative: no place for it."""
    px, py, pz = trees.near[at, 0], trees.near[at, 1], trees.near[at, 2]
    dx, dy, dz = trees.far[at, 0], trees.far[at, 1], trees.far[at, 2]
    count = float(trees.terminals[at])
    power = 2.0 / exponent
    below, above = count**power, (count + 1.0) ** power
    jx, jy, jz = balanced(px, py, pz, above, dx, dy, dz, below, x, y, z, 1.0)
    for _ in range(2):
        branch = math.sqrt((jx - x) ** 2 + (jy - y) ** 2 + (jz - z) ** 2)
        lower = math.sqrt((jx - dx) ** 2 + (jy - dy) ** 2 + (jz - dz) ** 2)
        rest = trees.resistance[at] - trees.length[at] + lower
        if branch <= 0.0 or rest <= 0.0:
            break
        old, new = ratios(count, rest, 1.0, branch, exponent)
        jx, jy, jz = balanced(px, py, pz, 1.0, dx, dy, dz, old * old, x, y, z, new * new)
    least = trees.unit[at]
    jx, jy, jz = kept_off(jx, jy, jz, px, py, pz, least, x, y, z)
    jx, jy, jz = kept_off(jx, jy, jz, dx, dy, dz, least, x, y, z)
    thick = trees.unit[at] * (count + 1.0) ** (1.0 / exponent)
    branch = math.sqrt((jx - x) ** 2 + (jy - y) ** 2 + (jz - z) ** 2)
    upper = math.sqrt((jx - px) ** 2 + (jy - py) ** 2 + (jz - pz) ** 2)
    if branch < thick + 2.0 * least or upper < 0.999 * least:
        return jx, jy, jz, -1.0
    return jx, jy, jz, least


@kernel
def _has_room(
    cells: Cells, trees: Trees, field: Field, at: int,
    joint: tuple[float, float, float], terminal: tuple[float, float, float],
    wall: float, gap: float, exponent: float, work: Scratch,
) -> int:  # fmt: skip
    """JOINED where the three vessels of a joint have room; else what is in the way."""
    tree: int = np.int64(trees.tree[at])  # pyright: ignore[reportAssignmentType]  # one type for the compiler
    near = (trees.near[at, 0], trees.near[at, 1], trees.near[at, 2])
    far = (trees.far[at, 0], trees.far[at, 1], trees.far[at, 2])
    parent: int = np.int64(trees.parent[at])  # pyright: ignore[reportAssignmentType]  # one type for the compiler
    up = math.sqrt((joint[0] - near[0]) ** 2 + (joint[1] - near[1]) ** 2 + (joint[2] - near[2]) ** 2)
    down = math.sqrt((joint[0] - far[0]) ** 2 + (joint[1] - far[1]) ** 2 + (joint[2] - far[2]) ** 2)
    length = math.sqrt(
        (joint[0] - terminal[0]) ** 2 + (joint[1] - terminal[1]) ** 2 + (joint[2] - terminal[2]) ** 2
    )
    old, new = ratios(
        float(trees.terminals[at]), trees.resistance[at] - trees.length[at] + down, 1.0, length, exponent
    )
    upper = final_radius(trees, at, 1, exponent)
    lower, branch = max(old * upper, final_radius(trees, at, 0, exponent)), new * upper
    tip: float = min(lower, 1.02 * lower / trees.swell[tree]) if trees.terminals[at] == 1 else lower
    thin: float = min(branch, 1.02 * branch / trees.swell[tree])
    none: int = np.int64(-1)  # pyright: ignore[reportAssignmentType]  # one type for the compiler
    ends = (terminal, far, near)
    wide, tips = (branch, lower, upper), (thin, tip, upper)
    for turn in range(3):
        if not within(field, joint, ends[turn], wide[turn] + wall, tips[turn] + wall, _COARSE):
            return AT_WALL
    for turn in range(3):
        other = (turn + 1) % 3
        if not beside(joint, ends[turn], wide[turn], ends[other], wide[other], gap):
            return NO_ROOM
    for turn in range(3):
        piece = Piece(
            joint, ends[turn], wide[turn], tips[turn], tree,
            parent, up if turn < 2 else 0.0, 0 if turn < 2 else 1,
            at, 0.0 if turn == 1 else down, 1 if turn == 1 else 0,
            none, 0.0, 0, at, none, none,
        )  # fmt: skip
        if clash(cells, trees, piece, gap, exponent, work.links, work.ways) >= 0:
            return NO_ROOM
    return JOINED


@kernel
def _joint_off(trees: Trees, at: int, number: int, x: float, y: float, z: float) -> tuple[float, float, float]:
    """A joint that is not the balanced one, for a terminal that is wanted here and nowhere else."""
    along = (number // _LEANS + 1.0) / (_ALONG + 1.0)
    lean = 0.2 * (number % _LEANS)
    jx = (1.0 - along) * trees.near[at, 0] + along * trees.far[at, 0]
    jy = (1.0 - along) * trees.near[at, 1] + along * trees.far[at, 1]
    jz = (1.0 - along) * trees.near[at, 2] + along * trees.far[at, 2]
    return jx + lean * (x - jx), jy + lean * (y - jy), jz + lean * (z - jz)


@kernel
def _place(
    cells: Cells, trees: Trees, field: Field, first: int, x: float, y: float, z: float,
    spacing: float, wall: float, gap: float, exponent: float, work: Scratch,
) -> int:  # fmt: skip
    """Join one terminal where it costs least and has room; what came of it."""
    count = nearest(cells, trees, first, work.open_trees, x, y, z, work.found, work.distance)
    if count == 0:
        return NO_ROOM
    if work.distance[0] < spacing:
        return TOO_NEAR
    for c in range(count):
        at = work.found[c]
        jx, jy, jz, least = _joint_of(trees, at, x, y, z, exponent)
        work.joint[c, 0], work.joint[c, 1], work.joint[c, 2] = jx, jy, jz
        if least < 0.0:
            work.cost[c] = math.inf
            continue
        upper = math.sqrt(
            (jx - trees.near[at, 0]) ** 2 + (jy - trees.near[at, 1]) ** 2 + (jz - trees.near[at, 2]) ** 2
        )
        lower = math.sqrt(
            (jx - trees.far[at, 0]) ** 2 + (jy - trees.far[at, 1]) ** 2 + (jz - trees.far[at, 2]) ** 2
        )
        branch = math.sqrt((jx - x) ** 2 + (jy - y) ** 2 + (jz - z) ** 2)
        work.cost[c] = walk_cost(trees, at, upper, lower, branch, exponent) - root_cost(trees, int(trees.tree[at]))
    outcome = NO_ROOM
    elsewhere = 0 if spacing > 0.0 else _ALONG * _LEANS
    for turn in range(count * (1 + elsewhere)):
        if turn < count:
            best = 0
            for c in range(1, count):
                if work.cost[c] < work.cost[best]:
                    best = c
            if not work.cost[best] < math.inf:
                continue
            work.cost[best] = math.inf
            at = work.found[best]
            joint = (work.joint[best, 0], work.joint[best, 1], work.joint[best, 2])
        else:
            at = work.found[(turn - count) // elsewhere]
            joint = _joint_off(trees, at, (turn - count) % elsewhere, x, y, z)
        outcome = _has_room(cells, trees, field, at, joint, (x, y, z), wall, gap, exponent, work)
        if outcome == JOINED:
            work.found[0] = at
            work.joint[0, 0], work.joint[0, 1], work.joint[0, 2] = joint
            return JOINED
    return outcome


@kernel
def _set_units(trees: Trees, leaf: int, old: int, exponent: float) -> None:
    """Radii over count^(1/g) of a new leaf and its sibling from those of their parent."""
    above = leaf - 1
    count = float(trees.terminals[old])
    one, two = ratios(count, trees.resistance[old], 1.0, trees.resistance[leaf], exponent)
    thick = trees.unit[above] * (count + 1.0) ** (1.0 / exponent)
    trees.unit[old] = max(trees.unit[old], one * thick / count ** (1.0 / exponent))
    trees.unit[leaf] = two * thick


@kernel
def advance(
    cells: Cells, trees: Trees, field: Field, first: int,
    points: NDArray[np.float64], begin: int, outcome: NDArray[np.uint8],
    limit: NDArray[np.int64], wanted: int,
    spacing: float, wall: float, gap: float, exponent: float, work: Scratch,
) -> int:  # fmt: skip
    """Try `points` (n, 3) from `begin` on until `wanted` terminals are joined; returns the first point not tried.

    `outcome` (n,) tells what came of each. `limit` (k,) is the count of terminals that closes a tree. `spacing`,
    the least distance of a terminal from its own trees, is loosened while nothing fits. Returns early where the
    grid is full: its outcome there is FULL.
    """
    joined, refused = 0, 0
    loose = spacing
    for at in range(begin, points.shape[0]):
        if joined >= wanted:
            return at
        any_open = False
        for k in range(limit.size):
            work.open_trees[k] = 0 < trees.terminals[k] < limit[k]
            any_open = any_open or work.open_trees[k]
        if not any_open:
            return at
        if cells.used[0] + 64 > cells.entry.size:
            outcome[at] = FULL
            return at
        x, y, z = points[at, 0], points[at, 1], points[at, 2]
        if field_clearance(field, x, y, z) < wall:
            outcome[at] = OUTSIDE
            continue
        result = _place(cells, trees, field, first, x, y, z, loose, wall, gap, exponent, work)
        outcome[at] = result
        if result == JOINED:
            leaf = attach(trees, work.found[0], work.joint[0], points[at], exponent)
            _set_units(trees, leaf, work.found[0], exponent)
            for one in (leaf - 1, leaf, work.found[0]):
                enlist(cells, trees, one, final_radius(trees, one, 0, exponent))
            joined += 1
            refused = 0
            loose = spacing
        else:
            refused += 1
            if refused % _PATIENCE == 0:
                loose *= _LOOSEN
    return points.shape[0]
