"""Primitives as domains: volumes by formula, distances and spans against each other and against definitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.domain.domain import (
    Domain,
    box,
    capsule,
    chip,
    cylinder,
    domain_from,
    ellipsoid,
    sphere,
    torus,
)
from poliqi.lab.print.domain.field import clearances
from poliqi.lab.print.domain.intervals import Spans, less, together

PI = math.pi
TILTED = (1.0, -2.0, 0.5)
SHAPES: dict[str, tuple[Domain, float]] = {
    "box": (box((1000, 800, 60), (5, 6, 7)), 1000 * 800 * 60),
    "sphere": (sphere(500, (10, 20, 30)), 4 / 3 * PI * 500**3),
    "cylinder": (cylinder(300, 500, (1, 2, 3), TILTED), PI * 300**2 * 500),
    "ellipsoid": (ellipsoid((500, 300, 20)), 4 / 3 * PI * 500 * 300 * 20),
    "spheroid": (ellipsoid((100, 300, 100)), 4 / 3 * PI * 100 * 300 * 100),
    "torus": (torus(400, 120, (0, 0, 5)), 2 * PI**2 * 400 * 120**2),
    "torus tilted": (torus(400, 400, (0, 0, 5), TILTED), 2 * PI**2 * 400 * 400**2),
    "chip": (chip((1000, 500, 200), 100), 200 * (1000 * 500 - (4 - PI) * 100**2)),
    "capsule": (capsule((0, 0, 0), (300, 200, 100), 80), PI * 80**2 * (4 / 3 * 80 + math.sqrt(140000))),
}


def lines(domain: Domain, axis: int, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Midpoints of n x n cells over the box, and the area of one."""
    low, high = domain.bounds_um
    first, second = [k for k in range(3) if k != axis]
    u = low[first] + (np.arange(n) + 0.5) * (high[first] - low[first]) / n
    v = low[second] + (np.arange(n) + 0.5) * (high[second] - low[second]) / n
    area = float((high[first] - low[first]) * (high[second] - low[second])) / n**2
    return np.repeat(u, n), np.tile(v, n), area


def places(domain: Domain, n: int, seed: int = 3) -> NDArray[np.float64]:
    low, high = domain.bounds_um
    return np.random.default_rng(seed).uniform(low - 30, high + 30, (n, 3))


