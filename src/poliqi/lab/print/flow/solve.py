"""Pressures and flows in a network: Poiseuille's law in each segment, Kirchhoff's at each point.

What holds the network from outside:

- A connected piece that has both an inlet and an outlet: all its ports are held at their pressures, and its flow is
  what comes out. A blind end carries no flow.
- A piece with ports of one role only (a tree that is not closed): its open ends share one pressure. It is
  `terminal_pressure_pa` where given, and otherwise the one at which the ports carry their designed flow.

The flow of the widest vessels is a small difference of large pressures: what rounding leaves over at each point is
carried along a tree of the widest vessels to where the network is held, so that every point balances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.flow.kirchhoff import balance, free_pressures, pieces
from poliqi.lab.print.network import Network, Port, Role

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.flow.fluid import Fluid

__all__ = ["Flow", "conductance_um3_s_pa", "solve_flow"]

_MOST_PA: Final = 1e9


@dataclass(frozen=True, slots=True)
class Flow:
    """Steady laminar flow through a network of n points, m segments and p ports.

    `pressure_pa` (n,); by segment (m,): `flow_um3_s`, positive from the first to the second point,
    `viscosity_pa_s`, `wall_shear_pa` (4 mu |Q|/(pi r^3)), `reynolds` (2 rho |Q|/(pi r mu)), `transit_s`
    (pi r^2 l/|Q|, inf without flow); `port_flow_um3_s` (p,), positive into the network.
    """

    pressure_pa: NDArray[np.float64]
    flow_um3_s: NDArray[np.float64]
    viscosity_pa_s: NDArray[np.float64]
    wall_shear_pa: NDArray[np.float64]
    reynolds: NDArray[np.float64]
    transit_s: NDArray[np.float64]
    port_flow_um3_s: NDArray[np.float64]


def conductance_um3_s_pa(network: Network, viscosity_pa_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Poiseuille's pi r^4/(8 mu l) of each segment, (m,)."""
    length = network.length_um
    if not bool(np.all(length > 0.0)):
        at = int(np.flatnonzero(length <= 0.0)[0])
        x, y, z = network.start_um[at].tolist()
        raise DataRefused(
            f"flow: segment {at} at ({x:.1f}, {y:.1f}, {z:.1f}) um has no length; join its two points"
        )
    return np.pi * network.radius_um**4 / (8.0 * viscosity_pa_s * length)


def solve_flow(network: Network, fluid: Fluid, *, terminal_pressure_pa: float | None = None) -> Flow:
    """Flow through all vessels; how ports and open ends are held stands above.

    Raises DataRefused for pressures that are not finite, two pressures at one point, pieces without a port or
    without a way out, vessels without length, and blood in vessels of 1.1 um or less; ConfigError for a terminal
    pressure that is none, or that no open end is held at.
    """
    viscosity = fluid.viscosity_of(network)
    g = conductance_um3_s_pa(network, viscosity)
    held = _hold(network, terminal_pressure_pa)
    return flow_from(network, fluid, viscosity, *_solved(network.segments, g, held))


def flow_from(
    network: Network,
    fluid: Fluid,
    viscosity_pa_s: NDArray[np.float64],
    pressure_pa: NDArray[np.float64],
    flow_um3_s: NDArray[np.float64],
) -> Flow:
    """What follows from pressures (n,), flows (m,) and viscosities (m,) that are known."""
    q = np.abs(flow_um3_s)
    r = network.radius_um
    with np.errstate(divide="ignore"):
        transit = np.pi * r**2 * network.length_um / q
    into = np.bincount(network.segments[:, 0], flow_um3_s, len(network.points_um)).astype(np.float64)
    into -= np.bincount(network.segments[:, 1], flow_um3_s, len(network.points_um))
    return Flow(
        pressure_pa=pressure_pa,
        flow_um3_s=flow_um3_s,
        viscosity_pa_s=viscosity_pa_s,
        wall_shear_pa=4.0 * viscosity_pa_s * q / (np.pi * r**3),
        reynolds=2e-12 * fluid.density_kg_m3 * q / (np.pi * r * viscosity_pa_s),
        transit_s=transit,
        port_flow_um3_s=into[np.array([port.node for port in network.ports], np.int64)],
    )


