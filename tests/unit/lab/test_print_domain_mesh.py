"""Meshes as domains: what is refused, and distances and spans against brute force and closed forms."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.print.domain.domain import Domain, box, domain_from, sphere, torus
from poliqi.lab.print.domain.field import clearances
from poliqi.lab.print.domain.meshbody import MeshBody, mesh_body
from poliqi.lab.print.domain.meshcheck import ensure_uncut
from poliqi.lab.print.domain.meshform import MeshForm
from poliqi.lab.print.domain.nearest import nearest_squares
from poliqi.lab.print.domain.selfcross import orients

needs_manifold = pytest.mark.skipif(
    importlib.util.find_spec("manifold3d") is None, reason='needs pip install "poliqi[print]"'
)
Mesh = tuple[NDArray[np.float64], NDArray[np.int64]]

CUBE: Mesh = (
    np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float),
    np.array(
        [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6],
         [0, 6, 4], [1, 5, 7], [1, 7, 3]]
    ),
)  # fmt: skip


def cube(size: float = 100.0, at: tuple[float, float, float] = (0, 0, 0), inverted: bool = False) -> Mesh:
    return CUBE[0] * size + np.array(at), CUBE[1][:, ::-1] if inverted else CUBE[1]


def merged(*meshes: Mesh) -> Mesh:
    count = np.cumsum([0, *[len(points) for points, _ in meshes]])
    return np.concatenate([m[0] for m in meshes]), np.concatenate(
        [m[1] + c for m, c in zip(meshes, count, strict=False)]
    )


def ring(radius: float, tube: float, n: int, m: int) -> Mesh:
    """A torus with n x m corners on its surface."""
    a, b = np.repeat(np.arange(n), m), np.tile(np.arange(m), n)
    s, t = 2 * np.pi * a / n, 2 * np.pi * b / m
    across = radius + tube * np.cos(t)
    points = np.stack([across * np.cos(s), across * np.sin(s), tube * np.sin(t)], axis=1)
    k = a * m + b
    right, up, both = ((a + 1) % n) * m + b, a * m + (b + 1) % m, ((a + 1) % n) * m + (b + 1) % m
    return points, np.concatenate([np.stack([k, right, both], 1), np.stack([k, both, up], 1)])


def domain(mesh: Mesh, body: Any = None) -> Domain:
    return Domain((mesh_body(*mesh, body),))


def bone() -> Mesh:
    """A shaft with two knobs and a hole through one of them: not convex, genus 1."""
    import manifold3d

    solid = manifold3d.Manifold
    shaft = solid.cylinder(600, 60, 60, 40, True)
    knobs = solid.sphere(130, 40).translate((0, 0, 300)) + solid.sphere(110, 40).translate((40, 0, -300))
    drill = solid.cylinder(600, 25, 25, 24, True).rotate((90, 0, 0)).translate((0, 0, 300))
    made = (shaft + knobs - drill).to_mesh64()
    return np.array(made.vert_properties)[:, :3], np.array(made.tri_verts).astype(np.int64)


def brute_square(p: NDArray[np.float64], corners: NDArray[np.float64]) -> float:
    """Least squared distance to triangles (n, 3, 3): the plane's foot where it is inside, else the edges'."""
    best = math.inf
    a, b, c = corners.transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    height = np.einsum("ij,ij->i", p - a, normal) / np.einsum("ij,ij->i", normal, normal)
    foot = p - height[:, None] * normal
    inside = np.ones(len(a), dtype=bool)
    for s, e in ((a, b), (b, c), (c, a)):
        inside &= np.einsum("ij,ij->i", np.cross(e - s, foot - s), normal) >= 0
        t = np.clip(np.einsum("ij,ij->i", p - s, e - s) / np.einsum("ij,ij->i", e - s, e - s), 0, 1)
        best = min(best, float(((s + t[:, None] * (e - s) - p) ** 2).sum(axis=1).min()))
    if inside.any():
        best = min(best, float(((foot - p) ** 2).sum(axis=1)[inside].min()))
    return best


def winding(p: NDArray[np.float64], corners: NDArray[np.float64]) -> float:
    """Solid angle of a closed surface over 4 pi: A. Van Oosterom, J. Strackee, IEEE Trans. Biomed. Eng. 30, 125."""
    a, b, c = (corners - p).transpose(1, 0, 2)
    la, lb, lc = (np.linalg.norm(v, axis=1) for v in (a, b, c))
    top = np.einsum("ij,ij->i", a, np.cross(b, c))
    dot = [np.einsum("ij,ij->i", v, w) for v, w in ((a, b), (a, c), (b, c))]
    return float(np.arctan2(top, la * lb * lc + dot[0] * lc + dot[1] * lb + dot[2] * la).sum() / (2 * np.pi))


def test_a_cube_of_triangles_is_a_box() -> None:
    made, formula = domain(cube(100)), box((100, 100, 100), (50, 50, 50))
    p = np.random.default_rng(1).uniform(-40, 140, (5000, 3))
    assert made.clearance_um(p) == pytest.approx(formula.clearance_um(p), abs=1e-9)
    assert made.volume_um3 == pytest.approx(1e6, rel=1e-12)
    for axis in range(3):
        u, v = p[:, 0].copy(), p[:, 1].copy()
        one, two = made.spans(axis, u, v), formula.spans(axis, u, v)
        assert one.offsets.tolist() == two.offsets.tolist()
        assert one.start_um == pytest.approx(two.start_um, abs=1e-9)
        assert one.end_um == pytest.approx(two.end_um, abs=1e-9)


def test_lines_through_edges_and_corners_cross_an_even_number_of_times() -> None:
    """On a grid that hits every corner, edge and diagonal, each line lies inside once or never; the middle once."""
    mesh = cube(64)
    made = domain(mesh)
    u, v = (g.ravel().astype(float) for g in np.meshgrid(np.arange(-8, 73, 8), np.arange(-8, 73, 8)))
    within = (u > 0) & (u < 64) & (v > 0) & (v < 64)
    outside = (u < 0) | (u > 64) | (v < 0) | (v > 64)
    for axis in range(3):
        spans = made.spans(axis, u, v)
        count = np.diff(spans.offsets)
        assert bool(np.all(count[within] == 1))
        assert bool(np.all(count[outside] == 0))
        assert bool(np.all((spans.start_um == 0) & (spans.end_um == 64)))


@given(st.integers(0, 10_000), st.integers(3, 9), st.integers(3, 7))
@settings(max_examples=40, deadline=None)
def test_spans_and_signs_agree_with_the_winding_number(seed: int, n: int, m: int) -> None:
    """A coarse ring on whole numbers, lines on whole and half numbers: half of them touch corners and edges."""
    rng = np.random.default_rng(seed)
    points, triangles = ring(40, 17, n, m)
    mesh = np.rint(points), triangles
    try:
        made = domain(mesh)
    except DataRefused:
        return  # rounding folded it
    corners = mesh[0][triangles]
    p = rng.integers(-120, 121, (60, 3)) / 2
    clearance = made.clearance_um(p)
    expected = np.array([math.sqrt(brute_square(one, corners)) for one in p])
    assert np.abs(clearance) == pytest.approx(expected, abs=1e-9)
    sure = expected > 1e-6
    assert ((clearance > 0) == np.array([winding(one, corners) > 0.5 for one in p]))[sure].all()
    for axis in range(3):
        u, v = (np.ascontiguousarray(p[:, k]) for k in range(3) if k != axis)
        spans = made.spans(axis, u, v)
        line = np.repeat(np.arange(len(p)), np.diff(spans.offsets))
        assert bool(np.all(spans.start_um <= spans.end_um))
        hit = np.bincount(line, (spans.start_um < p[line, axis]) & (p[line, axis] < spans.end_um), len(p)) > 0
        assert (hit == (clearance > 0))[sure].all()


@pytest.mark.parametrize("seed", range(3))
def test_nearest_triangle_is_the_nearest_by_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.normal(size=(137, 3, 3)) * 10 ** rng.uniform(-3, 2, (137, 1, 1))
    if seed == 2:
        corners[:, 2] = corners[:, 0] + (corners[:, 1] - corners[:, 0]) * 0.5 + 1e-7 * corners[:, 2]  # slivers
    from poliqi.lab.print.domain.surface import surface_of

    made = surface_of(corners.reshape(-1, 9), False, np.zeros(3), np.ones(3), np.zeros((0, 0, 0), np.uint8))
    p = rng.normal(size=(300, 3)) * 10 ** rng.uniform(-3, 3, (300, 1))
    found = np.empty(300)
    nearest_squares(made.tree.nodes, made.tree.first, made.elements, False, p, found)
    expected = [brute_square(one, corners) for one in p]
    assert np.sqrt(found) == pytest.approx(np.sqrt(expected), rel=1e-9, abs=1e-6 if seed == 2 else 1e-12)


def test_a_ring_of_triangles_is_a_ring_within_its_sagitta() -> None:
    radius, tube, n, m = 400.0, 120.0, 160, 80
    made = domain(ring(radius, tube, n, m))
    bound = tube * (1 - math.cos(math.pi / m)) + (radius + tube) * (1 - math.cos(math.pi / n))
    p = np.random.default_rng(2).uniform(-560, 560, (3000, 3)) * [1, 1, 0.3]
    gap = made.clearance_um(p) - torus(radius, tube).clearance_um(p)
    assert np.abs(gap).max() < bound
    # Pappus: the polygon's area and centroid, turned in n steps
    area = m / 2 * tube**2 * math.sin(2 * math.pi / m)
    exact = n * math.sin(2 * math.pi / n) * area * radius
    assert made.volume_um3 == pytest.approx(exact, rel=2e-3)
    assert made.volume_um3 < 2 * math.pi**2 * radius * tube**2


def test_the_field_never_promises_more_than_there_is() -> None:
    """From inside and as an obstacle; and within the grid's spacing of the truth."""
    made = domain(ring(400, 120, 60, 30))
    for asked in (made, box((1400, 1400, 700)).minus(made)):
        field = asked.field
        p = np.random.default_rng(4).uniform(-690, 690, (30_000, 3)) * [1, 1, 0.5]
        found = np.empty(len(p))
        clearances(field, p, found)
        exact = asked.clearance_um(p)
        inside = exact > 0
        assert bool(np.all((found > 0) == inside))
        assert bool(np.all(found[inside] <= exact[inside] + 1e-9))
        spacing = float(field.frames[:, 3].max() if asked is made else field.frames[1, 3])
        assert (exact - found)[inside].max() < spacing
        near = inside & (exact < 1.5 * spacing)
        assert near.any()
        assert found[near] == pytest.approx(exact[near], abs=1e-6)


