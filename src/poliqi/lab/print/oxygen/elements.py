"""Vessels cut into pieces about as long as a cell, numbered along the flow, segments in the order of pressure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.flow.solve import Flow
    from poliqi.lab.print.network import Network

__all__ = ["MOST_ELEMENTS", "Elements", "elements_of"]

MOST_ELEMENTS: Final = 20_000_000


@dataclass(frozen=True, slots=True)
class Elements:
    """Pieces of vessels in units of cells: the first cell's centre is at (1, 1, 1).

    By segment (m,), in the order in which the fluid comes: `segment` (its number in the network), `up` and `down`
    (points), `first` (m + 1,) element, `flow` (Q/(D h)), `radius`; `start` and `end` (m, 3) along the flow.
    `owner` (e,): place of an element's segment in that order. `source` (n,): what flows in at a point from outside.
    """

    segment: NDArray[np.int64]
    up: NDArray[np.int64]
    down: NDArray[np.int64]
    first: NDArray[np.int64]
    flow: NDArray[np.float64]
    radius: NDArray[np.float64]
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    owner: NDArray[np.int64]
    source: NDArray[np.float64]

    @property
    def count(self) -> int:
        """How many elements."""
        return int(self.first[-1])

    @property
    def length(self) -> NDArray[np.float64]:
        """Of the pieces of each segment, (m,), in cells."""
        return np.linalg.norm(self.end - self.start, axis=1) / np.diff(self.first)

    @property
    def middle(self) -> NDArray[np.float64]:
        """Of each element, (e, 3), in cells."""
        share = (np.arange(self.count) - self.first[self.owner] + 0.5) / np.diff(self.first)[self.owner]
        return self.start[self.owner] + share[:, None] * (self.end - self.start)[self.owner]


def elements_of(
    network: Network, flow: Flow, low_um: NDArray[np.float64], spacing_um: float, diffusivity_m2_s: float
) -> Elements:
    """Pieces of all vessels on a grid. Raises ConfigError for too many."""
    q = np.asarray(flow.flow_um3_s, np.float64)
    forward = q >= 0
    a = np.where(forward, network.segments[:, 0], network.segments[:, 1]).astype(np.int64)
    b = np.where(forward, network.segments[:, 1], network.segments[:, 0]).astype(np.int64)
    order = np.argsort(-np.asarray(flow.pressure_pa)[a], kind="stable")
    a, b = a[order], b[order]
    points = (network.points_um - low_um) / spacing_um + 0.5
    length = np.linalg.norm(points[b] - points[a], axis=1)
    pieces = np.maximum(np.ceil(length - 1e-9), 1).astype(np.int64)
    if pieces.sum() > MOST_ELEMENTS:
        raise ConfigError(
            f"oxygen: vessels are {pieces.sum()} pieces of {spacing_um:g} um; the limit is {MOST_ELEMENTS}: "
            "take a wider spacing"
        )
    first = np.concatenate([[0], np.cumsum(pieces)])
    scaled = np.abs(q[order]) * 1e-18 / (diffusivity_m2_s * spacing_um * 1e-6)
    n = len(network.points_um)
    source: NDArray[np.float64] = np.bincount(a, scaled, n).astype(np.float64)
    source -= np.bincount(b, scaled, n)
    source[source < 1e-9 * max(float(scaled.max()), 1e-300)] = 0.0
    return Elements(
        order,
        a,
        b,
        first.astype(np.int64),
        scaled,
        network.radius_um[order] / spacing_um,
        points[a],
        points[b],
        np.repeat(np.arange(len(order)), pieces),
        source,
    )
