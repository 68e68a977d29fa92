"""The pieces of growth, each against a definition that shares nothing with it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.growth.closest import apart
from poliqi.lab.print.growth.contactkernels import four_ways
from poliqi.lab.print.growth.joints import balanced
from poliqi.lab.print.growth.radii import murray_residual, tree_radii
from poliqi.lab.print.growth.settings import GrowthSettings, Inlet
from poliqi.lab.print.network import Role

SEEDS = st.integers(0, 2**32 - 1)


def _least(p0, p1, q0, q1, ways, least) -> float:
    """By a fine grid over both segments, then by a general minimiser from the best of its points."""
    a, b = np.linalg.norm(p1 - p0), np.linalg.norm(q1 - q0)

    def path(s, t):
        return np.minimum.reduce(
            [(a - s if i else s) + ways[i, j] + (b - t if j else t) for i, j in itertools.product((0, 1), (0, 1))]
        )

    def distance(s, t):
        p = p0 + np.multiply.outer(s / a, p1 - p0)
        q = q0 + np.multiply.outer(t / b, q1 - q0)
        return np.linalg.norm(p - q, axis=-1)

    s, t = np.meshgrid(np.linspace(0, a, 161), np.linspace(0, b, 161), indexing="ij")
    grid = np.where(path(s, t) >= least, distance(s, t), np.inf)
    at = np.unravel_index(np.argmin(grid), grid.shape)
    if not np.isfinite(grid[at]):
        return np.inf
    found = minimize(
        lambda x: distance(x[0], x[1]) ** 2,
        [s[at], t[at]],
        bounds=[(0, a), (0, b)],
        constraints=[
            {
                "type": "ineq",
                "fun": lambda x, i=i, j=j: (
                    (a - x[0] if i else x[0]) + ways[i, j] + (b - x[1] if j else x[1]) - least
                ),
            }
            for i, j in itertools.product((0, 1), (0, 1))
            if np.isfinite(ways[i, j])
        ],
        method="SLSQP",
    )
    inside = path(found.x[0], found.x[1]) >= least - 1e-6
    return min(float(grid[at]), float(distance(found.x[0], found.x[1])) if inside else np.inf)


@given(SEEDS)
@settings(max_examples=40)
def test_least_distance_beyond_a_path_is_what_a_search_finds(seed: int) -> None:
    draw = np.random.default_rng(seed)
    p0, p1, q0, q1 = draw.normal(size=(4, 3)) * draw.choice([0.3, 1.0, 3.0])
    if draw.random() < 0.3:
        q0 = p1.copy()  # a joint
    if draw.random() < 0.2:
        q1 = q0 + (p1 - p0) * draw.uniform(0.1, 2)  # parallel
    ways = draw.uniform(0, 2, (2, 2))
    ways[draw.random((2, 2)) < 0.3] = np.inf
    least = draw.uniform(0, 4)
    got = four_ways(p0, p1, q0, q1, ways, least)[0]
    wanted = _least(p0, p1, q0, q1, ways, least)
    if np.isfinite(wanted):
        assert got <= wanted + 1e-6
        assert got >= wanted - 0.05 * (1 + wanted)
    one = ways.copy()
    one[:] = np.inf
    one[1, 0] = 0.0
    u, v = (p0 - p1) / np.linalg.norm(p0 - p1), (q1 - q0) / np.linalg.norm(q1 - q0)
    tree = apart(*p1, *u, float(np.linalg.norm(p0 - p1)), *q0, *v, float(np.linalg.norm(q1 - q0)), least)[0]
    assert tree == pytest.approx(four_ways(p0, p1, q0, q1, one, least)[0], abs=1e-7)


def test_joint_of_three_equal_pulls_has_angles_of_120_degrees() -> None:
    a, b, c = np.array([[0.0, 0, 0], [2.0, 0, 0], [0.7, 1.5, 0.0]])
    x = np.array(balanced(*a, 1.0, *b, 1.0, *c, 1.0))
    units = [(p - x) / np.linalg.norm(p - x) for p in (a, b, c)]
    for one, two in itertools.combinations(units, 2):
        assert one @ two == pytest.approx(-0.5, abs=2e-3)


def test_joint_has_the_angles_of_murray() -> None:
    # Murray (1926): cos of the angle between branch 1 and the parent's line = (r0^4 + r1^4 - r2^4) / (2 r0^2 r1^2)
    r1, r2 = 1.0, 0.7
    r0 = (r1**3 + r2**3) ** (1 / 3)
    a, b, c = np.array([[0.0, 0, 0], [10.0, 4.0, 0], [9.0, -5.0, 1.0]])
    x = np.array(balanced(*a, r0**2, *b, r1**2, *c, r2**2))
    on = (x - a) / np.linalg.norm(x - a)
    for end, mine, other in ((b, r1, r2), (c, r2, r1)):
        way = (end - x) / np.linalg.norm(end - x)
        cosine = (r0**4 + mine**4 - other**4) / (2 * r0**2 * mine**2)
        assert on @ way == pytest.approx(cosine, abs=5e-3)


def test_symmetric_tree_has_radii_in_closed_form() -> None:
    # every generation: two children, each 2^(-1/3) of the radius; lengths L 2^(-k/3) give R = L (depth + 1)
    depth, length = 5, 200.0
    points, segments, level = [[0.0, 0, 0], [length, 0, 0]], [[0, 1]], [1]
    for k in range(1, depth + 1):
        following = []
        for node in level:
            for sign in (-1, 1):
                points.append((np.array(points[node]) + length * 2 ** (-k / 3) * np.array([0, sign, 0])).tolist())
                segments.append([node, len(points) - 1])
                following.append(len(points) - 1)
        level = following
    radius = tree_radii(
        np.array(points),
        np.array(segments, dtype=np.int32),
        terminal_flow_um3_s=1e5,
        pressure_drop_pa=800.0,
        viscosity_pa_s=7e-4,
    )
    n = 2**depth
    root = (8 * 7e-4 * 1e5 * n / (np.pi * 800.0) * length * (depth + 1)) ** 0.25
    assert radius[0] == pytest.approx(root, rel=1e-12)
    assert radius[-1] == pytest.approx(root * 2 ** (-depth / 3), rel=1e-12)
    assert murray_residual(np.array(segments, dtype=np.int32), radius).max() < 1e-12


@pytest.mark.parametrize("segments", [[[0, 1], [1, 2], [2, 1]], [[0, 1], [2, 3]], [[0, 1], [1, 2], [3, 4], [4, 3]]])
def test_what_is_no_tree_has_no_radii(segments) -> None:
    with pytest.raises(DataRefused, match="tree has"):
        tree_radii(
            np.random.default_rng(1).random((5, 3)),
            np.array(segments, dtype=np.int32),
            terminal_flow_um3_s=1.0,
            pressure_drop_pa=1.0,
            viscosity_pa_s=1.0,
        )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inlets": ()}, "0 inlets"),
        ({"terminals": 0}, "terminals = 0"),
        ({"terminals": 2_000_000}, "terminals = 2000000"),
        ({"flow_um3_s": 0.0}, "flow_um3_s = 0.0"),
        ({"flow_um3_s": float("nan")}, "flow_um3_s = nan"),
        ({"exponent": 5.0}, "exponent = 5.0"),
        ({"gap_um": -1.0}, "gap_um = -1.0"),
        ({"seed": -1}, "seed = -1"),
        ({"inlets": (Inlet((0, 0, float("inf"))),)}, "three coordinates"),
        ({"inlets": (Inlet((0, 0, 0), pressure_pa=100.0),)}, "drives no flow"),
        ({"inlets": (Inlet((0, 0, 0), role=Role.OUTLET, pressure_pa=900.0),)}, "drives no flow"),
        ({"inlets": (Inlet((0, 0, 0), share=0.4), Inlet((1, 0, 0), share=0.4))}, "sum to 1"),
        ({"inlets": (Inlet((0, 0, 0), share=1.0), Inlet((1, 0, 0)))}, "for all or for none"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, words) -> None:
    with pytest.raises(ConfigError, match=words):
        GrowthSettings(**{"inlets": (Inlet((0.0, 0.0, 0.0)),), **changes})