@needs_manifold
def test_a_bone_that_is_not_convex() -> None:
    points, triangles = bone()
    made = domain((points, triangles))
    corners = points[triangles]
    expected = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert made.volume_um3 == pytest.approx(expected, rel=1e-7)
    assert made.manifold().volume() == pytest.approx(expected, rel=1e-7)
    p = np.random.default_rng(5).uniform(made.bounds_um[0], made.bounds_um[1], (400, 3))
    clearance = made.clearance_um(p)
    assert [winding(one, corners) > 0.5 for one in p] == (clearance > 0).tolist()
    assert np.abs(clearance) == pytest.approx([math.sqrt(brute_square(one, corners)) for one in p], abs=1e-4)
    low, high = made.bounds_um
    for axis in range(3):
        first, second = [k for k in range(3) if k != axis]
        u, v = (low[k] + (np.arange(500) + 0.5) * (high[k] - low[k]) / 500 for k in (first, second))
        spans = made.spans(axis, np.repeat(u, 500), np.tile(v, 500))
        cell = float((high[first] - low[first]) * (high[second] - low[second])) / 500**2
        assert spans.length_um * cell == pytest.approx(expected, rel=1e-3)


def test_a_record_of_a_mesh_makes_the_same_body() -> None:
    made = domain(merged(cube(100), cube(30, (10, 10, 10), inverted=True)), "all")
    again = domain_from(made.record)
    assert again.record == made.record
    p = np.random.default_rng(6).uniform(-10, 110, (500, 3))
    assert bool(np.all(again.clearance_um(p) == made.clearance_um(p)))