@dataclass(frozen=True, slots=True)
class _Held:
    """Points whose pressure is given, and open ends whose pressure is to be found.

    `pressure_pa` (n,), nan where it is not given; `tree` (n,): the open tree that a point belongs to, or -1;
    `ends` (n,): whether it is an end of that tree; `into_um3_s`: what flows into each open tree through its ports.
    """

    pressure_pa: NDArray[np.float64]
    tree: NDArray[np.int64]
    ends: NDArray[np.bool_]
    into_um3_s: NDArray[np.float64]


def _hold(network: Network, terminal_pressure_pa: float | None) -> _Held:
    if terminal_pressure_pa is not None and not abs(terminal_pressure_pa) <= _MOST_PA:
        raise ConfigError(
            f"flow: the terminal pressure is {terminal_pressure_pa} Pa; give a number within {_MOST_PA:g}"
        )
    given = _port_pressures(network)
    count, piece = pieces(network.segments, len(network.points_um))
    is_end = (network.degrees() == 1) & np.isnan(given)
    ends_of = np.bincount(piece[is_end], minlength=count)
    ports_of: list[list[Port]] = [[] for _ in range(count)]
    for port in network.ports:
        ports_of[int(piece[port.node])].append(port)
    into: list[float] = []
    tree_of = np.full(count, -1, np.int64)
    for k, ports in enumerate(ports_of):
        if len({port.role for port in ports}) > 1:
            continue
        if not ports or not ends_of[k]:
            x, y, z = network.points_um[np.flatnonzero(piece == k)[0]].tolist()
            lacking = "ports of one role and no open end" if ports else "no port"
            raise DataRefused(
                f"flow: the vessels around ({x:.1f}, {y:.1f}, {z:.1f}) um have {lacking}; "
                "connect them with an inlet and an outlet, or leave them out"
            )
        total = sum(port.flow_um3_s for port in ports)
        if terminal_pressure_pa is None and not 0.0 < total < np.inf:
            raise DataRefused(f"flow: an open tree's designed flow is {total} um^3/s; give its port a flow above 0")
        tree_of[k] = len(into)
        into.append(total if ports[0].role is Role.INLET else -total)
    tree = tree_of[piece]
    ends = is_end & (tree >= 0)
    if terminal_pressure_pa is not None:
        if not ends.any():
            raise ConfigError(
                f"flow: a terminal pressure of {terminal_pressure_pa:g} Pa has no effect on a closed network: its "
                "ports hold it; leave it out"
            )
        given[ends] = terminal_pressure_pa
        return _Held(given, np.full(len(given), -1, np.int64), np.zeros(len(given), np.bool_), np.zeros(0))
    return _Held(given, tree, ends, np.array(into, np.float64))


def _port_pressures(network: Network) -> NDArray[np.float64]:
    given = np.full(len(network.points_um), np.nan)
    for port in network.ports:
        if not abs(port.pressure_pa) <= _MOST_PA:
            raise DataRefused(
                f"flow: a port's pressure is {port.pressure_pa} Pa; give a number within {_MOST_PA:g}"
            )
        before = float(given[port.node])
        if not np.isnan(before) and before != port.pressure_pa:
            raise DataRefused(
                f"flow: point {port.node} is held at {before:g} and at {port.pressure_pa:g} Pa; give one pressure"
            )
        given[port.node] = port.pressure_pa
    return given


def _solved(
    segments: NDArray[np.int32], g: NDArray[np.float64], held: _Held
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pressures (n,) and flows (m,): once for the pressures given, once for 1 at open ends, then their sum."""
    level = float(np.nanmean(held.pressure_pa))
    x = np.stack([np.nan_to_num(held.pressure_pa - level), held.ends.astype(np.float64)], axis=1)
    is_free = np.isnan(held.pressure_pa) & ~held.ends
    size = int(is_free.sum())
    place = np.full(len(x), size, np.int64)
    place[is_free] = np.arange(size)
    first, second = segments.T
    a, b = place[first], place[second]
    x[is_free] = free_pressures(a, b, g, g[:, None] * x[first], g[:, None] * x[second], size)
    drop = g[:, None] * (x[first] - x[second])
    into = np.zeros((len(held.into_um3_s), 2))
    for end, sign in ((first, -1.0), (second, 1.0)):
        mine = held.ends[end]
        np.add.at(into, held.tree[end][mine], sign * drop[mine])
    found = np.append((held.into_um3_s - into[:, 0]) / into[:, 1], 0.0)
    pressure = x[:, 0] + found[held.tree] * x[:, 1]
    flow = g * (pressure[first] - pressure[second])
    balance(a, b, g, flow, size)
    return pressure + level, flow
