"""Karch's reduced recurrences: what a tree costs, and what it would cost with one terminal more.

A tree's radii follow from its geometry. With l the length of segment j, n its terminals, b the ratio of a child's
radius to its own and rho = r_left/r_right:

    rho   = ((n_left R_left) / (n_right R_right))^(1/4)          equal pressure at all terminals
    b_right = (1 + rho^g)^(-1/g),  b_left = rho b_right          Murray's law with the exponent g
    R_j   = l + 1 / (b_left^4/R_left + b_right^4/R_right)        resistance times r_j^4 pi/(8 mu)
    V_j   = l + b_left^2 V_left + b_right^2 V_right              volume over pi r_j^2

The root's radius is (C R n)^(1/4), C = 8 mu Q_t/(pi dP) with the flow Q_t of a terminal, and the volume
pi sqrt(C R n) V. A trial walks from the new terminal to the root and to nothing else. R. Karch et al., Comput.
Biol. Med. 29 (1999) 19, equations 1 to 11; there for fixed terminal flows, as here.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel

__all__ = [
    "Trees",
    "attach",
    "detach",
    "empty_trees",
    "ratios",
    "rebuild",
    "refresh",
    "root_cost",
    "update_above",
    "walk_cost",
]


class Trees(NamedTuple):
    """All segments of growing trees and of what is in their way, in arrays that kernels work on.

    Segments 0 to k - 1 are the stubs of the k trees: what their inlet enters by, with the root as the only (left)
    child. Then come vessels that are only avoided (tree -1, count 0), then what grows, from `first`.
    """

    near: NDArray[Any]
    """(m, 3): end towards the root."""
    far: NDArray[Any]
    """(m, 3)"""
    length: NDArray[Any]
    parent: NDArray[Any]
    left: NDArray[Any]
    right: NDArray[Any]
    tree: NDArray[Any]
    terminals: NDArray[Any]
    """Terminals downstream."""
    resistance: NDArray[Any]
    volume: NDArray[Any]
    unit: NDArray[Any]
    """Radius over count^(1/g) at the last `refresh`; of what is only avoided: its radius."""
    constant: NDArray[Any]
    """(k,): C of each tree."""
    swell: NDArray[Any]
    """(k,): by how much radii of a tree will at most grow until it is finished."""
    used: NDArray[Any]
    """(1,): segments in use."""


def empty_trees(trees: int, capacity: int) -> Trees:
    """Room for `capacity` segments; nothing in use."""

    def whole() -> NDArray[np.int32]:
        return np.full(capacity, -1, dtype=np.int32)

    def real() -> NDArray[np.float64]:
        return np.zeros(capacity, dtype=np.float64)

    points = np.zeros((2, capacity, 3), dtype=np.float64)
    return Trees(
        points[0], points[1], real(), whole(), whole(), whole(), whole(), np.zeros(capacity, dtype=np.int32),
        real(), real(), real(), np.zeros(trees), np.ones(trees), np.zeros(1, dtype=np.int64),
    )  # fmt: skip


@kernel
def ratios(
    count_left: float, resistance_left: float, count_right: float, resistance_right: float, exponent: float
) -> tuple[float, float]:
    """Radii of two children over that of their parent: (b_left, b_right)."""
    rho = math.sqrt(math.sqrt((count_left * resistance_left) / (count_right * resistance_right)))
    if exponent == 3.0:
        right = 1.0 / np.cbrt(1.0 + rho * rho * rho)
    else:
        right = (1.0 + rho**exponent) ** (-1.0 / exponent)
    return rho * right, right


@kernel
def _joined(
    length: float, n_l: float, r_l: float, v_l: float, n_r: float, r_r: float, v_r: float, exponent: float
) -> tuple[float, float]:
    """R and V of a segment from those of its children."""
    left, right = ratios(n_l, r_l, n_r, r_r, exponent)
    left, right = left * left, right * right
    return length + 1.0 / (left * left / r_l + right * right / r_r), length + left * v_l + right * v_r


@kernel
def root_cost(trees: Trees, tree: int) -> float:
    """Volume of a tree over pi, in um^3."""
    return math.sqrt(trees.constant[tree] * trees.resistance[tree] * trees.terminals[tree]) * trees.volume[tree]


@kernel
def walk_cost(trees: Trees, at: int, upper: float, lower: float, branch: float, exponent: float) -> float:
    """Volume over pi of the tree of segment `at`, were a terminal joined to it.

    `upper` is the length of the segment before the joint, `lower` of what goes on to the old end, `branch` that to
    the terminal.
    """
    trimmed = lower - trees.length[at]
    count = trees.terminals[at] + 1.0
    resistance, volume = _joined(
        upper,
        count - 1.0,
        trees.resistance[at] + trimmed,
        trees.volume[at] + trimmed,
        1.0,
        branch,
        branch,
        exponent,
    )
    child = at
    above: int = trees.parent[at]
    while trees.right[above] >= 0:
        other: int = trees.left[above] if trees.right[above] == child else trees.right[above]
        n = float(trees.terminals[other])
        resistance, volume = _joined(
            trees.length[above],
            count,
            resistance,
            volume,
            n,
            trees.resistance[other],
            trees.volume[other],
            exponent,
        )
        count += n
        child, above = above, trees.parent[above]
    resistance += trees.length[above]
    volume += trees.length[above]
    return math.sqrt(trees.constant[trees.tree[at]] * resistance * count) * volume


@kernel
def _span(trees: Trees, j: int) -> float:
    """Length of a segment by its points."""
    x = trees.far[j, 0] - trees.near[j, 0]
    y = trees.far[j, 1] - trees.near[j, 1]
    z = trees.far[j, 2] - trees.near[j, 2]
    return math.sqrt(x * x + y * y + z * z)


@kernel
def _sum_up(trees: Trees, j: int, exponent: float) -> None:
    """Make R, V and count of a segment from those of its children; of a leaf, from its length."""
    one: int = trees.left[j]
    two: int = trees.right[j]
    if one < 0:
        trees.terminals[j] = 1
        trees.resistance[j] = trees.length[j]
        trees.volume[j] = trees.length[j]
    elif two < 0:
        trees.terminals[j] = trees.terminals[one]
        trees.resistance[j] = trees.length[j] + trees.resistance[one]
        trees.volume[j] = trees.length[j] + trees.volume[one]
    else:
        trees.terminals[j] = trees.terminals[one] + trees.terminals[two]
        trees.resistance[j], trees.volume[j] = _joined(
            trees.length[j],
            float(trees.terminals[one]), trees.resistance[one], trees.volume[one],
            float(trees.terminals[two]), trees.resistance[two], trees.volume[two],
            exponent,
        )  # fmt: skip


@kernel
def update_above(trees: Trees, child: int, exponent: float) -> None:
    """Make R, V and counts of all ancestors of `child` anew."""
    above: int = trees.parent[child]
    while above >= 0:
        _sum_up(trees, above, exponent)
        above = trees.parent[above]


@kernel
def attach(
    trees: Trees, at: int, joint: NDArray[np.float64], terminal: NDArray[np.float64], exponent: float
) -> int:
    """Join a terminal to segment `at` by a joint; returns the number of its segment.

    `at` keeps its far end and children; the number returned is that of the new leaf, the one before it that of the
    new segment between the near end of `at` and the joint.
    """
    above = trees.used[0]
    leaf = above + 1
    trees.used[0] += 2
    parent = trees.parent[at]
    for axis in range(3):
        trees.near[above, axis] = trees.near[at, axis]
        trees.far[above, axis] = joint[axis]
        trees.near[at, axis] = joint[axis]
        trees.near[leaf, axis] = joint[axis]
        trees.far[leaf, axis] = terminal[axis]
    trees.parent[above], trees.parent[at], trees.parent[leaf] = parent, above, above
    trees.left[above], trees.right[above] = at, leaf
    trees.left[leaf], trees.right[leaf] = -1, -1
    if trees.left[parent] == at:
        trees.left[parent] = above
    else:
        trees.right[parent] = above
    before = trees.length[at]
    for j in (above, at, leaf):
        trees.length[j] = _span(trees, j)
        trees.tree[j] = trees.tree[at]
        trees.unit[j] = trees.unit[at]
    trees.resistance[at] += trees.length[at] - before
    trees.volume[at] += trees.length[at] - before
    _sum_up(trees, leaf, exponent)
    update_above(trees, leaf, exponent)
    return leaf


@kernel
def refresh(trees: Trees, exponent: float, radius: NDArray[np.float64], stack: NDArray[np.int32]) -> None:
    """Radii of all growing segments into `radius` (m,), and their `unit` anew; `stack` (m,) is scratch."""
    for k in range(trees.constant.size):
        if trees.terminals[k] == 0:
            continue
        radius[k] = math.sqrt(math.sqrt(trees.constant[k] * trees.resistance[k] * trees.terminals[k]))
        stack[0] = k
        top = 1
        while top > 0:
            top -= 1
            j: int = stack[top]  # pyright: ignore[reportAssignmentType]
            trees.unit[j] = radius[j] / float(trees.terminals[j]) ** (1.0 / exponent)
            one: int = trees.left[j]
            two: int = trees.right[j]
            if one >= 0 and two < 0:
                radius[one] = radius[j]
                stack[top] = one
                top += 1
            elif one >= 0:
                b_one, b_two = ratios(
                    float(trees.terminals[one]), trees.resistance[one],
                    float(trees.terminals[two]), trees.resistance[two],
                    exponent,
                )  # fmt: skip
                radius[one], radius[two] = radius[j] * b_one, radius[j] * b_two
                stack[top], stack[top + 1] = one, two
                top += 2


@kernel
def detach(trees: Trees, leaf: int, exponent: float) -> bool:
    """Take a leaf away; its sibling goes on straight from where their parent began. False: it is a tree's last.

    The two segments that go have the count 0 and the tree -2 from here on.
    """
    above: int = trees.parent[leaf]
    if trees.right[above] < 0:
        return False
    kept: int = trees.left[above] if trees.right[above] == leaf else trees.right[above]
    parent: int = trees.parent[above]
    trees.parent[kept] = parent
    if trees.left[parent] == above:
        trees.left[parent] = kept
    else:
        trees.right[parent] = kept
    for axis in range(3):
        trees.near[kept, axis] = trees.near[above, axis]
    length = _span(trees, kept)
    trees.resistance[kept] += length - trees.length[kept]
    trees.volume[kept] += length - trees.length[kept]
    trees.length[kept] = length
    trees.terminals[leaf] = trees.terminals[above] = 0
    trees.tree[leaf] = trees.tree[above] = -2
    update_above(trees, kept, exponent)
    return True


@kernel
def rebuild(trees: Trees, exponent: float, stack: NDArray[np.int32]) -> None:
    """Lengths, R, V and counts of all growing segments from their points; `stack` (m,) is scratch."""
    for k in range(trees.constant.size):
        if trees.terminals[k] == 0:
            continue
        stack[0], top, bottom = k, 1, 0
        while bottom < top:
            j: int = stack[bottom]  # pyright: ignore[reportAssignmentType]
            bottom += 1
            for child in (trees.left[j], trees.right[j]):
                if child >= 0:
                    stack[top] = child
                    top += 1
        for at in range(top - 1, -1, -1):
            j = stack[at]
            trees.length[j] = _span(trees, j)
            _sum_up(trees, j, exponent)