def test_a_cavity_belongs_to_its_body() -> None:
    made = domain(merged(cube(100), cube(30, (10, 10, 10), inverted=True)))
    assert made.volume_um3 == pytest.approx(100**3 - 30**3)
    assert made.clearance_um(np.array([[25, 25, 25], [5, 5, 5], [50, 50, 50]], float)) == pytest.approx(
        [-15, 5, math.sqrt(300)]
    )
    assert made.spans(0, np.array([20.0]), np.array([20.0])).end_um.tolist() == [10, 100]


def test_a_body_is_chosen() -> None:
    three = merged(cube(10), cube(100, (200, 0, 0)), cube(30, (220, 20, 20), inverted=True), cube(50, (0, 200, 0)))
    with pytest.raises(DataRefused, match=r"3 bodies \(1: 9.73e\+05 um3, 2: 1.25e\+05|3 bodies \(1: 1e\+06 um3"):
        domain(three)
    assert domain(three, "largest").volume_um3 == pytest.approx(100**3 - 30**3)
    assert domain(three, 2).volume_um3 == pytest.approx(50**3)
    assert domain(three, "all").volume_um3 == pytest.approx(100**3 - 30**3 + 50**3 + 10**3)
    for wrong in (0, 4, "smallest"):
        with pytest.raises(DataRefused, match="is not there"):
            domain(three, wrong)