def is_in(spans: Spans, at: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the place `at[i]` lies in an interval of line i."""
    line = np.repeat(np.arange(at.size), np.diff(spans.offsets))
    hit = (spans.start_um < at[line]) & (at[line] < spans.end_um)
    return np.bincount(line, weights=hit, minlength=at.size) > 0


@pytest.mark.parametrize("name", SHAPES)
def test_volume_is_the_formula_and_what_the_spans_fill(name: str) -> None:
    domain, volume = SHAPES[name]
    assert domain.volume_um3 == pytest.approx(volume, rel=1e-12)
    for axis in range(3):
        u, v, area = lines(domain, axis, 400)
        assert domain.spans(axis, u, v).length_um * area == pytest.approx(volume, rel=1e-3)


@pytest.mark.parametrize("name", SHAPES)
def test_spans_hold_the_points_of_positive_clearance(name: str) -> None:
    domain, _ = SHAPES[name]
    p = places(domain, 20_000)
    inside = domain.clearance_um(p) > 0
    assert 0.005 < inside.mean() < 0.95
    for axis in range(3):
        u, v = (np.ascontiguousarray(p[:, k]) for k in range(3) if k != axis)
        assert bool(np.all(is_in(domain.spans(axis, u, v), p[:, axis]) == inside))


@pytest.mark.parametrize("name", SHAPES)
def test_a_clearance_is_the_distance_to_the_nearest_end_of_any_span(name: str) -> None:
    """The boundary is sampled by the ends of spans; the nearest sample is never nearer, and hardly further."""
    domain, _ = SHAPES[name]
    p = places(domain, 300)
    found = np.abs(domain.clearance_um(p))
    samples: list[NDArray[np.float64]] = []
    for axis in range(3):
        u, v, _ = lines(domain, axis, 150)
        spans = domain.spans(axis, u, v)
        line = np.repeat(np.arange(u.size), np.diff(spans.offsets))
        for at in (spans.start_um, spans.end_um):
            point = np.empty((at.size, 3))
            point[:, [k for k in range(3) if k != axis]] = np.stack([u[line], v[line]], axis=1)
            point[:, axis] = at
            samples.append(point)
    surface = np.concatenate(samples)
    assert np.abs(domain.clearance_um(surface)).max() < 1e-5  # a ring's roots are double where a line touches it
    nearest = np.array([np.sqrt(((surface - one) ** 2).sum(axis=1).min()) for one in p])
    assert bool(np.all(found <= nearest + 1e-5))
    pitch = float((domain.bounds_um[1] - domain.bounds_um[0]).max()) / 150
    assert (nearest - found).max() < pitch


@pytest.mark.parametrize("axes", [(500.0, 300.0, 20.0), (1.0, 1.0, 1000.0), (7.0, 7.0, 7.0), (0.05, 900.0, 901.0)])
def test_the_distance_to_an_ellipsoid_is_met_along_its_normal(axes: tuple[float, float, float]) -> None:
    """From a point of the surface, a step along the normal (inwards no further than the least curvature radius)."""
    e = np.array(axes)
    rng = np.random.default_rng(8)
    n = rng.normal(size=(500, 3))
    foot = e * n / np.linalg.norm(n, axis=1, keepdims=True)
    normal = foot / e**2
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    least = e.min() ** 2 / e.max()
    step = rng.uniform(-0.99 * least, 2 * e.max(), 500)
    got = ellipsoid(axes).clearance_um(foot + step[:, None] * normal)
    assert got == pytest.approx(-step, rel=1e-9, abs=1e-10 * e.max())


def test_points_of_symmetry_of_an_ellipsoid() -> None:
    domain = ellipsoid((50, 30, 20))
    got = domain.clearance_um(np.array([[0, 0, 0], [60, 0, 0], [0, 31, 0], [0, 0, 19]], dtype=float))
    assert got == pytest.approx([20, -10, -1, 1], abs=1e-9)


@given(
    st.tuples(*[st.floats(-100, 100)] * 3),
    st.tuples(*[st.floats(-1e3, 1e3)] * 3),
    st.floats(1.0, 200.0),
    st.floats(0.05, 1.0),
)
@settings(max_examples=60, deadline=None)
def test_a_turned_ring_fills_what_its_distance_says(
    axis: tuple[float, float, float], center: tuple[float, float, float], radius: float, thin: float
) -> None:
    if math.hypot(*axis) < 1e-3:
        axis = (0.0, 0.0, 1.0)
    domain = torus(radius, radius * thin, center, axis)
    p = places(domain, 400)
    clearance = domain.clearance_um(p)
    sure = np.abs(clearance) > 1e-6 * radius
    for k in range(3):
        u, v = (np.ascontiguousarray(p[:, i]) for i in range(3) if i != k)
        assert bool(np.all((is_in(domain.spans(k, u, v), p[:, k]) == (clearance > 0))[sure]))
    low, high = domain.bounds_um
    assert bool(np.all((p >= low) & (p <= high), where=(clearance > 0)[:, None]))


def test_obstacles_are_outside() -> None:
    whole = box((100, 100, 100))
    rest = whole.minus(sphere(20)).minus(cylinder(5, 300, (30, 0, 0)))
    assert rest.clearance_um(
        np.array([[0, 0, 0], [0, 0, 24], [30, 0, 0], [0, 48, 0]], dtype=float)
    ) == pytest.approx([-20, 4, -5, 2])
    spans = rest.spans(0, np.array([0.0]), np.array([0.0]))
    assert spans.start_um == pytest.approx([-50, 20, 35])
    assert spans.end_um == pytest.approx([-20, 25, 50])
    expected = 100**3 - 4 / 3 * PI * 20**3 - PI * 25 * 100
    assert rest.volume_um3 == pytest.approx(expected, rel=2e-4)


def test_bodies_unite() -> None:
    pair = sphere(50).plus(sphere(50, (60, 0, 0)))
    lens = PI * (100 - 60) ** 2 * (60**2 + 4 * 60 * 50) / (12 * 60)  # two equal balls, textbook
    assert pair.volume_um3 == pytest.approx(2 * 4 / 3 * PI * 50**3 - lens, rel=2e-4)
    p = places(pair, 2000)
    either = np.maximum(sphere(50).clearance_um(p), sphere(50, (60, 0, 0)).clearance_um(p))
    assert bool(np.all(pair.clearance_um(p) == either))
    with pytest.raises(ConfigError, match="unite bodies, then take"):
        pair.minus(sphere(3)).plus(sphere(5))
    with pytest.raises(ConfigError, match="one by one"):
        pair.minus(sphere(9).minus(sphere(3)))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20), st.integers(1, 9), st.booleans()), max_size=30))
@settings(max_examples=80, deadline=None)
def test_intervals_combine_like_sets(given_: list[tuple[int, int, int, bool]]) -> None:
    cells = np.zeros((2, 4, 40), dtype=bool)
    for line, start, long, which in given_:
        cells[int(which), line, start : start + long] = True

    def spans(of: NDArray[np.bool_]) -> Spans:
        padded = np.pad(of, ((0, 0), (1, 1))).astype(int)
        step = np.diff(padded, axis=1)
        offsets = np.concatenate([[0], np.cumsum((step == 1).sum(axis=1))]).astype(np.int64)
        return Spans(
            offsets, np.argwhere(step == 1)[:, 1].astype(float), np.argwhere(step == -1)[:, 1].astype(float)
        )

    for made, expected in (
        (together(spans(cells[0]), spans(cells[1])), spans(cells[0] | cells[1])),
        (less(spans(cells[0]), spans(cells[1])), spans(cells[0] & ~cells[1])),
    ):
        assert made.offsets.tolist() == expected.offsets.tolist()
        assert made.start_um.tolist() == expected.start_um.tolist()
        assert made.end_um.tolist() == expected.end_um.tolist()


@pytest.mark.parametrize("name", SHAPES)
def test_a_record_makes_the_same_domain(name: str) -> None:
    import json

    domain = SHAPES[name][0].minus(capsule((0, 0, 0), (1, 2, 3), 4))
    again = domain_from(json.loads(json.dumps(domain.record)))
    p = places(domain, 500)
    assert bool(np.all(again.clearance_um(p) == domain.clearance_um(p)))
    found = np.empty(500)
    clearances(again.field, p, found)
    assert bool(np.all(found == domain.clearance_um(p)))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: sphere(0), "radius_um is 0"),
        (lambda: sphere(math.nan), "radius_um is nan"),
        (lambda: box((1, 2, -3)), "size_um is -3"),
        (lambda: box((1, 2, 3), (math.inf, 0, 0)), "center_um is inf"),
        (lambda: torus(5, 6), "tube_um 6 is above"),
        (lambda: chip((10, 20, 30), 6), "corner_um is 6"),
        (lambda: cylinder(1, 2, axis=(0, 0, 0)), "no direction"),
        (lambda: Domain(()), "0 bodies"),
        (lambda: Domain(box((1, 1, 1)).bodies * 65), "65 parts"),
    ],
)
def test_sizes_that_cannot_be_are_refused(make: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"bodies": []},
        {"bodies": [], "obstacles": []},
        {"bodies": [{"kind": "sphere", "radius_um": -1}], "obstacles": []},
        {"bodies": [{"kind": "sphere", "radius_um": 1, "more": 1}], "obstacles": []},
        {"bodies": [{"kind": "soul"}], "obstacles": []},
        {"bodies": 3, "obstacles": []},
        {"bodies": [7], "obstacles": []},
    ],
)
def test_a_record_that_cannot_be_is_refused(record: Any) -> None:
    with pytest.raises(DataRefused, match="domain"):
        domain_from(record)


def test_questions_of_the_wrong_shape_are_refused() -> None:
    domain = sphere(5)
    with pytest.raises(DataRefused, match=r"\(n, 3\)"):
        domain.clearance_um(np.zeros(3))
    with pytest.raises(DataRefused, match="finite"):
        domain.clearance_um(np.array([[0, 0, math.nan]]))
    with pytest.raises(DataRefused, match="axis 3"):
        domain.spans(3, np.zeros(1), np.zeros(1))
    with pytest.raises(DataRefused, match="two of"):
        domain.spans(0, np.zeros(1), np.zeros(2))


def test_an_unlikely_size_is_told() -> None:
    assert sphere(500).cautions == ()
    assert "smaller than 20 um" in sphere(2).cautions[0]
    assert "check its unit" in sphere(100_000).cautions[0]
