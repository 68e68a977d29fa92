"""Networks put together and cut back: arteries, veins and capillaries into one, and out again what leads
nowhere.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.print.flow.levels import levels_of
from poliqi.lab.print.network import Kind, Network

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["cut_back", "joined", "kept_segments", "points_at", "with_obstacles"]


def joined(
    arteries: Network,
    veins: Network,
    artery_points: NDArray[np.int64],
    vein_points: NDArray[np.int64],
    radius_um: NDArray[np.float64],
) -> Network:
    """One network: capillary k goes from point `artery_points[k]` of the arteries to `vein_points[k]` of the
    veins.
    """
    n, p = len(arteries.points_um), len(arteries.ports)
    capillaries = np.stack([artery_points, vein_points + n], axis=1)
    return Network(
        np.concatenate([arteries.points_um, veins.points_um]),
        np.concatenate([arteries.segments, veins.segments + n, capillaries]).astype(np.int32),
        np.concatenate([arteries.radius_um, veins.radius_um, radius_um]),
        np.concatenate([arteries.kind, veins.kind, np.full(len(radius_um), Kind.CAPILLARY, np.uint8)]),
        np.concatenate(
            [
                arteries.tree,
                np.where(veins.tree >= 0, veins.tree + p, -1),
                np.full(len(radius_um), -1),
            ]
        ).astype(np.int32),
        arteries.ports + tuple(replace(port, node=port.node + n) for port in veins.ports),
    )


def cut_back(network: Network, dead: NDArray[np.int64], keep: NDArray[np.bool_] | None = None) -> Network:
    """The network without the leaf segments `dead`, and without all that then leads nowhere; radii stay.

    `keep` (m,) tells which capillaries stay (None: all). Points where a branching was become points of a bent
    vessel. Raises DataRefused where a port would lose all.
    """
    order = levels_of(network)
    alive = np.zeros(len(network.segments), np.int64)
    alive[order.leaf_segment] = 1
    alive[dead] = 0
    for level in order.levels[:0:-1]:
        np.add.at(alive, order.parent[level], alive[level])
    stays = network.kind == Kind.CAPILLARY
    if keep is not None:
        stays &= keep
    return kept_segments(network, (alive > 0) | stays)


def kept_segments(network: Network, keep: NDArray[np.bool_]) -> Network:
    """The network of some of its segments; points are numbered anew."""
    used, segments = np.unique(network.segments[keep], return_inverse=True)
    at = np.full(len(network.points_um), -1, np.int64)
    at[used] = np.arange(len(used))
    for port in network.ports:
        if at[port.node] < 0:
            x, y, z = network.points_um[port.node].tolist()
            raise DataRefused(
                f"closure: nothing that hangs on the {port.role} at ({x:.1f}, {y:.1f}, {z:.1f}) um could be "
                "joined; move it, grow more terminals, or lower the gap"
            )
    return Network(
        network.points_um[used],
        segments.reshape(-1, 2).astype(np.int32),
        network.radius_um[keep],
        network.kind[keep],
        network.tree[keep],
        tuple(replace(port, node=int(at[port.node])) for port in network.ports),
    )


def with_obstacles(
    network: Network, start_um: NDArray[np.float64], end_um: NDArray[np.float64], radius_um: NDArray[np.float64]
) -> Network:
    """The network and loose capsules beside it, for growth to keep away from."""
    n, k = len(network.points_um), len(radius_um)
    if not k:
        return network
    loose = n + np.stack([np.arange(k), np.arange(k) + k], axis=1)
    return Network(
        np.concatenate([network.points_um, start_um, end_um]),
        np.concatenate([network.segments, loose]).astype(np.int32),
        np.concatenate([network.radius_um, radius_um]),
        np.concatenate([network.kind, np.full(k, Kind.CAPILLARY, np.uint8)]),
        np.concatenate([network.tree, np.full(k, -1)]).astype(np.int32),
        network.ports,
    )


def points_at(network: Network, places_um: NDArray[np.float64]) -> NDArray[np.int64]:
    """The point of a network at each of these places (k, 3), equal to the last bit."""
    at = {place.tobytes(): k for k, place in enumerate(network.points_um)}
    return np.array([at[place.tobytes()] for place in np.ascontiguousarray(places_um)], np.int64)
