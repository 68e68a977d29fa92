"""Radii with which every terminal, or every capillary, gets the same flow.

Trees by Karch's reduced recurrences (Karch et al., Comput. Biol. Med. 29 (1999) 19), with a viscosity of each
segment: R_j = mu_j l_j + 1/sum_c (b_c^4/R_c), b_c = r_c/r_j. Children of a branching share the flow as n_c,
their terminals, when r_c goes as (n_c R_c)^(1/4), and Murray's law r_j^g = sum r_c^g sets the scale. With
blood, mu follows the radii that come out, and the recurrences are repeated until nothing moves.

A closed network: capillary k, of length L_k, gets the radius at which mu L/r^4 is the same for all. Then all
arterial ends have one pressure and all venous ends another, trees stay free of each other, and flows are equal
exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.flow.capillaries import Chains, capillary_chains, capillary_radii
from poliqi.lab.print.flow.levels import Levels, levels_of, reduced
from poliqi.lab.print.network import Kind, Network, Port, Role

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.flow.fluid import Fluid
    from poliqi.lab.print.flow.solve import Flow

__all__ = ["flow_cv", "rebalance", "terminal_flows"]

_MOST_ROUNDS: Final = 200
_STILL: Final = 1e-13
_STEADY: Final = 1e-9
_MOST_IN_CAPILLARIES: Final = 0.95


def terminal_flows(network: Network, flow: Flow) -> NDArray[np.float64]:
    """Flow in um^3/s of each terminal: of each capillary where there are any, else of each end of the trees."""
    if bool((network.kind == Kind.CAPILLARY).any()):
        chains = capillary_chains(network, levels_of(network))
        first = np.flatnonzero(chains.chain >= 0)
        _, at = np.unique(chains.chain[first], return_index=True)
        return np.abs(flow.flow_um3_s[first[at]])
    return np.abs(flow.flow_um3_s[levels_of(network).leaf_segment])


def flow_cv(network: Network, flow: Flow) -> float:
    """Standard deviation of the terminal flows over their mean."""
    flows = terminal_flows(network, flow)
    return float(flows.std() / flows.mean())


@dataclass(frozen=True, slots=True)
class _Goal:
    """What fixes the size of the trees: radius of each trunk, or pressure between each port and its terminals; flow
    of a terminal, of all trees or of each."""

    trunk_um: NDArray[np.float64]
    drop_pa: NDArray[np.float64] | None
    terminal_um3_s: float | NDArray[np.float64]


def rebalance(
    network: Network,
    fluid: Fluid,
    *,
    exponent: float = 3.0,
    flow_um3_s: float | None = None,
    arterial_share: float = 0.5,
    terminal_pressure_pa: float | None = None,
    gap_um: float | None = 0.0,
    lowest_um: float | None = None,
    largest_um: float | None = None,
) -> Network:
    """The network with radii that give every terminal (closed: every capillary) the same flow; Murray holds
    exactly.

    Open trees keep the radius of their trunk; with `terminal_pressure_pa` they get the radii at which their ports'
    designed flow takes the pressure between port and terminals. Closed networks get radii for `flow_um3_s`
    in all (None: the designed flow of their inlets) at the pressures of their ports; of the pressure that
    capillaries leave, arteries take `arterial_share`. `gap_um`, `lowest_um` and `largest_um` are checked on what
    comes out (None: not). Raises DataRefused, with number and place, where pressures, bounds or neighbours do not
    allow it.
    """
    order = levels_of(network)
    closed = bool((network.kind == Kind.CAPILLARY).any())
    fluid.viscosity_of(network)
    radius = network.radius_um.copy()
    if closed:
        if terminal_pressure_pa is not None:
            raise ConfigError("flow: terminal_pressure_pa sizes open trees; a closed network has none")
        chains = capillary_chains(network, order)
        mine = network.kind == Kind.CAPILLARY
        radius[mine] = _even_capillaries(network, chains, fluid)[chains.chain[mine]]
        goal = _closed_goal(network, order, chains, fluid.viscosity_in(radius), radius, flow_um3_s, arterial_share)
    else:
        if flow_um3_s is not None:
            raise ConfigError("flow: flow_um3_s sizes closed networks; an open tree has its port's flow")
        goal = _open_goal(network, order, terminal_pressure_pa)
    radius = _settled(network, order, fluid, radius, goal, exponent)
    balanced = replace(network, radius_um=radius, ports=_ports(network, order, goal))
    _check(network, balanced, gap_um, lowest_um, largest_um)
    return balanced


def _settled(
    network: Network, order: Levels, fluid: Fluid, radius: NDArray[np.float64], goal: _Goal, exponent: float
) -> NDArray[np.float64]:
    trunk_of = np.arange(len(radius))
    for level in order.levels[1:]:
        trunk_of[level] = trunk_of[order.parent[level]]
    trunks = order.levels[0]
    mine = order.terminals > 0
    change = 0.0
    for _ in range(_MOST_ROUNDS):
        viscosity = fluid.viscosity_in(np.maximum(radius, 0.56) if fluid.is_blood else radius)
        relative, resistance = reduced(order, viscosity * network.length_um, exponent)
        size = np.zeros(len(radius))
        size[trunks] = goal.trunk_um
        if goal.drop_pa is not None:
            flow = order.terminals[trunks] * goal.terminal_um3_s
            size[trunks] = (8.0 * flow * resistance[trunks] / (np.pi * goal.drop_pa)) ** 0.25
        after = np.where(mine, relative * size[trunk_of], radius)
        change = float(np.abs(after / radius - 1.0).max())
        radius = np.sqrt(after * radius) if fluid.is_blood and change > _STEADY else after
        if change < _STILL:
            break
    if change > _STEADY:
        raise DataRefused(
            f"flow: radii still change by {change:.2g} after {_MOST_ROUNDS} rounds; widen the narrowest vessels"
        )
    return radius


def _even_capillaries(network: Network, chains: Chains, fluid: Fluid) -> NDArray[np.float64]:
    """Radius of each chain: the narrowest stays, longer ones get the resistance that the shortest has."""
    narrowest = float(network.radius_um[chains.chain >= 0].min())
    return capillary_radii(chains.length_um, narrowest, float(chains.length_um.min()), fluid)


def _closed_goal(
    network: Network,
    order: Levels,
    chains: Chains,
    viscosity_pa_s: NDArray[np.float64],
    radius_um: NDArray[np.float64],
    flow_um3_s: float | None,
    arterial_share: float,
) -> _Goal:
    if not 0.0 < arterial_share < 1.0:
        raise ConfigError(f"flow: arterial_share = {arterial_share}; give a part between 0 and 1, mostly .5")
    inlets = [port for port in network.ports if port.role is Role.INLET]
    outlets = [port for port in network.ports if port.role is Role.OUTLET]
    total = sum(port.flow_um3_s for port in inlets) if flow_um3_s is None else flow_um3_s
    if not inlets or not outlets or not 0.0 < total < np.inf:
        raise DataRefused(
            f"flow: {len(inlets)} inlets, {len(outlets)} outlets, {total} um^3/s; a closed network needs all"
        )
    each = total / len(chains.length_um)
    first = int(np.flatnonzero(chains.chain == 0)[0])
    across = 8.0 * viscosity_pa_s[first] * float(chains.length_um[0]) * each / (np.pi * radius_um[first] ** 4)
    low = min(port.pressure_pa for port in inlets)
    high = max(port.pressure_pa for port in outlets)
    if not across <= _MOST_IN_CAPILLARIES * (low - high):
        raise DataRefused(
            f"flow: at {total:.4g} um^3/s the capillaries alone take {across:.4g} Pa of the {low - high:.4g} Pa "
            f"between inlets and outlets; at most {_MOST_IN_CAPILLARIES:.0%} may: "
            f"widen or shorten the capillaries (radius "
            f"{radius_um[first]:.3g} um), raise the pressure, or lower the flow"
        )
    left = low - high - across
    artery, vein = low - arterial_share * left, high + (1.0 - arterial_share) * left
    trunks = order.levels[0]
    at = {port.node: port.pressure_pa for port in network.ports}
    is_vein = network.kind[trunks] == Kind.VEIN
    ends = np.where(is_vein[:, None], network.segments[trunks][:, ::-1], network.segments[trunks])[:, 0]
    sign = np.where(is_vein, -1.0, 1.0)
    held = np.array([at[int(node)] for node in ends], np.float64)
    within = np.full(len(trunks), float(artery))
    within[is_vein] = float(vein)
    drop = sign * (held - within)
    return _Goal(network.radius_um[trunks], drop, each)


def _open_goal(network: Network, order: Levels, terminal_pressure_pa: float | None) -> _Goal:
    trunks = order.levels[0]
    if terminal_pressure_pa is None:
        return _Goal(network.radius_um[trunks], None, 0.0)
    at = {port.node: port for port in network.ports}
    is_vein = network.kind[trunks] == Kind.VEIN
    roots = network.segments[trunks, is_vein.astype(np.int64)].astype(np.int64)
    ports = [at[node] for node in roots.tolist()]
    drop = np.where(is_vein, -1.0, 1.0) * (np.array([port.pressure_pa for port in ports]) - terminal_pressure_pa)
    flow = np.array([port.flow_um3_s for port in ports])
    for wrong, said in ((~(drop > 0.0), drop), (~((flow > 0.0) & (flow < np.inf)), flow)):
        if wrong.any():
            what = "Pa between port and terminals" if said is drop else "um^3/s through its port"
            raise DataRefused(f"flow: an open tree has {said[wrong][0]:g} {what}; give a number above 0")
    terminals = np.bincount(roots, order.terminals[trunks])[roots]
    return _Goal(network.radius_um[trunks], drop, flow / terminals)


def _ports(network: Network, order: Levels, goal: _Goal) -> tuple[Port, ...]:
    if goal.drop_pa is None:
        return network.ports
    trunks = order.levels[0]
    flows = np.zeros(len(network.points_um))
    for end in network.segments[trunks].T:
        flows[end] += order.terminals[trunks] * goal.terminal_um3_s
    return tuple(replace(port, flow_um3_s=float(flows[port.node])) for port in network.ports)


def _check(
    before: Network, network: Network, gap_um: float | None, lowest_um: float | None, largest_um: float | None
) -> None:
    for bound, wrong, word in (
        (lowest_um, network.radius_um < (lowest_um or 0.0) * (1 - _STEADY), "below"),
        (largest_um, network.radius_um > (largest_um or np.inf) * (1 + _STEADY), "above"),
    ):
        at = np.flatnonzero(wrong)
        if bound is not None and len(at):
            worst = at[np.argmin(network.radius_um[at]) if word == "below" else np.argmax(network.radius_um[at])]
            x, y, z = network.start_um[worst].tolist()
            raise DataRefused(
                f"flow: balanced, {len(at)} vessels come out {word} the radius of {bound:g} um; the worst, "
                f"{network.radius_um[worst]:.3g} um (before: {before.radius_um[worst]:.3g}), at ({x:.1f}, {y:.1f}, "
                f"{z:.1f}) um; change the flow or the pressures, or set fewer terminals"
            )
    if gap_um is None:
        return
    from poliqi.lab.print.growth.contacts import contacts

    touching = contacts(network, gap_um)
    if len(touching.pairs):
        one, other = touching.pairs[0].tolist()
        x, y, z = touching.place_um[0].tolist()
        raise DataRefused(
            f"flow: balanced, {len(touching.pairs)} pairs of vessels come nearer than {gap_um:g} um, first {one} "
            f"and {other} at ({x:.1f}, {y:.1f}, {z:.1f}) um; grow with a wider gap, or balance for medium"
        )
