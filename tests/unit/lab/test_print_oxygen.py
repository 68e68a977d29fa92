"""Oxygen in tissue against closed forms: Krogh and Erlang, slabs, spheres, and what a fluid loses on its way."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_bvp

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.domain.domain import box, cylinder, sphere
from poliqi.lab.print.network import Network, Port, Role
from poliqi.lab.print.oxygen.grid import grid_of, links_of, shape_of
from poliqi.lab.print.oxygen.multigrid import Team, hierarchy_of
from poliqi.lab.print.oxygen.newton import System, solve
from poliqi.lab.print.oxygen.oxygen import Oxygen, oxygen
from poliqi.lab.print.oxygen.tissue import PRESETS, Carrier, Tissue

D = 2e-9
C0 = 0.2
BARE = Carrier(sherwood=None)


def vessel(start: Any, end: Any, radius: float) -> Network:
    return Network(
        np.array([start, end], float),
        np.array([[0, 1]], np.int32),
        np.array([float(radius)]),
        np.zeros(1, np.uint8),
        np.zeros(1, np.int32),
        (Port(0, Role.INLET, 100.0, 1.0), Port(1, Role.OUTLET, 0.0, 1.0)),
    )


def flow(um3_s: float) -> Any:
    return SimpleNamespace(flow_um3_s=np.array([um3_s]), pressure_pa=np.array([100.0, 0.0]))


def slab(length_um: float, cells: int, m0: float, km: float) -> np.ndarray:
    """Concentration in a slab held at C0 at x = 0; nothing passes the other faces."""
    h = length_um / cells
    grid = grid_of(box((length_um, 3 * h, 3 * h)), h, is_held=False)
    grid.ground[1, 1:-1, 1:-1] = 2.0  # half a cell away
    links = links_of(grid)
    taken = m0 * (h * 1e-6) ** 2 / D
    with Team(1) as team:
        system = System(
            hierarchy_of((links[0], links[1], links[2]), grid.inside, team),
            grid.inside, grid.volume, grid.ground, grid.ground, np.zeros_like(grid.ground), taken, km, C0, None,
        )  # fmt: skip
        found = solve(system, np.zeros_like(grid.ground), 1e-5)
    assert found.residual < 1e-3
    return found.c[1:-1, 2, 2] + C0


@pytest.mark.parametrize(("m0", "depth_um"), [(0.005, 400.0), (0.02, 200.0), (0.05, 126.49)])
def test_oxygen_ends_at_the_depth_of_a_constant_consumption(m0: float, depth_um: float) -> None:
    c = slab(500.0, 125, m0, 1e-5)
    x = (np.arange(125) + 0.5) * 4.0
    wanted = C0 * np.maximum(1 - x / depth_um, 0) ** 2
    np.testing.assert_allclose(c, wanted, atol=0.004 * C0)
    assert Tissue(D, m0, 1e-5).reach_um == pytest.approx(depth_um, rel=1e-4)


def test_first_order_consumption_falls_as_cosh() -> None:
    m0, km = 5.0, 100.0  # c << km: rate m0/km
    c = slab(300.0, 60, m0, km)
    x = (np.arange(60) + 0.5) * 5e-6
    root = np.sqrt(m0 / km / D)
    np.testing.assert_allclose(c, C0 * np.cosh(root * (300e-6 - x)) / np.cosh(root * 300e-6), atol=0.003 * C0)


def michaelis(length_um: float, m0: float, km: float) -> Any:
    """The slab by collocation (scipy), in units of its length."""
    k = m0 * (length_um * 1e-6) ** 2 / D

    def rhs(_: Any, y: Any) -> Any:
        return np.vstack([y[1], k * y[0] / (km + np.abs(y[0]))])

    x = np.linspace(0, 1, 200)
    start = np.vstack([C0 * (1 - x) ** 2, -2 * C0 * (1 - x)])
    return solve_bvp(rhs, lambda a, b: np.array([a[0] - C0, b[1]]), x, start, tol=1e-8, max_nodes=20000).sol


def test_michaelis_menten_agrees_with_collocation_and_errors_fall_by_the_square() -> None:
    wanted = michaelis(250.0, 0.02, 0.02)
    errors = []
    for cells in (16, 32, 64):
        x = (np.arange(cells) + 0.5) / cells
        errors.append(np.abs(slab(250.0, cells, 0.02, 0.02) - wanted(x)[0]).max())
    assert errors[2] < 5e-4 * C0
    assert errors[0] / errors[1] > 3.3
    assert errors[1] / errors[2] > 3.0


def test_a_sphere_in_a_bath() -> None:
    """c0 - M0 (R^2 - r^2)/(6 D), Greenspan's spheroid before its core starves."""
    m0 = 0.02
    errors = []
    for cells in (16, 32):
        found = oxygen(sphere(100.0), None, None, Tissue(D, m0, 1e-6, bath_mol_m3=C0), cells=cells, threads=1)
        centre = np.array(found.low_um) + (np.argwhere(found.kind == 1) + 0.5) * found.spacing_um
        wanted = C0 - m0 / (6 * D) * (1e4 - (centre**2).sum(axis=1)) * 1e-12
        drop = m0 / (6 * D) * 1e-8
        errors.append(np.abs(found.c_mol_m3[found.kind == 1] - wanted).max() / drop)
        assert abs(found.balance.residual) < 1e-3
    assert errors[1] < 0.01
    assert errors[0] / errors[1] > 2.0
    assert np.isnan(found.c_mol_m3[0, 0, 0])
    assert found.kind[0, 0, 0] == 0


