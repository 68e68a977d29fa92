"""Compiled sweeps of oxygen against their plain definitions, and the pieces behind them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg

from poliqi.lab.print.oxygen import stencil, stencilnumpy
from poliqi.lab.print.oxygen.lines import EFFECTIVE, line_means, spread_lines
from poliqi.lab.print.oxygen.multigrid import Team, hierarchy_of
from poliqi.lab.print.oxygen.newton import gmres, take
from poliqi.lab.print.oxygen.transport import carry, carry_change, content

SHAPES = ((6, 7, 8), (3, 3, 3), (4, 9, 5))


def made(shape: tuple[int, int, int], seed: int, *, harsh: bool = False) -> dict[str, Any]:
    """Fields of random cells, some without an unknown; `harsh`: conductances over six decades, many holes."""
    rng = np.random.default_rng(seed)
    there = np.zeros(shape, np.float32)
    there[1:-1, 1:-1, 1:-1] = rng.random(tuple(n - 2 for n in shape)) < (0.4 if harsh else 0.8)
    links = []
    for axis in range(3):
        link = np.zeros(shape, np.float32)
        this, following = [slice(None)] * 3, [slice(None)] * 3
        this[axis], following[axis] = slice(None, -1), slice(1, None)
        link[tuple(this)] = there[tuple(this)] * there[tuple(following)]
        links.append((link * (10.0 ** rng.uniform(-3, 3, shape) if harsh else 1.0)).astype(np.float32))
    c, b = (rng.standard_normal(shape).astype(np.float32) * there for _ in range(2))
    extra = (rng.random(shape) * there).astype(np.float32)
    diagonal = (extra + stencilnumpy.operate(np.ones_like(c), tuple(links), extra) * 0) * there
    diagonal[1:-1, 1:-1, 1:-1] += stencilnumpy.around(np.ones_like(c), tuple(links)) * there[1:-1, 1:-1, 1:-1]
    inverse = np.divide(1, diagonal, out=np.zeros_like(diagonal), where=diagonal > 0)
    found = {"there": there, "links": tuple(links), "c": c, "b": b, "extra": extra}
    return {**found, "diagonal": diagonal, "inverse": inverse}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("harsh", [False, True])
def test_sweeps_are_what_their_definitions_say(shape: tuple[int, int, int], harsh: bool) -> None:
    f = made(shape, 3, harsh=harsh)
    last = shape[0] - 1
    out = np.zeros_like(f["c"])
    stencil.apply_planes(f["c"], *f["links"], f["extra"], out, 1, last)
    scale = 1e-5 * (1 + np.abs(f["diagonal"]).max())
    np.testing.assert_allclose(out, stencilnumpy.operate(f["c"], f["links"], f["extra"]), atol=scale)
    for colour in (0, 1):
        c = f["c"].copy()
        stencil.sweep_planes(c, f["b"], f["inverse"], *f["links"], colour, 1, last)
        wanted = stencilnumpy.sweep(f["c"], f["b"], f["inverse"], f["links"], colour)
        np.testing.assert_allclose(c, wanted, rtol=2e-5, atol=1e-5)
    lowered = stencilnumpy.lower(f["b"])
    found = np.empty_like(lowered)
    stencil.lower_planes(f["b"], found)
    np.testing.assert_allclose(found, lowered, atol=1e-5)
    stencil.gather_planes(f["c"], f["b"], f["diagonal"], *f["links"], found, 1, found.shape[0] - 1)
    np.testing.assert_allclose(
        found, stencilnumpy.gather(f["c"], f["b"], f["diagonal"], f["links"]), atol=8 * scale
    )
    there = (stencilnumpy.lower(f["there"]) > 0).astype(np.float32)
    coarse = np.random.default_rng(1).standard_normal(there.shape).astype(np.float32) * there
    c = f["c"].copy()
    stencil.lift_planes(coarse, there, f["inverse"], c, 1, last)
    np.testing.assert_allclose(c, stencilnumpy.lift(coarse, there, f["inverse"], f["c"]), atol=1e-5)


def test_two_threads_do_what_one_does() -> None:
    f = made((40, 40, 40), 5)
    found = []
    for threads in (1, 2):
        with Team(threads) as team:
            hierarchy = hierarchy_of(f["links"], f["there"], team)
            hierarchy.set_extra(f["extra"])
            found.append(hierarchy.cycle(f["b"].copy()).copy())
    np.testing.assert_array_equal(found[0], found[1])


def test_multigrid_and_gmres_agree_with_a_direct_solution() -> None:
    f = made((12, 14, 11), 7)
    shape, there = f["c"].shape, f["there"].ravel() > 0
    size = there.size
    rows = [scipy.sparse.diags(f["extra"].ravel().astype(float))]
    for link, step in zip(f["links"], (shape[1] * shape[2], shape[2], 1), strict=True):
        at = np.flatnonzero(link.ravel())
        g = link.ravel()[at].astype(float)
        ones = (np.r_[g, g, -g, -g], (np.r_[at, at + step, at, at + step], np.r_[at, at + step, at + step, at]))
        rows.append(scipy.sparse.coo_matrix(ones, (size, size)))
    matrix = sum(row.tocsr() for row in rows)[there][:, there].tocsc()
    wanted = scipy.sparse.linalg.spsolve(matrix, f["b"].ravel()[there].astype(float))
    with Team(1) as team:
        hierarchy = hierarchy_of(f["links"], f["there"], team)
        hierarchy.set_extra(f["extra"])

        def apply(v: Any, out: Any) -> None:
            hierarchy.apply(v, f["extra"], out)
            out *= f["there"]

        found, cycles = gmres(apply, hierarchy.cycle, f["b"], 1e-5)
    assert cycles <= 12
    np.testing.assert_allclose(found.ravel()[there], wanted, atol=2e-4 * np.abs(wanted).max())


def test_consumption_and_its_slope_go_on_below_nought() -> None:
    c = np.zeros((4, 3, 3), np.float32)
    c[1, 1, 1], c[2, 1, 1] = 0.3, -0.2  # with the level .1: .4 and -.1
    volume = np.ones_like(c)
    residual, slope = np.zeros_like(c), np.zeros_like(c)
    total = take(c, 0.1, volume, 2.0, 0.1, residual, slope)
    assert -residual[1, 1, 1] == pytest.approx(2 * 0.4 / 0.5, rel=1e-6)
    assert -residual[2, 1, 1] == pytest.approx(2 * -0.1 / 0.1, rel=1e-6)
    assert slope[1, 1, 1] == pytest.approx(2 * 0.1 / 0.25, rel=1e-6)
    assert slope[2, 1, 1] == pytest.approx(2 / 0.1, rel=1e-6)
    assert total == pytest.approx(1.6 - 2.0, rel=1e-6)


def carried(first: list[int], up: list[int], down: list[int], flow: list[float], **given: Any) -> dict[str, Any]:
    points, pieces = max(*up, *down) + 1, first[-1]
    out = {name: np.empty(pieces) for name in ("mean", "given", "slope", "enter")}
    point, source = np.empty(points), np.array(given["source"], float)
    graph = (np.array(first), np.array(up), np.array(down), np.array(flow, float), source)
    s, t = np.array(given["s"], float), np.array(given["t"], float)
    blood = given.get("blood", (0.0, 1.0, 2.7))
    into = carry(*graph, given["inlet"], *blood, s, t, *out.values(), point)
    return {**out, "point": point, "into": into, "graph": graph, "s": s}


def test_a_vessel_falls_exponentially_towards_what_is_around_it() -> None:
    s, around, q = 0.3, 0.04, 1.5
    found = carried([0, 5], [0], [1], [q], source=[q, 0], inlet=0.2, s=[s] * 5, t=[s * around] * 5)
    assert found["point"][1] == pytest.approx(around + 0.16 * np.exp(-5 * s / q), rel=1e-12)
    assert found["given"].sum() == pytest.approx(q * (0.2 - found["point"][1]), rel=1e-12)
    assert found["into"] == pytest.approx(0.2 * q)


def test_streams_mix_by_their_flow_and_a_still_vessel_takes_what_is_around() -> None:
    flow = [3.0, 1.0, 4.0, 0.0]
    found = carried(
        [0, 1, 2, 3, 4], [0, 1, 2, 2], [2, 2, 3, 4], flow,
        source=[3, 1, 0, 0, 0], inlet=0.2, s=[0, 1e9, 0, 2], t=[0, 1e9 * 0.04, 0, 0.02],
    )  # fmt: skip
    assert found["point"][2] == pytest.approx((3 * 0.2 + 1 * 0.04) / 4, rel=1e-6)
    assert found["point"][3] == found["point"][2]
    assert found["mean"][3] == pytest.approx(0.01)
    assert found["given"][3] == 0


def test_blood_gives_what_its_content_falls_by() -> None:
    blood = (9.0, 0.035, 2.7)
    found = carried([0, 40], [0], [1], [2.0], source=[2, 0], inlet=0.13, s=[0.5] * 40, t=[0.0] * 40, blood=blood)
    ends = content(np.array([0.13, found["point"][1]]), *blood)
    assert pytest.approx(ends[0], rel=1e-12) == 0.13 + 9 / (1 + (0.035 / 0.13) ** 2.7)
    assert found["given"].sum() == pytest.approx(2.0 * (ends[0] - ends[1]), rel=1e-6)
    plain = carried([0, 40], [0], [1], [2.0], source=[2, 0], inlet=0.13, s=[0.5] * 40, t=[0.0] * 40)
    assert found["point"][1] > 100 * plain["point"][1]


@pytest.mark.parametrize("blood", [(0.0, 1.0, 2.7), (9.0, 0.035, 2.7)])
def test_the_change_of_means_is_the_derivative(blood: tuple[float, float, float]) -> None:
    first, up, down, flow = [0, 6, 9, 12], [0, 1, 1], [1, 2, 3], [2.0, 1.5, 0.5]
    s, t = np.full(12, 0.2), np.linspace(0.001, 0.01, 12)
    change = np.cos(np.arange(12.0))

    def at(step: float) -> dict[str, Any]:
        return carried(
            first, up, down, flow, source=[2, 0, 0, 0], inlet=0.15, s=s, t=t + step * change, blood=blood
        )  # fmt: skip

    base = at(0.0)
    mean = np.empty(12)
    carry_change(*base["graph"], s, change, base["slope"], base["enter"], mean)
    wanted = (at(1e-5)["mean"] - at(-1e-5)["mean"]) / 2e-5
    tolerance = 1e-6 if blood[0] == 0 else 0.05 * np.abs(wanted).max()  # secants are held: Newton's step is inexact
    np.testing.assert_allclose(mean, wanted, atol=tolerance)


def test_means_and_spreads_of_lines_are_each_others_transpose() -> None:
    rng = np.random.default_rng(2)
    c = rng.standard_normal((9, 10, 11)).astype(np.float32)
    base = rng.integers(0, 4, (5, 3))
    weight = rng.random((5, 3, 6)).astype(np.float32)
    scale = rng.random(5).astype(np.float32)
    wanted = [
        scale[n] * np.einsum("abc,a,b,c", c[tuple(slice(i, i + 6) for i in base[n])].astype(float), *weight[n])
        for n in range(5)
    ]
    means = np.empty(5)
    line_means(c, base, weight, scale, means)
    np.testing.assert_allclose(means, wanted, rtol=1e-4, atol=1e-4)
    q = rng.standard_normal(5).astype(np.float32)
    field = np.zeros_like(c)
    spread_lines(q, base, weight, scale, field)
    assert float((field * c).sum(dtype=float)) == pytest.approx(float((q * means).sum()), abs=1e-3)


def test_the_effective_radius_is_near_that_of_a_gauss_source() -> None:
    """Spreading and taking the mean, each with variance m^2/3 an axis: E[ln r] = (ln(2 s^2) - Euler)/2, s^2 = 2
    m^2/3; the grid's own h^2/12 shifts it by less than 5 %."""
    spread = 2 * 1.5**2 / 3
    assert pytest.approx(np.exp(0.5 * (np.log(2 * spread) - np.euler_gamma)), rel=0.05) == EFFECTIVE


@pytest.mark.parametrize("flow", [0.0, 1e-14])
@pytest.mark.parametrize("away", [True, False])
def test_a_blind_end_reads_what_is_around_it_not_the_inlet(flow: float, away: bool) -> None:
    """A still vessel beside a flowing one, told from either of its ends."""
    ends = (1, 3) if away else (3, 1)
    found = carried(
        [0, 1, 2, 4], [0, 1, ends[0]], [1, 2, ends[1]], [2.0, 2.0, flow],
        source=[2, 0, 0, 0], inlet=0.2, s=[0, 0, 2, 2], t=[0, 0, 0.06, 0.02] if away else [0, 0, 0.02, 0.06],
    )  # fmt: skip
    assert found["point"][3] == pytest.approx(0.01, rel=1e-3)
    assert found["point"][1] == pytest.approx(0.2)
