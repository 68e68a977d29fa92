"""Flat capsules have the round ones' volume and stay within the tolerance; lines meet capsules where they
should.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError
from poliqi.lab.print.export.facets import capsule_mesh, deviation, facets_for
from poliqi.lab.print.export.nearpairs import near_pairs, near_pairs_plain
from poliqi.lab.print.export.scanlines import Runs, capsule_interval_plain, combine, lumen_runs
from poliqi.lab.print.network import Network, Port, Role

Floats = NDArray[np.float64]


def network_of(start: Floats, end: Floats, radius: Floats) -> Network:
    """Segments that share no points."""
    m = len(radius)
    points = np.concatenate([start, end]).astype(float)
    segments = np.stack([np.arange(m), np.arange(m) + m], axis=1).astype(np.int32)
    zeros = np.zeros(m)
    return Network(
        points,
        segments,
        np.asarray(radius, dtype=float),
        zeros.astype(np.uint8),
        zeros.astype(np.int32),
        (Port(0, Role.INLET, 100.0, 1e6),),
    )


def scattered(seed: int, count: int, size: float = 60.0) -> Network:
    """Capsules thrown into a box, some parallel to an axis, some far longer than thick."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, size, (count, 3))
    step = rng.normal(0, size / 4, (count, 3))
    along = rng.integers(0, 3, count // 3)
    step[: count // 3] = np.eye(3)[along] * rng.uniform(1, size / 2, count // 3)[:, None]
    return network_of(start, start + step, rng.uniform(0.5, size / 10, count))


def volume_of(vertices: Floats, triangles: NDArray[np.int64]) -> float:
    """By the divergence theorem."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


@given(
    st.floats(0.3, 300),
    st.floats(0.05, 5),
    st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: math.hypot(*v) > 0.05),
    st.floats(0.05, 500),
)
@settings(max_examples=60, deadline=None)
def test_a_flat_capsule_has_the_round_ones_volume_within_the_tolerance(
    radius: float, tolerance: float, way: tuple[float, float, float], length: float
) -> None:
    if tolerance / radius < 0.002:
        return
    start = np.array([[3.0, -5.0, 7.0]])
    run = np.array([way]) / math.hypot(*way) * length
    facets = facets_for(radius, tolerance)
    vertices, triangles = capsule_mesh(start, start + run, np.array([radius]), facets)
    assert len(triangles) == facets.triangles and len(vertices) == facets.vertices
    exact = math.pi * radius**2 * length + 4 / 3 * math.pi * radius**3
    assert math.isclose(volume_of(vertices - start, triangles), exact, rel_tol=1e-9)
    rng = np.random.default_rng(7)
    weights = rng.dirichlet(np.ones(3), (len(triangles), 4))
    points = np.einsum("tkc,tcx->tkx", weights, vertices[triangles]).reshape(-1, 3)
    points = np.concatenate([points, vertices])
    share = np.clip((points - start) @ run[0] / length**2, 0, 1)
    away = np.linalg.norm(points - start - share[:, None] * run, axis=1)
    assert np.abs(away - radius).max() <= min(tolerance, deviation(facets) * radius) * (1 + 1e-9) + 1e-9


def test_thin_vessels_get_fewer_triangles_and_too_fine_a_tolerance_is_refused() -> None:
    assert facets_for(2.0, 0.5).triangles < facets_for(20.0, 0.5).triangles < facets_for(200.0, 0.5).triangles
    assert facets_for(2.0, 0.5).triangles <= 40
    with pytest.raises(ConfigError, match="finer than"):
        facets_for(100.0, 1e-3)
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ConfigError, match="above 0"):
            facets_for(1.0, wrong)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("gap", [0.0, 3.0, -1.0])
def test_near_pairs_are_those_that_sampling_finds(seed: int, gap: float) -> None:
    network = scattered(seed, 40)
    pairs = near_pairs(network, gap)
    found = {(i, j): g for i, j, g in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.gap_um, strict=True)}
    wanted = {(i, j): g for i, j, g in near_pairs_plain(network, gap)}
    doubtful = {pair for pair, g in found.items() if g > gap - 1e-3}  # a sample may just miss the limit
    assert set(wanted) <= set(found) and set(found) - set(wanted) <= doubtful
    assert wanted
    assert all(abs(found[pair] - gap_um) < 1e-2 for pair, gap_um in wanted.items())
    at = network.start_um[pairs.first] + pairs.at_first[:, None] * (
        network.end_um[pairs.first] - network.start_um[pairs.first]
    )
    other = network.start_um[pairs.second] + pairs.at_second[:, None] * (
        network.end_um[pairs.second] - network.start_um[pairs.second]
    )
    free = np.linalg.norm(at - other, axis=1) - network.radius_um[pairs.first] - network.radius_um[pairs.second]
    assert np.allclose(free, pairs.gap_um, atol=1e-9)


def test_parallel_and_crossing_vessels_have_the_gap_of_geometry() -> None:
    start = np.array([[0.0, 0, 0], [0, 10, 0], [5, -20, 7]])
    end = np.array([[10.0, 0, 0], [10, 10, 0], [5, 20, 7]])
    pairs = near_pairs(network_of(start, end, np.array([1.0, 2.0, 3.0])), 100.0)
    assert pairs.first.tolist() == [0, 0, 1] and pairs.second.tolist() == [1, 2, 2]
    assert np.allclose(pairs.gap_um, [7.0, 3.0, 2.0])


@given(
    st.tuples(*[st.floats(-20, 20)] * 3),
    st.tuples(*[st.floats(-20, 20)] * 3),
    st.floats(0.5, 15),
    st.floats(-25, 25),
    st.floats(-25, 25),
)
@settings(max_examples=150, deadline=None)
def test_a_line_meets_a_capsule_where_bisection_finds_it(
    start: tuple[float, float, float], end: tuple[float, float, float], radius: float, y: float, z: float
) -> None:
    a, b = np.array([start]), np.array([end])
    if np.linalg.norm(a - b) < 1e-3:
        return
    runs = lumen_runs(network_of(a, b, np.array([radius])), np.array([y]), np.array([z]))
    first, last = capsule_interval_plain(a[0], b[0], radius, y, z)
    if last - first < 1e-3:  # grazing
        assert runs.end_um.sum() - runs.start_um.sum() < 0.3
    else:
        assert np.allclose([runs.start_um[0], runs.end_um[0]], [first, last], atol=1e-6)


def test_a_vessel_without_length_is_a_ball() -> None:
    start = np.array([[0.0, 0, 0], [10, 3, 0]])
    ball = network_of(start, np.array([[0.0, 0, 0], [20, 3, 0]]), np.array([2.0, 3.0]))
    runs = lumen_runs(ball, np.array([0.0]), np.array([0.0]))
    assert np.allclose(runs.start_um, [-2.0, 10.0]) and np.allclose(runs.end_um, [2.0, 20.0])
    assert near_pairs(ball, 20.0).gap_um.tolist() == pytest.approx([math.hypot(10, 3) - 5])


def test_the_lumen_on_a_line_is_the_union_of_its_capsules() -> None:
    network = scattered(3, 60)
    ys, zs = np.linspace(5, 55, 11), np.linspace(3, 57, 9)
    runs = lumen_runs(network, ys, zs)
    x = np.linspace(-40, 110, 3001)
    for line in range(len(ys) * len(zs)):
        points = np.stack([x, np.full_like(x, ys[line % 11]), np.full_like(x, zs[line // 11])], axis=1)
        free = np.full(len(x), np.inf)
        for a, b, r in zip(network.start_um, network.end_um, network.radius_um, strict=True):
            share = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
            free = np.minimum(free, np.linalg.norm(points - a - share[:, None] * (b - a), axis=1) - r)
        own = slice(runs.offsets[line], runs.offsets[line + 1])
        inside = ((x[:, None] > runs.start_um[own]) & (x[:, None] < runs.end_um[own])).any(axis=1)
        sure = np.abs(free) > 1e-6
        assert np.array_equal(inside[sure], free[sure] < 0)


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_runs_combine_as_sets_do(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def some() -> Runs:
        counts = rng.integers(0, 5, 6)
        ends = [np.sort(rng.choice(40, 2 * n, replace=False)).astype(float) for n in counts]
        flat = np.concatenate(ends)
        return Runs(np.concatenate([[0], np.cumsum(counts)]), flat[::2].copy(), flat[1::2].copy())

    def cells(runs: Runs) -> NDArray[np.bool_]:
        middle = np.arange(40) + 0.5
        return np.array(
            [
                [any(runs.start_um[i] < x < runs.end_um[i] for i in range(runs.offsets[k], runs.offsets[k + 1]))
                 for x in middle]
                for k in range(6)
            ]
        )  # fmt: skip

    a, b = some(), some()
    assert np.array_equal(cells(combine(a, b, is_within=True)), cells(a) & cells(b))
    assert np.array_equal(cells(combine(a, b, is_within=False)), cells(a) & ~cells(b))
    with pytest.raises(ValueError, match="cannot be combined"):
        combine(a, Runs(np.zeros(3, dtype=np.int64), np.empty(0), np.empty(0)), is_within=True)
