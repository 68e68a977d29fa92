"""Small networks in boxes for tests of pictures, reports and studies."""

from __future__ import annotations

import numpy as np

from poliqi.lab.print.domain.domain import Domain, box
from poliqi.lab.print.network import Kind, Network, Port, Role

__all__ = ["CUBE_UM", "cube", "thread", "y_network"]

CUBE_UM = 400.0


def cube() -> Domain:
    """Of 400 um, one corner at nought."""
    half = CUBE_UM / 2
    return box((CUBE_UM, CUBE_UM, CUBE_UM), (half, half, half))


def thread(radius_um: float = 20.0) -> Network:
    """One straight vessel through the middle of the cube, along x, from port to port."""
    half = CUBE_UM / 2
    return Network(
        np.array([[-1.0, half, half], [CUBE_UM + 1, half, half]]),
        np.array([[0, 1]], np.int32),
        np.array([radius_um]),
        np.array([Kind.ARTERY], np.uint8),
        np.array([0], np.int32),
        (Port(0, Role.INLET, 100.0, 1e6), Port(1, Role.OUTLET, 0.0, 1e6)),
    )


def y_network() -> Network:
    """An artery that divides into two capillaries, which join again in a vein."""
    points = [[-1, 200, 200], [120, 200, 200], [200, 120, 200], [200, 280, 200], [280, 200, 200], [401, 200, 200]]
    segments = [[0, 1], [1, 2], [1, 3], [2, 4], [3, 4], [4, 5]]
    kinds = [Kind.ARTERY, *([Kind.CAPILLARY] * 4), Kind.VEIN]
    return Network(
        np.array(points, np.float64),
        np.array(segments, np.int32),
        np.array([16.0, 10, 10, 10, 10, 18]),
        np.array(kinds, np.uint8),
        np.array([0, -1, -1, -1, -1, 1], np.int32),
        (Port(0, Role.INLET, 300.0, 1e6), Port(5, Role.OUTLET, 0.0, 1e6)),
    )