def _moved(mesh: Mesh, corner: int, to: tuple[float, float, float]) -> Mesh:
    points = mesh[0].copy()
    points[corner] = to
    return points, mesh[1]


@pytest.mark.parametrize(
    ("mesh", "says"),
    [
        ((cube()[0], CUBE[1][1:]), r"3 open edges, the first between \(.*um; close the holes"),
        ((cube()[0], np.concatenate([CUBE[1][:1, ::-1], CUBE[1][1:]])), "disagree which side is outside"),
        (cube(inverted=True), "inverted: its volume is -1e"),
        (merged(cube(), cube(100, (50, 20, 30))), r"cuts or touches itself: the triangles at \("),
        (merged(cube(), cube(20, (20, 20, 20))), "lies within another"),
        (merged(cube(), cube(20, (200, 20, 20), inverted=True)), "is inverted; turn"),
        (merged(cube(), cube()), "cuts or touches itself|lies within"),
        (_moved(cube(), 7, (100, 100, -50)), "cuts or touches itself"),
        (_moved(cube(), 7, (math.nan, 100, 100)), "not finite"),
        (_moved(cube(), 7, (math.inf, 100, 100)), "not finite"),
        (cube(1e7), "check its unit"),
        (cube(1e-3), "check its unit"),
        ((cube()[0], CUBE[1][:3]), "3 triangles"),
        ((np.zeros((8, 3)), CUBE[1]), "check its unit"),
        ((cube()[0] * [1, 1, 0], CUBE[1]), "cuts or touches itself|no volume"),
        ((cube()[0] * [1, 0, 0], CUBE[1]), "no triangle has an area|no volume|open edges"),
    ],
)
def test_a_mesh_that_is_not_a_body_is_refused(mesh: Mesh, says: str) -> None:
    with pytest.raises(DataRefused, match=says):
        domain(mesh)


def test_a_mesh_with_too_many_triangles_is_refused_at_once() -> None:
    many = np.zeros((1_000_001, 3), dtype=np.int64)
    with pytest.raises(DataRefused, match="1000001 triangles"):
        mesh_body(np.zeros((1, 3)), many)


