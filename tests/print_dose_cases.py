"""Networks and exposures that the tests of the dose share."""

from __future__ import annotations

import numpy as np

from poliqi.lab.print.dose.exposure import Exposure
from poliqi.lab.print.hatch.settings import Mode
from poliqi.lab.print.network import Network
from poliqi.lab.print.profile import Action

W_XY, W_Z = 0.2196, 1.0969  # NA 0.8 in water at 780 nm


def network(points: list[list[float]], segments: list[list[int]], radius: list[float]) -> Network:
    count = len(segments)
    return Network(
        np.array(points, dtype=np.float64),
        np.array(segments, dtype=np.int32),
        np.array(radius, dtype=np.float64),
        np.zeros(count, dtype=np.uint8),
        np.full(count, -1, dtype=np.int32),
        (),
    )


def rod(start: list[float], end: list[float], radius: float) -> Network:
    return network([start, end], [[0, 1]], [radius])


def bush(seed: int) -> Network:
    """A trunk that branches into two, and one of those into two again, turned at random; none touches another."""
    rng = np.random.default_rng(seed)
    points = np.array(
        [[-50, 0.13, 0.2], [0, 3, 7], [40, 20, 10], [45, -20, -3], [70, 40, 12], [70, 10, 40]], dtype=np.float64
    )
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    radius = np.array([5.0, 4.0, 4.0, 3.2, 3.2]) * rng.uniform(0.7, 1.3)
    segments = [[0, 1], [1, 2], [1, 3], [2, 4], [2, 5]]
    return network((points @ turn).tolist(), segments, radius.tolist())


def exposure(
    threshold: float = 0.5,
    mode: Mode = Mode.SOLID,
    *,
    hatch: float = 0.35,
    layer: float = 1.0,
    wall: float = 6.0,
    w_xy: float = W_XY,
    w_z: float = W_Z,
    power: float = 25.0,
) -> Exposure:
    action = Action.DEGRADE if mode is Mode.LUMEN else Action.SOLIDIFY
    return Exposure(w_xy, w_z, hatch, layer, (-150.0, -150.0, -150.0), mode, action, threshold, wall, power)
