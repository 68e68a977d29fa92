"""Arteries, capillaries, veins: one network through which everything flows from the inlets to the outlets.

1. Arteries are grown. 2. Each arterial terminal reaches out for a free place, the far end of its capillary. 3.
Veins are grown to these places, with arteries and capillaries in their way; a place that no vein reaches is
drawn anew, a few times. 4. What stays unreached, or comes too near to something, is cut back on both sides. 5.
Radii are balanced, so that every capillary carries the same flow at the pressures of the ports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.print.closure.join import cut_back, joined, points_at
from poliqi.lab.print.closure.plan import kept_free, planned
from poliqi.lab.print.closure.veins import Grown, veins_to
from poliqi.lab.print.flow.capillaries import capillary_chains
from poliqi.lab.print.flow.fluid import Fluid
from poliqi.lab.print.flow.kirchhoff import pieces
from poliqi.lab.print.flow.levels import levels_of
from poliqi.lab.print.flow.rebalance import rebalance
from poliqi.lab.print.growth.contacts import contacts
from poliqi.lab.print.growth.grow import grow
from poliqi.lab.print.growth.room import at_wall
from poliqi.lab.print.network import Kind, Network

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from poliqi.lab.print.closure.settings import ClosureSettings
    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.growth.settings import GrowthSettings

__all__ = ["close"]

_CUTS: Final = 12
_TOLERANCE: Final = 0.02
"""Of the distance to the wall: twice what `at_wall` asks more than it is told."""


def close(
    domain: Domain,
    growth: GrowthSettings,
    closure: ClosureSettings,
    *,
    fluid: Fluid | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Network:
    """One perfusable network with `growth.terminals` capillaries, less those that had to be left out.

    `growth` names inlets and outlets, with their pressures; its terminal pressure and pressure drop serve only
    where a port has none. The flow of a capillary is `growth.flow_um3_s` over the terminals, and stays so when
    terminals are left out: the ports tell what flows in all. Every segment lies on a way from an inlet to an
    outlet, lumens keep `growth.gap_um` and `growth.wall_um`, capillaries carry the same flow. `fluid` None: a
    medium of the growth's viscosity. Raises ConfigError for settings, DataRefused with number and place where this
    cannot be had.
    """
    fluid = Fluid(growth.viscosity_pa_s) if fluid is None else fluid
    plan = planned(growth, closure, fluid)
    free = kept_free(domain, plan)
    arteries = grow(domain, plan.arteries, avoid=free, progress=progress)
    rng = np.random.default_rng([growth.seed, 1])
    network = _joined(arteries, veins_to(domain, arteries, free, plan, closure, rng, progress))
    for _ in range(_CUTS):
        balanced = rebalance(
            network,
            fluid,
            exponent=growth.exponent,
            arterial_share=closure.arterial_share,
            flow_um3_s=plan.each_um3_s * int((network.kind == Kind.CAPILLARY).sum()),
            gap_um=None,
            lowest_um=growth.least_radius_um,
            largest_um=growth.largest_radius_um,
        )
        near, narrow = contacts(balanced, growth.gap_um), _at_wall(balanced, domain, growth.wall_um)
        spare = int((network.kind == Kind.CAPILLARY).sum()) - growth.terminals
        if len(near):
            network = _without(network, near.pairs.ravel(), least=True)
        elif len(narrow):
            network = _without(network, narrow)
        elif spare > 0:
            network = _without(network, _thinnest(balanced, spare))
        else:
            return _whole(balanced, growth, closure)
    raise DataRefused(
        "closure: vessels still come too near to each other or to the wall; lower the gap or the wall, "
        "or grow fewer terminals"
    )


def _at_wall(network: Network, domain: Domain, wall_um: float) -> NDArray[np.int64]:
    """Segments that came too near to the wall as their radii were balanced; those at ports lead through it."""
    found = np.zeros(len(network.segments), np.bool_)
    need = (1.0 - _TOLERANCE) * (network.radius_um + wall_um)
    at_wall(domain.field, network.start_um, network.end_um, need, found)
    return np.flatnonzero(found & ~np.isin(network.segments, [port.node for port in network.ports]).any(axis=1))


def _joined(arteries: Network, grown: Grown) -> Network:
    veins = points_at(grown.veins, grown.far_um)
    network = joined(
        arteries, grown.veins, arteries.segments[grown.leaf, 1].astype(np.int64), veins, grown.radius_um
    )
    leaf = levels_of(arteries).leaf_segment
    return cut_back(network, leaf[~np.isin(leaf, grown.leaf)])


def _without(network: Network, segments: NDArray[np.integer[Any]], *, least: bool = False) -> Network:
    """The network without the terminals that `segments` feed or drain.

    `least`: `segments` are pairs, one after the other; of each the one with fewer terminals goes.
    """
    order = levels_of(network)
    chains = capillary_chains(network, order)
    is_capillary = chains.chain >= 0
    if least:
        count = np.where(is_capillary, 1, order.terminals)
        one, other = segments[::2], segments[1::2]
        segments = np.where(count[one] <= count[other], one, other)
    bad = np.zeros(len(is_capillary), np.bool_)
    bad[segments] = True
    for level in order.levels[1:]:
        bad[level] |= bad[order.parent[level]]
    drop = bad[chains.artery] | bad[chains.vein]
    drop[chains.chain[bad & is_capillary]] = True
    if drop.all():
        raise DataRefused(
            "closure: no capillary keeps its distance from other vessels and the wall; lower the gap, the wall or "
            "the flow"
        )
    keep = np.ones(len(is_capillary), np.bool_)
    keep[is_capillary] = ~drop[chains.chain[is_capillary]]
    return cut_back(network, np.concatenate([chains.artery[drop], chains.vein[drop]]), keep)


def _thinnest(network: Network, many: int) -> NDArray[np.int64]:
    """Capillaries whose artery or vein is thinnest, one segment of each."""
    chains = capillary_chains(network, levels_of(network))
    width = np.minimum(network.radius_um[chains.artery], network.radius_um[chains.vein])
    return chains.artery[np.argsort(width, kind="stable")[:many]]


def _whole(network: Network, growth: GrowthSettings, closure: ClosureSettings) -> Network:
    """The network; DataRefused where it is not what was asked for."""
    count = int((network.kind == Kind.CAPILLARY).sum())
    left = growth.terminals - count
    if left > closure.most_left_out * growth.terminals:
        raise DataRefused(
            f"closure: {left} of {growth.terminals} terminals could not be joined, above most_left_out = "
            f"{closure.most_left_out:g}; lower the gap or the flow, allow longer capillaries, grow fewer "
            "terminals, or raise most_left_out"
        )
    found, piece = pieces(network.segments, len(network.points_um))
    if found > 1:
        smallest = int(np.argmin(np.bincount(piece)))
        x, y, z = network.points_um[np.flatnonzero(piece == smallest)[0]].tolist()
        raise DataRefused(
            f"closure: {found} networks that share no vessel, one around ({x:.1f}, {y:.1f}, {z:.1f}) um; "
            "move an inlet nearer to an outlet, or change the seed"
        )
    return network