def krogh(
    radius: float, outer: float, h: float, along: tuple[float, float, float], off: tuple[float, float]
) -> tuple[np.ndarray, Oxygen]:
    """Errors over the drop, in the middle third of a long cylinder about a vessel that does not deplete."""
    u = np.array(along) / np.linalg.norm(along)
    a, long, m0 = np.array([*off, 0.0]), 5 * outer, 0.002
    domain = cylinder(outer, long, tuple(a.tolist()), tuple(u.tolist()))
    network = vessel(a - u * long / 2, a + u * long / 2, radius)
    found = oxygen(domain, network, flow(1e12), Tissue(D, m0, 1e-6), carrier=BARE, spacing_um=h)
    x = np.array(found.low_um) + (np.argwhere(found.kind == 1) + 0.5) * h - a
    t = x @ u
    rho = np.linalg.norm(x - t[:, None] * u, axis=1)

    def exact(r: Any) -> Any:
        return C0 - m0 / D * 1e-12 * (outer**2 / 2 * np.log(r / radius) - (r**2 - radius**2) / 4)

    nearest = radius + h if radius > 1.05 * h else 4 * h  # within the smeared source the field is not the tissue's
    judged = (rho > nearest) & (np.abs(t) < long / 6)
    return (found.c_mol_m3[found.kind == 1][judged] - exact(rho[judged])) / (C0 - exact(outer)), found


@pytest.mark.parametrize(
    ("radius", "along"),
    [
        (3.0, (0, 0, 1.0)),
        (5.0, (0.3, 0.5, 0.8)),
        (8.0, (0, 1.0, 1.0)),
        (8.5, (0.3, 0.5, 0.8)),
        (20.0, (1.0, 1.0, 1.0)),
    ],
)
def test_krogh_and_erlang_within_a_percent_in_both_regimes(
    radius: float, along: tuple[float, float, float]
) -> None:
    """Cells of 7.8 um: vessels of a third of a cell to three cells, oblique, off the grid."""
    error, found = krogh(radius, 125.0, 7.8125, along, (2.3, -3.1))
    assert np.abs(error).max() < 0.01
    assert abs(found.balance.residual) < 1e-3


@pytest.mark.soak
def test_krogh_over_many_radii_places_and_directions() -> None:
    rng = np.random.default_rng(11)
    worst = 0.0
    for radius in (1.5, 2.5, 4.0, 6.0, 7.5, 8.1, 8.3, 9.0, 10.0, 12.0, 16.0, 30.0):
        for _ in range(3):
            along, off = rng.standard_normal(3), rng.uniform(-8, 8, 2)
            error, _ = krogh(radius, 125.0, 7.8125, tuple(along.tolist()), (float(off[0]), float(off[1])))
            worst = max(worst, float(np.abs(error).max()))
    assert worst < 0.012


