"""The end of growth: joints relaxed, contacts looked for, offending terminals drawn anew until there are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.lab.print.growth.contacts import contacts
from poliqi.lab.print.growth.growing import Frozen, Growing
from poliqi.lab.print.growth.reduced import detach, rebuild, refresh
from poliqi.lab.print.growth.relax import relax
from poliqi.lab.print.growth.room import at_wall
from poliqi.lab.print.network import Network, Role

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["finish", "offenders", "relax_all", "take_away"]

_ROUNDS: Final = 12
_SWEEPS: Final = 3
_SLACK: Final = 0.03
"""How much more gap and wall are asked for with each round of mending."""
_PART: Final = 4096
_LARGEST: Final = 0.1
"""Part of all terminals that may be taken away because of one contact; more is a start that failed."""


def finish(
    growing: Growing,
    final: dict[Role, int],
    avoid: Network | None,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Relax, judge and mend until no vessel is in contact and none is nearer to the wall than asked. Raises
    Frozen.
    """
    relax_all(growing, final, _SWEEPS)
    for turn in range(_ROUNDS):
        wrong = offenders(growing, avoid)
        if not len(wrong):
            return
        growing.slack = _SLACK * (turn + 1)
        take_away(growing, wrong)
        for role, goal in final.items():
            growing.grow_role(role, goal, final, progress)
    raise Frozen(f"after {_ROUNDS} rounds of mending vessels are still in contact or at the wall")


def relax_all(growing: Growing, final: dict[Role, int], sweeps: int) -> None:
    """Move all joints to less volume, several times over."""
    trees, settings = growing.trees, growing.settings
    for _ in range(sweeps):
        cells = growing.prepare(final)
        for begin in range(growing.first, int(trees.used[0]), _PART):
            relax(
                cells, trees, growing.domain.field, growing.first, begin, begin + _PART, growing.radius,
                growing.wall_um, growing.gap_um, settings.exponent, growing.work,
            )  # fmt: skip
        rebuild(trees, settings.exponent, growing.stack)


def offenders(growing: Growing, avoid: Network | None) -> NDArray[np.int64]:
    """Segments to be taken away: the one with fewer terminals of each pair in contact, and those at the wall."""
    from poliqi.lab.print.growth.grow import live_segments, network_of

    trees, settings = growing.trees, growing.settings
    network = network_of(growing)
    live = live_segments(growing)
    many = np.concatenate((trees.terminals[live], np.full(0 if avoid is None else len(avoid.segments), 2**31 - 1)))
    many[: len(settings.inlets)] = 2**31 - 1
    judged = contacts(network if avoid is None else _together(network, avoid), settings.gap_um)
    pairs = judged.pairs[(judged.pairs < len(live)).any(axis=1)]
    worse = np.where(many[pairs[:, 0]] <= many[pairs[:, 1]], pairs[:, 0], pairs[:, 1])
    narrow = np.zeros(len(live), dtype=np.bool_)
    at_wall(growing.domain.field, network.start_um, network.end_um, network.radius_um + settings.wall_um, narrow)
    narrow[: len(settings.inlets)] = False
    bad = np.unique(np.concatenate((worse, np.nonzero(narrow)[0])))
    limit = max(8, _LARGEST * int(trees.terminals[: len(settings.inlets)].sum()))
    if len(bad) and int(many[bad].max()) > limit:
        raise Frozen(f"a vessel that feeds {int(many[bad].max())} terminals came into contact or too near the wall")
    return live[bad]


def take_away(growing: Growing, segments: NDArray[np.int64]) -> None:
    """All terminals below segments, and what only they need."""
    trees, exponent = growing.trees, growing.settings.exponent
    for segment in segments.tolist():
        stack: list[int] = [segment]
        leaves: list[int] = []
        while stack:
            j = stack.pop()
            below = [int(child) for child in (trees.left[j], trees.right[j]) if child >= 0]
            stack += below
            if not below and trees.terminals[j] == 1:
                leaves.append(j)
        for leaf in leaves:
            if not detach(trees, leaf, exponent):
                raise Frozen("the only terminal of a tree came into contact")
    _compact(growing)
    rebuild(trees, exponent, growing.stack)
    refresh(trees, exponent, growing.radius, growing.stack)


def _compact(growing: Growing) -> None:
    """Close the holes that segments left in the arrays."""
    trees = growing.trees
    used = int(trees.used[0])
    kept = np.nonzero(trees.tree[:used] != -2)[0]
    number = np.full(used + 1, -1, dtype=np.int32)
    number[kept] = np.arange(len(kept))
    for array in (
        trees.near,
        trees.far,
        trees.length,
        trees.terminals,
        trees.resistance,
        trees.volume,
        trees.unit,
        trees.tree,
    ):
        array[: len(kept)] = array[kept]
    for array in (trees.parent, trees.left, trees.right):
        array[: len(kept)] = number[array[kept]]
        array[len(kept) : used] = -1
    trees.terminals[len(kept) : used] = 0
    trees.used[0] = len(kept)


def _together(network: Network, avoid: Network) -> Network:
    """Both in one, what is to be avoided last."""
    return Network(
        np.concatenate((network.points_um, avoid.points_um)),
        np.concatenate((network.segments, avoid.segments + np.int32(len(network.points_um)))).astype(np.int32),
        np.concatenate((network.radius_um, avoid.radius_um)),
        np.concatenate((network.kind, avoid.kind)),
        np.concatenate((network.tree, np.full(len(avoid.segments), -1, dtype=np.int32))),
        network.ports,
    )
