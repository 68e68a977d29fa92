"""Trees of a network put in order: which segment follows which, how many terminals lie below each.

Seen from its port, each segment of a tree has a near and a far point, whichever way its flow goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.print.network import Kind, Network

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Levels", "levels_of", "reduced"]


@dataclass(frozen=True, slots=True)
class Levels:
    """Trees of a network, from their ports outwards.

    `levels`: segments at 0, 1, 2 ... branchings from their port, each int64. By segment (m,): `parent`, -1 for a
    trunk and for capillaries; `terminals` below it, 0 for capillaries. `leaf_point` (k,) and `leaf_segment` (k,):
    the far ends without a further segment of their tree.
    """

    levels: tuple[NDArray[np.int64], ...]
    parent: NDArray[np.int64]
    terminals: NDArray[np.int64]
    leaf_point: NDArray[np.int64]
    leaf_segment: NDArray[np.int64]


def levels_of(network: Network) -> Levels:
    """Raises DataRefused, with the place, for arteries and veins that are not trees rooted at their ports."""
    kind = network.kind
    is_vein = kind == Kind.VEIN
    mine = np.flatnonzero(kind != Kind.CAPILLARY)
    near = np.where(is_vein, network.segments[:, 1], network.segments[:, 0]).astype(np.int64)
    far = np.where(is_vein, network.segments[:, 0], network.segments[:, 1]).astype(np.int64)
    owner = np.full(len(network.points_um), -1, np.int64)
    owner[far[mine]] = mine
    twice = mine[owner[far[mine]] != mine]
    if len(twice):
        raise DataRefused(
            f"flow: {_place(network, twice[0])} closes a loop of arteries or veins; only trees can be balanced"
        )
    parent = np.full(len(kind), -1, np.int64)
    parent[mine] = owner[near[mine]]
    roots = np.array([port.node for port in network.ports], np.int64)
    trunks = mine[parent[mine] < 0]
    stray = trunks[~np.isin(near[trunks], roots)]
    if len(stray):
        raise DataRefused(f"flow: {_place(network, stray[0])} hangs on no port; connect it or leave it out")
    children = mine[parent[mine] >= 0]
    order = children[np.argsort(parent[children], kind="stable")]
    first = np.searchsorted(parent[order], np.arange(len(kind)))
    count = np.bincount(parent[children], minlength=len(kind))
    levels: list[NDArray[np.int64]] = []
    at = trunks
    while len(at):
        levels.append(at)
        many = count[at]
        starts = np.repeat(first[at] - np.concatenate([[0], np.cumsum(many)[:-1]]), many)
        at = order[starts + np.arange(int(many.sum()))]
    if sum(map(len, levels)) != len(mine):
        seen = np.zeros(len(kind), np.bool_)
        seen[np.concatenate(levels) if levels else []] = True
        raise DataRefused(f"flow: {_place(network, mine[~seen[mine]][0])} lies on a ring without a port")
    leaf = mine[count[mine] == 0]
    terminals = np.zeros(len(kind), np.int64)
    terminals[leaf] = 1
    for level in levels[:0:-1]:
        np.add.at(terminals, parent[level], terminals[level])
    return Levels(tuple(levels), parent, terminals, far[leaf], leaf)


def reduced(
    order: Levels, own: NDArray[np.float64], exponent: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Radii over that of the trunk, and reduced resistances R, with which all terminals get the same flow, (m,)
    each.

    `own`: mu l of each segment. The pressure over a subtree is 8 Q R/(pi r^4), r and Q of its first segment.
    """
    resistance = own.copy()
    share = np.ones(len(own))
    for level in order.levels[:0:-1]:
        upper, at = np.unique(order.parent[level], return_inverse=True)
        wish = (order.terminals[level] * resistance[level]) ** 0.25
        share[level] = wish / (np.bincount(at, wish**exponent) ** (1.0 / exponent))[at]
        resistance[upper] = own[upper] + 1.0 / np.bincount(at, share[level] ** 4 / resistance[level])
    relative = np.ones(len(own))
    for level in order.levels[1:]:
        relative[level] = relative[order.parent[level]] * share[level]
    return relative, resistance


def _place(network: Network, segment: int) -> str:
    x, y, z = network.start_um[segment].tolist()
    return f"segment {segment} at ({x:.1f}, {y:.1f}, {z:.1f}) um"