@pytest.mark.parametrize("radius", [4.0, 18.0])
def test_what_the_fluid_loses_is_what_the_tissue_takes(radius: float) -> None:
    """Medium: c_in - c_out = M0 V/Q along a Krogh cylinder, while there is enough everywhere."""
    outer, long, m0, q = 60.0, 400.0, 0.01, 3.2e5
    domain = cylinder(outer, long)
    network = vessel((0, 0, -long / 2), (0, 0, long / 2), radius)
    found = oxygen(domain, network, flow(q), Tissue(D, m0, 1e-6), carrier=BARE, cells=64)
    wanted = m0 * np.pi * (outer**2 - radius**2) * long / q
    assert wanted > 0.1
    assert found.vessels is not None
    assert C0 - found.vessels.point_mol_m3[1] == pytest.approx(wanted, rel=0.01)
    assert found.minimum_mol_m3 > 0
    assert found.minimum_at_um[2] > 0.4 * long  # at the far end, off the axis
    assert np.hypot(*found.minimum_at_um[:2]) > 0.8 * outer


@pytest.mark.parametrize("cells", [16, 24])
def test_a_thin_vessel_along_an_edge_feeds_its_tissue(cells: int) -> None:
    """Cells of 25 and 17 um: of the cells that a thin vessel is spread over, two thirds lie outside."""
    m0, q = 0.002, 4e5
    domain, network = box((240.0, 240.0, 400.0)), vessel((-105, -105, -200), (-105, -105, 200), 5.0)
    found = oxygen(domain, network, flow(q), Tissue(D, m0, 1e-6), carrier=BARE, cells=cells)
    assert found.vessels is not None
    wanted = m0 * (240 * 240 - np.pi * 25) * 400 / q
    assert C0 - found.vessels.point_mol_m3[1] == pytest.approx(wanted, rel=0.01)
    assert abs(found.balance.residual) < 1e-3


@pytest.mark.parametrize("thin", [0, 1, 2])
def test_tissue_that_is_thin_has_cells_enough_across_or_is_refused(thin: int) -> None:
    size, start, end = [300.0, 300.0, 300.0], np.zeros(3), np.zeros(3)
    along = (thin + 1) % 3
    size[thin], size[along] = 60.0, 1500.0
    start[along], end[along] = -750, 750
    domain = box((size[0], size[1], size[2]))
    args = (domain, vessel(tuple(start.tolist()), tuple(end.tolist()), 5.0), flow(1e6), Tissue(D, 0.004, 1e-6))
    found = oxygen(*args, carrier=BARE)
    assert min(found.c_mol_m3.shape) >= 8
    assert found.vessels is not None
    wanted = 0.004 * (60 * 300 - np.pi * 25) * 1500 / 1e6
    assert C0 - found.vessels.point_mol_m3[1] == pytest.approx(wanted, rel=0.01)
    with pytest.raises(ConfigError, match=r"2 cells of 46.9 um across .* give at least 100 cells"):
        oxygen(*args, carrier=BARE, cells=32)


def test_blood_loses_less_of_its_dissolved_oxygen() -> None:
    outer, long, m0, q, radius = 40.0, 200.0, 0.02, 1e4, 4.0
    tissue = Tissue(D, m0, 1e-6, inlet_mol_m3=0.13)
    args = (cylinder(outer, long), vessel((0, 0, -long / 2), (0, 0, long / 2), radius), flow(q), tissue)
    carrier = Carrier(9.0, 0.035, 2.7, sherwood=None)
    found = oxygen(*args, carrier=carrier, cells=32)
    assert found.vessels is not None
    c = found.vessels.point_mol_m3
    held = c + 9 / (1 + (0.035 / c) ** 2.7)
    volume = np.pi * (outer**2 - radius**2) * long
    assert held[0] - held[1] == pytest.approx(m0 * volume / q, rel=0.01)
    starved = oxygen(*args, carrier=BARE, cells=32)
    assert starved.vessels is not None
    assert starved.vessels.point_mol_m3[1] < 1e-3
    assert starved.hypoxic > 0.1 > found.hypoxic


def test_a_vessel_cannot_give_more_than_it_carries() -> None:
    found = oxygen(
        box((300.0, 300.0, 300.0)),
        vessel((0, 0, -150), (0, 0, 150), 10.0),
        flow(1e5),
        Tissue(D, 0.05, 1e-3),
        cells=32,
    )
    balance = found.balance
    assert balance.carried_in_mol_s == pytest.approx(0.2 * 1e5 * 1e-18)
    assert 0.99 < balance.consumed_mol_s / balance.carried_in_mol_s <= 1.001
    assert abs(balance.residual) < 1e-3
    assert found.hypoxic > 0.9
    assert found.c_mol_m3.min() >= 0


