"""Trees in a cube, a sphere, a ring, an organ of a labelled scan and an angle of STL: no vessel touches another."""

from __future__ import annotations

import importlib.util
import struct
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from vessel_contacts import contacts_by_definition

from poliqi.lab.print.domain.domain import Domain, box, sphere, torus
from poliqi.lab.print.domain.labelfile import from_labels
from poliqi.lab.print.domain.meshfile import mesh_of
from poliqi.lab.print.growth.contacts import contacts
from poliqi.lab.print.growth.grow import grow
from poliqi.lab.print.growth.settings import GrowthSettings, Inlet

GAP, WALL, TERMINALS = 5.0, 8.0, 200
INLETS = {
    "cube": (-500.0, 0.0, 0.0),
    "sphere": (-600.0, 0.0, 0.0),
    "torus": (950.0, 0.0, 0.0),
    "angle": (0.0, 200.0, 200.0),
    "organ": (59.47, 346.43, -210.51),
}
_SCAN = importlib.util.find_spec("pyvista")


def angle_stl() -> bytes:
    """An L of 1000 x 1000 x 400 um, arms 400 um wide: not convex."""
    outline = np.array([[0, 0], [1000, 0], [1000, 400], [400, 400], [400, 1000], [0, 1000]], np.float32)
    flat = [(3, 0, 1), (3, 1, 2), (3, 5, 0), (3, 4, 5)]
    low, high = (np.column_stack([outline, np.full(6, z, np.float32)]) for z in (0.0, 400.0))
    faces = [(low[c], low[b], low[a]) for a, b, c in flat] + [(high[a], high[b], high[c]) for a, b, c in flat]
    for a in range(6):
        b = (a + 1) % 6
        faces += [(low[a], low[b], high[b]), (low[a], high[b], high[a])]
    rows = b"".join(struct.pack("<12fH", 0, 0, 0, *np.concatenate(face).tolist(), 0) for face in faces)
    return bytes(80) + struct.pack("<I", len(faces)) + rows


@cache
def domain(name: str) -> Domain:
    if name == "organ":
        assert _SCAN is not None and _SCAN.origin is not None
        scan = Path(_SCAN.origin).parent / "examples" / "frog_tissues.vti"
        return from_labels(scan, 10, voxel_um=(7.0, 7.0, 10.5), body="largest")
    if name == "angle":
        return mesh_of(angle_stl(), "angle.stl", "um")
    return {"cube": box((1000.0,) * 3), "sphere": sphere(600.0), "torus": torus(700.0, 250.0)}[name]


SEEDS = [3, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(100, 149))]
SHAPES = [
    pytest.param("organ", marks=pytest.mark.skipif(_SCAN is None, reason="the scan comes with pyvista")),
    *(name for name in INLETS if name != "organ"),
]


def test_the_angle_has_the_volume_of_an_angle() -> None:
    assert domain("angle").volume_um3 == pytest.approx(400 * (1000**2 - 600**2), rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", SHAPES)
def test_no_vessel_touches_another_or_the_wall(name: str, seed: int) -> None:
    place = domain(name)
    settings = GrowthSettings((Inlet(INLETS[name]),), terminals=TERMINALS, seed=seed, gap_um=GAP, wall_um=WALL)
    network = grow(place, settings)
    assert len(network.segments) == 2 * TERMINALS  # with the stem that leads in through the wall
    assert not contacts_by_definition(network, GAP)
    assert not len(contacts(network, GAP))
    root = network.ports[0].node
    beyond = ~(network.segments == root).any(axis=1)  # the root comes in through the wall
    part = np.linspace(0.0, 1.0, 9)[:, None, None]
    along = network.start_um[beyond] + part * (network.end_um - network.start_um)[beyond]
    left = place.clearance_um(along.reshape(-1, 3)).reshape(len(part), -1) - network.radius_um[beyond]
    assert left.min() > WALL - 0.3
