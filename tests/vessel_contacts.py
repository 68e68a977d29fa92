"""Contacts of vessels by their definition, slowly: for tests of the judge and of what grows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from poliqi.lab.print.network import Network

__all__ = ["contacts_by_definition"]

_PARTS = 61


def contacts_by_definition(network: Network, gap: float, slack: float = 0.0) -> set[tuple[int, int]]:
    """All pairs, on 61 points of each axis, with whole-graph shortest paths; `slack` (um) lets more count."""
    n = len(network.points_um)
    i, j = network.segments.T
    ways = dijkstra(coo_matrix((network.length_um, (i, j)), shape=(n, n)), directed=False)
    part = np.linspace(0.0, 1.0, _PARTS)
    found = set()
    for a, b in _near(network, gap + slack):
        thick = network.radius_um[a] + network.radius_um[b]
        p, q = (network.start_um[k] + part[:, None] * (network.end_um[k] - network.start_um[k]) for k in (a, b))
        apart = np.linalg.norm(p[:, None] - q[None], axis=2)
        if apart.min() > thick + gap + slack:
            continue
        between = ways[np.ix_(network.segments[a], network.segments[b])]
        s, t = (np.stack((part, 1.0 - part)) * network.length_um[k] for k in (a, b))
        path = (s[:, None, :, None] + between[:, :, None, None] + t[None, :, None, :]).min(axis=(0, 1))
        one_lumen = path < 3.0 * np.maximum(apart, thick) - slack
        if bool((~one_lumen & (apart < thick + gap + slack)).any()):
            found.add((a, b))
    return found


def _near(network: Network, gap: float) -> list[tuple[int, int]]:
    """Pairs whose balls around the middles, which hold them whole, come within the gap."""
    middle, reach = (network.start_um + network.end_um) / 2.0, network.length_um / 2.0 + network.radius_um
    pairs: list[tuple[int, int]] = []
    for a in range(len(middle) - 1):
        away: NDArray[np.float64] = np.linalg.norm(middle[a + 1 :] - middle[a], axis=1)
        pairs += [(a, a + 1 + int(b)) for b in np.flatnonzero(away < reach[a] + reach[a + 1 :] + gap)]
    return pairs