def test_the_film_in_the_vessel_costs_what_its_sherwood_number_says() -> None:
    """Wall to mean: q/(pi Sh D) per length, with q = M0 pi (R_t^2 - R^2)."""
    domain, network = cylinder(125.0, 300.0), vessel((0, 0, -150), (0, 0, 150), 20.0)
    bare, film = (
        oxygen(domain, network, flow(1e12), Tissue(D, 0.002, 1e-6), carrier=one, cells=32)
        for one in (BARE, Carrier(diffusivity_m2_s=D, sherwood=4.0))
    )
    wanted = 0.002 * (125.0**2 - 20.0**2) * 1e-12 / (4 * D)
    assert bare.mean_mol_m3 - film.mean_mol_m3 == pytest.approx(wanted, rel=0.04)  # two cells of radius


def test_tissue_is_the_domain_less_its_vessels() -> None:
    found = oxygen(
        box((200.0, 210.0, 333.0)),
        vessel((0, 0, -166.5), (0, 0, 166.5), 4.0),
        flow(1e9),
        PRESETS["fibrin-1e12"],
        cells=40,
    )
    wanted = 200 * 210 * 333 - np.pi * 16 * 333
    assert float(found.volume_um3.sum(dtype=float)) == pytest.approx(wanted, rel=1e-4)


def test_progress_is_told_and_the_same_comes_again() -> None:
    told: list[tuple[int, int]] = []
    args = (box((200.0, 200.0, 200.0)), vessel((0, 0, -100), (0, 0, 100), 6.0), flow(1e8), Tissue(D, 0.02, 5e-3))
    one = oxygen(*args, cells=24, progress=lambda done, total: told.append((done, total)))
    two = oxygen(*args, cells=24, threads=1)
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert all(done <= total for done, total in told)
    np.testing.assert_array_equal(one.c_mol_m3, two.c_mol_m3)


def test_presets_are_density_times_what_a_cell_takes() -> None:
    assert PRESETS["fibrin-1e13"].consumption_mol_m3_s == pytest.approx(1.3e-4)
    assert PRESETS["hepatocytes-5.14e14"].consumption_mol_m3_s == pytest.approx(0.024672)
    assert all(one.source for one in PRESETS.values())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"diffusivity_m2_s": 1.0}, "diffusivity_m2_s"),
        ({"diffusivity_m2_s": float("nan")}, "diffusivity_m2_s"),
        ({"consumption_mol_m3_s": -1.0}, "consumption_mol_m3_s"),
        ({"km_mol_m3": 0.0}, "km_mol_m3"),
        ({"bath_mol_m3": -0.1}, "bath_mol_m3"),
    ],
)
def test_tissues_that_cannot_be_are_refused(given: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Tissue(**{"diffusivity_m2_s": D, "consumption_mol_m3_s": 0.02, "km_mol_m3": 0.005, **given})


@pytest.mark.parametrize("given", [{"capacity_mol_m3": -1.0}, {"sherwood": 0.0}, {"exponent": 0.5}])
def test_carriers_that_cannot_be_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="carrier"):
        Carrier(**given)


def test_settings_are_refused_before_any_work() -> None:
    tissue = Tissue(D, 0.02, 0.005)
    domain, network = box((100.0, 100.0, 100.0)), vessel((0, 0, -50), (0, 0, 50), 5.0)
    with pytest.raises(ConfigError, match="GiB"):
        oxygen(domain, network, flow(1.0), tissue, spacing_um=0.05)
    with pytest.raises(ConfigError, match="not both"):
        oxygen(domain, network, flow(1.0), tissue, spacing_um=5.0, cells=20)
    with pytest.raises(ConfigError, match="4 to 4096"):
        oxygen(domain, network, flow(1.0), tissue, cells=2)
    with pytest.raises(ConfigError, match="neither"):
        oxygen(domain, None, None, tissue)
    with pytest.raises(ConfigError, match="together"):
        oxygen(domain, network, None, tissue)
    with pytest.raises(DataRefused, match="flow_um3_s"):
        oxygen(domain, network, flow(float("nan")), tissue)
    with pytest.raises(ConfigError, match="above 0"):
        shape_of(domain.bounds_um, 0.0)


def test_a_domain_full_of_vessels_has_no_tissue() -> None:
    with pytest.raises(DataRefused, match="no tissue"):
        oxygen(
            box((20.0, 20.0, 20.0)),
            vessel((0, 0, -10), (0, 0, 10), 40.0),
            flow(1e6),
            Tissue(D, 0.02, 5e-3),
            cells=8,
        )
