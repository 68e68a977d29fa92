"""Veins to the arterial terminals, past arteries and capillaries: grown several times, what is lost drawn anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.print.closure.join import joined, points_at, with_obstacles
from poliqi.lab.print.closure.reach import Needs, Reach, reach_out
from poliqi.lab.print.flow.levels import levels_of
from poliqi.lab.print.growth.grow import grow_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from poliqi.lab.print.closure.plan import Plan
    from poliqi.lab.print.closure.settings import ClosureSettings
    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.network import Network

__all__ = ["Grown", "veins_to"]

_ENOUGH: Final = 1.02
_THICKEST: Final = 1.6
"""Radius of the thickest venous terminals over the median arterial one."""


@dataclass(frozen=True, slots=True)
class Grown:
    """Veins, and the arterial leaf segments (k,) that they serve through capillaries `reach` (k,)."""

    veins: Network
    leaf: NDArray[np.int64]
    far_um: NDArray[np.float64]
    radius_um: NDArray[np.float64]


def veins_to(
    domain: Domain,
    arteries: Network,
    free: Network,
    plan: Plan,
    closure: ClosureSettings,
    rng: np.random.Generator,
    progress: Callable[[int, int], None] | None,
) -> Grown:
    """The veins that reach most arterial terminals, of several tries."""
    leaf = levels_of(arteries).leaf_segment
    wanted = len(leaf) / (1.0 + closure.surplus)
    vein = float(np.median(arteries.radius_um[leaf]))
    needs = Needs(plan.veins.gap_um, plan.veins.wall_um, closure.shortest_um, closure.longest_um,
                  closure.capillary_radius_um, vein)  # fmt: skip
    there = with_obstacles(arteries, free.start_um, free.end_um, free.radius_um)
    reach = reach_out(domain, there, leaf, needs, rng)
    best: Grown | None = None
    reason = ""
    for turn in range(closure.tries):
        if not reach.found.any():
            break
        try:
            grown = _grown(domain, arteries, replace(plan, veins=replace(plan.veins, seed=plan.veins.seed + turn)),
                           leaf, reach, needs, progress)  # fmt: skip
        except DataRefused as refused:
            reason = str(refused)
            continue
        if best is None or len(grown.leaf) > len(best.leaf):
            best = grown
        if len(best.leaf) >= _ENOUGH * wanted or len(grown.leaf) == len(leaf):
            break
        if len(grown.leaf) > len(leaf) // 2:  # else the veins failed, not the places
            lost = np.flatnonzero(~np.isin(leaf, grown.leaf))
            reach = _redrawn(domain, arteries, grown, leaf, reach, lost, needs, rng)
    if best is None or not len(best.leaf):
        raise _nowhere(arteries, leaf, needs, reason)
    return best


def _grown(
    domain: Domain,
    arteries: Network,
    plan: Plan,
    leaf: NDArray[np.int64],
    reach: Reach,
    needs: Needs,
    progress: Callable[[int, int], None] | None,
) -> Grown:
    start = arteries.end_um[leaf][reach.found]
    far, radius, served = reach.far_um[reach.found], reach.radius_um[reach.found], leaf[reach.found]
    way = far - start
    length = np.linalg.norm(way, axis=1)
    free = _THICKEST * needs.vein + needs.gap + radius + 1.0  # left to the vein that ends here
    solid = length > free
    stop = start + way * (1.0 - free / length)[:, None]
    avoid = with_obstacles(arteries, start[solid], stop[solid], radius[solid])
    settings = replace(plan.veins, terminals=len(far), flow_um3_s=plan.each_um3_s * len(far))
    veins, reached = grow_to(domain, settings, far, avoid=avoid, progress=progress)
    return Grown(veins, served[reached], far[reached], radius[reached])


def _redrawn(
    domain: Domain,
    arteries: Network,
    grown: Grown,
    leaf: NDArray[np.int64],
    reach: Reach,
    lost: NDArray[np.int64],
    needs: Needs,
    rng: np.random.Generator,
) -> Reach:
    """New places for the terminals `lost`, beside the veins that were grown; the others stay."""
    there = joined(arteries, grown.veins, arteries.segments[grown.leaf, 1], points_at(grown.veins, grown.far_um),
                   grown.radius_um)  # fmt: skip
    again = reach_out(domain, there, leaf[lost], needs, rng)
    far, radius, found = reach.far_um.copy(), reach.radius_um.copy(), reach.found.copy()
    far[lost], radius[lost], found[lost] = again.far_um, again.radius_um, again.found
    return Reach(far, radius, found)


def _nowhere(arteries: Network, leaf: NDArray[np.int64], needs: Needs, reason: str) -> DataRefused:
    x, y, z = arteries.end_um[leaf[0]].tolist()
    return DataRefused(
        f"closure: no vein reaches any of {len(leaf)} arterial terminals, the first at ({x:.1f}, {y:.1f}, {z:.1f}) "
        f"um, by capillaries of {needs.shortest:g} to {needs.longest:g} um that keep {needs.gap:g} um from others; "
        f"lower the gap, allow longer capillaries, or grow fewer terminals{f' ({reason})' if reason else ''}"
    )
