"""Whether every lumen can be washed out and perfused: connected to a port, without dead ends, open at its ports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.sparse import coo_array, csgraph

from poliqi.lab.print.export.nearpairs import Pairs, near_pairs
from poliqi.lab.print.network import Role
from poliqi.lab.print.printability.machine import place_of
from poliqi.lab.print.printability.problem import Flaw, Problem, Severity
from poliqi.lab.print.profile import Action

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.network import Network
    from poliqi.lab.print.printability.check import Settings
    from poliqi.lab.print.profile import Profile

__all__ = ["check_channels", "components", "dead_length_um"]

_DIFFUSION_UM2_S: Final = 100.0
"""Assumed for a monomer in its solvent."""


def components(network: Network, touching: Pairs) -> NDArray[np.int32]:
    """The connected lumen that each segment belongs to, (m,): by shared points, and where surfaces overlap."""
    n = len(network.points_um)
    nodes = np.concatenate([network.segments[:, 0], network.segments[:, 0], network.segments[touching.first, 0]])
    others = np.concatenate([network.segments[:, 0], network.segments[:, 1], network.segments[touching.second, 0]])
    graph = coo_array((np.ones(len(nodes), dtype=np.int8), (nodes, others)), shape=(n, n))
    library: Any = csgraph  # its annotations are partial
    found = library.connected_components(graph, directed=False)
    label: NDArray[np.int32] = found[1]
    return label[network.segments[:, 0]]


def check_channels(domain: Domain, network: Network, profile: Profile, settings: Settings) -> list[Problem]:
    """Trapped resin, dead ends, ports that do not reach the surface."""
    del settings
    touching = near_pairs(network, 0.0)
    label = components(network, touching)
    of_port = _labels_of(network, [port.node for port in network.ports], label)
    return [
        *_trapped(network, label, of_port, profile),
        *_dead_ends(domain, network, touching, label, of_port),
        *_closed_ports(domain, network),
    ]


def _labels_of(network: Network, nodes: list[int], label: NDArray[np.int32]) -> NDArray[np.int32]:
    of_point = np.zeros(len(network.points_um), dtype=np.int32)
    of_point[network.segments[:, 0]] = label
    of_point[network.segments[:, 1]] = label
    return of_point[np.asarray(nodes, dtype=np.int64)]


def _trapped(
    network: Network, label: NDArray[np.int32], of_port: NDArray[np.int32], profile: Profile
) -> list[Problem]:
    """Lumens without a port: what is liquid in them stays."""
    lost = ~np.isin(label, of_port)
    if not lost.any():
        return []
    names, first, counts = np.unique(label[lost], return_index=True, return_counts=True)
    at = np.flatnonzero(lost)[first[counts.argmax()]]
    wet = float((np.pi * network.radius_um**2 * network.length_um)[lost].sum())
    liquid = "resin" if profile.material.action is Action.SOLIDIFY else "degraded gel"
    return [
        Problem(
            Severity.REFUSE,
            Flaw.TRAPPED_RESIN,
            wet,
            0.0,
            place_of(network.points_um[network.segments[at, 0]]),
            "connect these vessels to a port, or leave them out",
            len(names),
            "um3",
            f"{liquid} in {int(lost.sum())} vessels that no port is connected to",
        )
    ]


def dead_length_um(network: Network, alive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Length from each point to the place where flow passes, (n,): 0 on the way between points that are `alive`.

    Branches are taken off from their ends; `alive` (n,) are points that are open, such as ports.
    """
    a, b = network.segments[:, 0].astype(np.int64), network.segments[:, 1].astype(np.int64)
    left = np.ones(len(a), dtype=bool)
    depth = np.zeros(len(network.points_um))
    owner: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    while True:
        degree = np.bincount(a[left], minlength=len(alive)) + np.bincount(b[left], minlength=len(alive))
        ends = (degree == 1) & ~alive
        drop = left & (ends[a] | ends[b])
        if not drop.any():
            break
        child = np.where(ends[a[drop]], a[drop], b[drop])
        owner.append((child, a[drop] + b[drop] - child, network.length_um[drop]))
        left &= ~drop
    for child, parent, length in reversed(owner):
        depth[child] = depth[parent] + length
    return depth


