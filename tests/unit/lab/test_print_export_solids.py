"""Meshes of tissue and lumen: closed, with the volumes of geometry, and refused where they would not be."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.domain.domain import Domain, box, sphere
from poliqi.lab.print.export.measured import agree, bound_um3, volumes
from poliqi.lab.print.export.nearpairs import near_pairs
from poliqi.lab.print.export.solids import Solid, defects, groups_of, solids, work_of
from poliqi.lab.print.network import Network, Port, Role

needs_manifold3d = pytest.mark.skipif(
    importlib.util.find_spec("manifold3d") is None, reason="needs the extra print"
)
CUBE = box((200.0, 200.0, 200.0), (100.0, 100.0, 100.0))


def channels(
    *lines: tuple[tuple[float, float, float], tuple[float, float, float]], radius: float = 20.0
) -> Network:
    m = len(lines)
    points = np.array([end for line in lines for end in line], dtype=float)
    segments = np.arange(2 * m, dtype=np.int32).reshape(m, 2)
    ports = (Port(0, Role.INLET, 100.0, 1e6), Port(1, Role.OUTLET, 0.0, 1e6))
    return Network(
        points, segments, np.full(m, radius), np.zeros(m, dtype=np.uint8), np.zeros(m, dtype=np.int32), ports
    )


def forked(levels: int, size: float = 400.0, seed: int = 1) -> Network:
    """A tree that forks in two at each level, in x, y and z in turn, with radii by Murray's law; off axis."""
    rng = np.random.default_rng(seed)
    points: list[NDArray[np.float64]] = [np.array([size / 2, size / 2, 0.0]), np.full(3, size / 2)]
    segments, level, front = [(0, 1)], [0], [1]
    step = np.full(3, size / 4)
    for depth in range(1, levels + 1):
        axis = (depth - 1) % 3
        ends: list[int] = []
        for point in front:
            for sign in (-1.0, 1.0):
                end = points[point] + rng.normal(0, 0.05 * step[axis], 3)
                end[axis] += sign * step[axis]
                points.append(end)
                ends.append(len(points) - 1)
                segments.append((point, ends[-1]))
                level.append(depth)
        step[axis] /= 2
        front = ends
    m = len(segments)
    return Network(
        np.array(points),
        np.array(segments, dtype=np.int32),
        2.0 * 2 ** ((levels - np.array(level)) / 3),
        np.zeros(m, dtype=np.uint8),
        np.zeros(m, dtype=np.int32),
        (Port(0, Role.INLET, 100.0, 1e6),),
    )