@given(st.lists(st.tuples(*[st.integers(0, 2**29)] * 3), min_size=4, max_size=4), st.booleans())
@settings(max_examples=200, deadline=None)
def test_the_side_of_a_plane_is_exact(corners: list[tuple[int, int, int]], flat: bool) -> None:
    if flat:  # the fourth in the plane of the others, or one step off it
        a, b, c, d = corners
        corners = [a, b, c, (b[0] + c[0] - a[0], b[1] + c[1] - a[1], b[2] + c[2] - a[2] + d[0] % 3 - 1)]
        if min(min(p) for p in corners) < 0 or max(max(p) for p in corners) > 2**29:
            return
    points = np.array(corners, dtype=np.int64)
    found = np.zeros(1, dtype=np.int64)
    orients(points, np.array([[0, 1, 2, 3]]), found)
    (bx, by, bz), (cx, cy, cz), (dx, dy, dz) = [
        [q - p for p, q in zip(corners[0], k, strict=True)] for k in corners[1:]
    ]
    exact = dx * (by * cz - bz * cy) + dy * (bz * cx - bx * cz) + dz * (bx * cy - by * cx)
    assert found[0] == (exact > 0) - (exact < 0)


def _share(one: NDArray[np.float64], two: NDArray[np.float64]) -> bool:
    """Whether two triangles share a point: a linear programme in barycentric coordinates."""
    from scipy.optimize import linprog

    equal = np.zeros((5, 6))
    equal[:3, :3], equal[:3, 3:] = one.T, -two.T
    equal[3, :3], equal[4, 3:] = 1, 1
    return bool(linprog(np.zeros(6), A_eq=equal, b_eq=[0, 0, 0, 1, 1], bounds=[(0, 1)] * 6).status == 0)


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=6, max_size=6, unique=True))
@settings(max_examples=120, deadline=None)
def test_two_triangles_cut_as_a_linear_programme_says(corners: list[tuple[int, int, int]]) -> None:
    """On a coarse grid: touching, coplanar and crossing pairs all come up."""
    points = np.array(corners, dtype=np.int64)
    one, two = points[:3].astype(float), points[3:].astype(float)
    for triangle in (one, two):
        if not np.cross(triangle[1] - triangle[0], triangle[2] - triangle[0]).any():
            return
    form = MeshForm(points, np.array([[0, 1, 2], [3, 4, 5]]), (0.0, 0.0, 0.0), 1.0)
    try:
        ensure_uncut(form, "pair")
        cut = False
    except DataRefused:
        cut = True
    assert cut == _share(one, two)


def test_progress_is_told_and_stops_the_work() -> None:
    told: list[tuple[int, int]] = []
    mesh_body(*ring(400, 120, 150, 80), None, "ring", lambda done, of: told.append((done, of)))
    assert told[-1][0] == told[-1][1] == 24_000
    assert len(told) == 2

    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mesh_body(*ring(400, 120, 20, 20), None, "ring", stop)


@needs_manifold
@pytest.mark.parametrize(
    "made",
    [sphere(500), torus(400, 120, (0, 0, 5), (1, 1, 1)), box((9, 8, 7)).minus(sphere(3))],
    ids=["ball", "ring", "less"],
)
def test_a_solid_has_the_volume_within_its_error(made: Domain) -> None:
    ratio = made.manifold().volume() / made.volume_um3
    assert 0.998 < ratio < 1.0005
    low, high = made.bounds_um
    found = np.array(made.manifold().bounding_box())
    assert found == pytest.approx(np.concatenate([low, high]), abs=2e-3 * float((high - low).max()))


@pytest.mark.parametrize("change", [{"points": 7}, {"triangles": 99}, {"steps_zlib": "AAAA"}, {"step_um": math.nan},
    {"triangles_zlib": "!"}, {"step_um": 1e9}, {"origin_um": (0, 0, 1e9)}])  # fmt: skip
def test_a_spoilt_record_is_refused(change: dict[str, Any]) -> None:
    record = domain(cube()).record
    record["bodies"][0].update(change)
    with pytest.raises(DataRefused):
        domain_from(record)


def test_parts_of_a_mesh_body() -> None:
    body = mesh_body(*cube(100))
    assert isinstance(body, MeshBody)
    assert body.bounds_um.tolist() == [[0, 0, 0], [100, 100, 100]]