def _dead_ends(
    domain: Domain,
    network: Network,
    touching: Pairs,
    label: NDArray[np.int32],
    of_port: NDArray[np.int32],
) -> list[Problem]:
    """Ends that nothing flows through. Refused where the lumen has an inlet and an outlet, else a caution."""
    degree = network.degrees()
    end = np.zeros(len(degree), dtype=bool)
    end[network.segments.ravel()] = degree[network.segments.ravel()] == 1
    at_end = np.zeros(len(degree))
    np.maximum.at(at_end, network.segments.ravel(), np.repeat(network.radius_um, 2))
    alive = np.zeros(len(degree), dtype=bool)
    alive[[port.node for port in network.ports]] = True
    alive |= end & (domain.clearance_um(network.points_um) < at_end)  # open at the surface
    alive[_met(network, touching)] = True
    depth = dead_length_um(network, alive)
    point_label = _labels_of(network, list(range(len(degree))), label)
    roles = {
        name: {port.role for port, one in zip(network.ports, of_port, strict=True) if one == name}
        for name in set(of_port.tolist())
    }
    closed = [name for name, have in roles.items() if have == {Role.INLET, Role.OUTLET}]
    found: list[Problem] = []
    served = np.isin(point_label, of_port)
    for is_closed, severity in ((True, Severity.REFUSE), (False, Severity.CAUTION)):
        dead = end & ~alive & served & (depth > 0.0) & (np.isin(point_label, closed) == is_closed)
        if dead.any():
            worst = int(np.where(dead, depth, -1.0).argmax())
            found.append(_dead(network, severity, worst, float(depth[worst]), int(dead.sum())))
    return found


def _met(network: Network, touching: Pairs) -> NDArray[np.int64]:
    """Points of segments that overlap without sharing a point or a neighbour: there the lumens are open to each
    other.
    """
    first, second = network.segments[touching.first], network.segments[touching.second]
    shared = (first[:, :, None] == second[:, None, :]).any(axis=(1, 2))
    apart = ~shared
    found: list[NDArray[np.int64]] = []
    degree = network.degrees()
    for ends, at in ((first, touching.at_first), (second, touching.at_second)):
        for side in (0, 1):
            points = ends[apart, side].astype(np.int64)
            near = (at[apart] < 1e-9) if side == 0 else (at[apart] > 1.0 - 1e-9)
            found.append(points[near & (degree[points] == 1)])
    return np.unique(np.concatenate(found))


def _dead(network: Network, severity: Severity, point: int, length: float, count: int) -> Problem:
    hours = length**2 / _DIFFUSION_UM2_S / 3600.0
    remedy = (
        "connect the end to a vein, or leave the branch out"
        if severity is Severity.REFUSE
        else "close the design with outlets, or wash it out by diffusion"
    )
    return Problem(
        severity,
        Flaw.DEAD_END,
        length,
        0.0,
        place_of(network.points_um[point]),
        remedy,
        count,
        "um",
        f"length without flow; diffusion alone takes about {hours:.2g} h at 1e-10 m2/s, assumed",
    )


def _closed_ports(domain: Domain, network: Network) -> list[Problem]:
    """Ports whose end sphere does not reach the domain's surface."""
    if not network.ports:
        return []
    nodes = np.array([port.node for port in network.ports])
    reach = np.zeros(len(network.points_um))
    np.maximum.at(reach, network.segments.ravel(), np.repeat(network.radius_um, 2))
    cover = domain.clearance_um(network.points_um[nodes]) - reach[nodes]
    closed = cover >= 0.0
    if not closed.any():
        return []
    worst = int(np.where(closed, cover, -np.inf).argmax())
    return [
        Problem(
            Severity.CAUTION,
            Flaw.CLOSED_PORT,
            float(cover[worst]),
            0.0,
            place_of(network.points_um[nodes[worst]]),
            "set the port on the surface, or open it with a needle",
            int(closed.sum()),
            "um",
            "of tissue in front of the opening",
        )
    ]