def signed(solid: Solid) -> float:
    a, b, c = (solid.vertices_um[solid.triangles[:, k]].astype(float) for k in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def test_the_measured_volume_of_a_channel_and_of_two_that_cross_is_that_of_geometry() -> None:
    """pi r^2 l; and Steinmetz: two crossing cylinders share 16/3 r^3."""
    one = channels(((-50.0, 100, 100), (250, 100, 100)))
    alone = volumes(CUBE, one)
    exact = math.pi * 400 * 200
    assert abs(alone.lumen_um3 - exact) < max(5 * alone.lumen_error_um3, 1e-3 * exact)
    assert alone.domain_um3 == pytest.approx(8e6, rel=1e-9)
    two = channels(((-50.0, 100, 100), (250, 100, 100)), ((100.0, -50, 100), (100, 250, 100)))
    cross = volumes(CUBE, two)
    assert abs(cross.lumen_um3 - (2 * exact - 16 / 3 * 20**3)) < max(5 * cross.lumen_error_um3, 1e-3 * exact)


def test_the_measured_volume_of_a_capsule_in_a_ball() -> None:
    inside = channels(((70.0, 90, 100), (130, 120, 95)), radius=15.0)
    length = float(inside.length_um[0])
    found = volumes(sphere(80.0, (100.0, 100.0, 100.0)), inside)
    exact = math.pi * 225 * length + 4 / 3 * math.pi * 15**3
    assert abs(found.lumen_um3 - exact) < max(5 * found.lumen_error_um3, 1e-3 * exact)
    assert found.domain_um3 == pytest.approx(4 / 3 * math.pi * 80**3, rel=1e-3)


def test_vessels_of_a_group_do_not_come_near_each_other() -> None:
    tree = forked(7)
    group = groups_of(tree, 1.0)
    pairs = near_pairs(tree, 1.0)
    assert (group[pairs.first] != group[pairs.second]).all() and len(pairs.first) > 200
    assert group.min() == 0 and group.max() <= 5


@needs_manifold3d
@pytest.mark.parametrize("axis", range(3))
def test_a_straight_channel_has_the_volume_of_its_cylinder(axis: int) -> None:
    ends = np.full((2, 3), 100.0)
    ends[:, axis] = -50, 250
    line = (tuple(ends[0].tolist()), tuple(ends[1].tolist()))
    made = solids(CUBE, channels(line), 0.25)  # pyright: ignore[reportArgumentType]
    exact = math.pi * 400 * 200
    assert made.lumen.volume_um3 == pytest.approx(
        exact, rel=1e-6
    )  # both ends are cut off: the prism's area is exact
    assert made.tissue.volume_um3 == pytest.approx(8e6 - exact, rel=1e-6)


@needs_manifold3d
def test_crossing_channels_have_steinmetz_volume_within_the_bound() -> None:
    two = channels(((-50.0, 100, 100), (250, 100, 100)), ((100.0, -50, 100), (100, 250, 100)))
    exact = 2 * math.pi * 400 * 200 - 16 / 3 * 20**3
    for tolerance in (2.0, 0.5, 0.1):
        made = solids(CUBE, two, tolerance)
        measured = volumes(CUBE, two)
        assert abs(made.lumen.volume_um3 - exact) < bound_um3(two, measured, tolerance)
        assert abs(agree(made, two, measured)) < 0.01


@needs_manifold3d
@pytest.mark.parametrize("tolerance", [0.2, 1.0])
def test_a_tree_of_hundreds_of_vessels_is_closed_and_adds_up(tolerance: float) -> None:
    import trimesh

    tree = forked(7)
    cube = box((400.0, 400.0, 400.0), (200.0, 200.0, 200.0))
    steps: list[tuple[int, int]] = []
    made = solids(cube, tree, tolerance, lambda done, total: steps.append((done, total)))
    assert len(tree.segments) == 255 and steps[-1][0] == steps[-1][1]
    assert made.lumen.volume_um3 + made.tissue.volume_um3 == pytest.approx(64e6, rel=1e-9)
    measured = volumes(cube, tree)
    assert abs(agree(made, tree, measured)) < 0.02
    for solid in (made.tissue, made.lumen):
        mesh = trimesh.Trimesh(solid.vertices_um, solid.triangles)
        assert mesh.is_watertight and mesh.is_winding_consistent
        assert float(mesh.volume) == pytest.approx(solid.volume_um3, rel=1e-5)
        assert signed(solid) == pytest.approx(solid.volume_um3, rel=1e-5)
        assert defects(solid.vertices_um, solid.triangles) == 0
    again = solids(cube, tree, tolerance)
    assert np.array_equal(again.tissue.vertices_um, made.tissue.vertices_um)
    assert np.array_equal(again.tissue.triangles, made.tissue.triangles)


@needs_manifold3d
@pytest.mark.soak
def test_a_tree_of_thousands_of_vessels_is_closed_and_adds_up() -> None:
    tree = forked(11, 1000.0)
    cube = box((1000.0, 1000.0, 1000.0), (500.0, 500.0, 500.0))
    made = solids(cube, tree, 0.5)
    assert made.lumen.volume_um3 + made.tissue.volume_um3 == pytest.approx(1e9, rel=1e-9)
    assert abs(agree(made, tree, volumes(cube, tree))) < 0.005


@needs_manifold3d
def test_collinear_vessels_of_one_radius_are_one_channel() -> None:
    """Faces that would fall onto each other: the worst case of Boolean operations."""
    points = [(float(x), 100.0, 100.0) for x in range(-40, 241, 20)]
    zeros = np.zeros(len(points) - 1)
    chain = Network(
        np.array(points),
        np.array([(i, i + 1) for i in range(len(points) - 1)], dtype=np.int32),
        np.full(len(points) - 1, 20.0),
        zeros.astype(np.uint8),
        zeros.astype(np.int32),
        (Port(0, Role.INLET, 100.0, 1e6),),
    )
    made = solids(CUBE, chain, 0.25)
    assert made.lumen.volume_um3 == pytest.approx(math.pi * 400 * 200, rel=0.02)
    assert abs(agree(made, chain, volumes(CUBE, chain))) < 0.02


@needs_manifold3d
def test_vessels_outside_of_the_domain_and_wrong_volumes_are_refused() -> None:
    outside = channels(((300.0, 0, 0), (400, 0, 0)))
    with pytest.raises(DataRefused, match="no vessel lies within"):
        solids(CUBE, outside, 1.0)
    inside = channels(((-50.0, 100, 100), (250, 100, 100)))
    made, measured = solids(CUBE, inside, 0.5), volumes(CUBE, inside)
    wrong = replace(made, lumen=replace(made.lumen, volume_um3=made.lumen.volume_um3 * 1.05))
    with pytest.raises(DataRefused, match="at most"):
        agree(wrong, inside, measured)


def test_a_mesh_that_would_take_too_much_memory_is_refused_before() -> None:
    tree = forked(6)
    work = work_of(tree, 0.5)
    assert work.memory_bytes > 1000 * work.triangles > 127 * 20 * 1000
    assert work_of(tree, 0.1).triangles > 2 * work.triangles
    with pytest.raises(ConfigError, match=r"--tolerance-um.*--what beams"):
        work_of(tree, 0.5, work.memory_bytes - 1)


def test_open_edges_are_counted() -> None:
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])
    assert defects(corners, faces) == 0
    assert defects(corners, faces[:3]) == 3
    assert defects(corners, np.concatenate([faces[:3], faces[3:, ::-1]])) == 3
    apart = corners[faces].reshape(-1, 3)  # each triangle with corners of its own
    assert defects(apart, np.arange(12).reshape(4, 3)) == 0


_: type[Domain] = Domain
