"""How much tissue is in reach of a vessel, against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.coverage import coverage
from poliqi.lab.print.domain.domain import box, sphere
from poliqi.lab.print.network import Network, Port, Role


def rods(*places: tuple[float, float], radius: float = 20.0, half: float = 500.0) -> Network:
    """Straight vessels along z at (x, y)."""
    points = np.array([(x, y, z) for x, y in places for z in (-half, half)])
    segments = np.arange(2 * len(places), dtype=np.int32).reshape(-1, 2)
    m = len(places)
    return Network(points, segments, np.full(m, radius), np.zeros(m, np.uint8), np.zeros(m, np.int32),
                   (Port(0, Role.INLET, 1.0, 1.0),))  # fmt: skip


def test_one_vessel_covers_its_cylinder() -> None:
    """A Krogh cylinder in a cube of 1 mm: (pi 220^2 - pi 20^2)/(1000^2 - pi 20^2) of the tissue."""
    found = coverage(box((1000.0,) * 3), rods((0.0, 0.0)), spacing_um=20.0)
    assert found.fraction == pytest.approx(np.pi * (220.0**2 - 20.0**2) / (1e6 - np.pi * 400.0), rel=0.01)
    assert found.worst_um == pytest.approx(490.0 * np.sqrt(2.0) - 20.0)  # the centre of a corner's voxel
    assert [abs(x) for x in found.worst_point_um[:2]] == [490.0, 490.0]
    assert found.places == 1
    assert found.largest[0].volume_um3 == pytest.approx((1.0 - found.fraction) * found.voxels * 20.0**3)
    assert not found.is_full


def test_vessels_close_enough_cover_all() -> None:
    grid = [(x, y) for x in (-400.0, -133.0, 133.0, 400.0) for y in (-400.0, -133.0, 133.0, 400.0)]
    found = coverage(box((1000.0,) * 3), rods(*grid), spacing_um=25.0)
    assert found.is_full
    assert found.fraction == 1.0
    assert found.worst_um < 200.0


def test_places_apart_are_told_apart_largest_first() -> None:
    """A vessel in the middle of a bar leaves out both its ends, 300 um and 100 um of length."""
    bar = box((1400.0, 200.0, 200.0), (100.0, 0.0, 0.0))
    found = coverage(bar, rods((0.0, 0.0), half=100.0), reach_um=280.0, spacing_um=20.0)
    assert found.places == 2
    long, short = found.largest
    assert long.point_um[0] == 790.0
    assert short.point_um[0] == -590.0
    assert long.distance_um == pytest.approx(np.hypot(790.0, 90.0) - 20.0)
    # the surfaces x = sqrt(300^2 - y^2) are about 294.5 um away on average: (800 - x) and (600 - x) by 200 x 200
    assert long.volume_um3 == pytest.approx(505.5 * 4e4, rel=0.02)
    assert short.volume_um3 == pytest.approx(305.5 * 4e4, rel=0.03)
    assert len(coverage(bar, rods((0.0, 0.0), half=100.0), 280.0, 20.0, most_places=1).largest) == 1


def test_distances_are_those_of_all_voxels_in_a_sphere() -> None:
    """Mean distance to a vessel that is a point-like ball in the centre: 3/4 (R^4 - r^4)/(R^3 - r^3) - r."""
    ball = Network(np.array([[0.0, 0.0, -0.01], [0.0, 0.0, 0.01]]), np.array([[0, 1]], np.int32), np.array([50.0]),
                   np.zeros(1, np.uint8), np.zeros(1, np.int32), (Port(0, Role.INLET, 1.0, 1.0),))  # fmt: skip
    found = coverage(sphere(300.0), ball, reach_um=100.0)
    assert found.mean_um == pytest.approx(0.75 * (300.0**4 - 50.0**4) / (300.0**3 - 50.0**3) - 50.0, rel=0.01)
    assert found.fraction == pytest.approx((150.0**3 - 50.0**3) / (300.0**3 - 50.0**3), rel=0.02)


def test_slabs_do_not_change_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    domain, network = box((1000.0, 600.0, 400.0)), rods((-300.0, 0.0), (350.0, 100.0), half=200.0)
    whole = coverage(domain, network, spacing_um=25.0)
    told: list[tuple[int, int]] = []
    monkeypatch.setattr("poliqi.lab.print.coverage._SLAB", 1000)
    found = coverage(domain, network, spacing_um=25.0, progress=lambda done, all_: told.append((done, all_)))
    assert replace(found, mean_um=0.0) == replace(whole, mean_um=0.0)
    assert found.mean_um == pytest.approx(whole.mean_um, rel=1e-12)
    assert told[0] == (0, 40)
    assert told[-1] == (40, 40)
    assert len(told) > 10


@pytest.mark.parametrize("reach", [0.0, -1.0, float("nan"), float("inf")])
def test_a_reach_that_cannot_be(reach: float) -> None:
    with pytest.raises(ConfigError, match="reach_um"):
        coverage(box((100.0,) * 3), rods((0.0, 0.0)), reach)


def test_grids_that_cannot_be() -> None:
    domain = box((1000.0,) * 3)
    with pytest.raises(DataRefused, match=r"1e\+12 voxels, above 100000000; 2\.15 um would do"):
        coverage(domain, rods((0.0, 0.0)), spacing_um=0.1)
    with pytest.raises(ConfigError, match="spacing_um = 2000"):
        coverage(domain, rods((0.0, 0.0)), spacing_um=2000.0)
    with pytest.raises(DataRefused, match="no tissue"):
        coverage(box((100.0,) * 3), rods((0.0, 0.0), radius=200.0))


def test_voxels_fill_the_domain_and_no_more() -> None:
    """A box of 103 by 50 by 30 um at 10 um: 11 by 5 by 3 voxels whose volumes sum to the box's."""
    domain = box((103.0, 50.0, 30.0))
    ball = replace(rods((0.0, 0.0), radius=0.001, half=0.01), points_um=np.array([[0, 0, -0.01], [0, 0, 0.01]]))
    found = coverage(domain, ball, reach_um=1e-3, spacing_um=10.0)
    assert found.voxels == 11 * 5 * 3 - 1  # the middle one has its centre in the vessel
    assert (found.voxels + 1) * found.spacing_um**3 == pytest.approx(103.0 * 50.0 * 30.0)
    assert abs(found.worst_point_um[0]) == pytest.approx(51.5 - 103.0 / 22.0)
    corner = float(np.linalg.norm([51.5, 25.0, 15.0]))
    assert found.worst_um < corner - 0.001 <= found.most_um < corner + found.spacing_um


def test_full_is_said_only_where_no_place_between_the_centres_is_out_of_reach() -> None:
    domain, network = box((400.0,) * 3), rods((0.0, 0.0), half=200.0)
    farthest = 200.0 * np.sqrt(2.0) - 20.0  # the edges
    found = coverage(domain, network, reach_um=farthest - 5.0, spacing_um=20.0)
    assert found.places == 0  # the edges' voxels have their centres nearer
    assert found.most_um >= farthest
    assert not found.is_full
    assert coverage(domain, network, reach_um=found.most_um, spacing_um=20.0).is_full


def test_curved_domains_are_bounded_too() -> None:
    ball = Network(np.array([[0.0, 0.0, -0.01], [0.0, 0.0, 0.01]]), np.array([[0, 1]], np.int32), np.array([5.0]),
                   np.zeros(1, np.uint8), np.zeros(1, np.int32), (Port(0, Role.INLET, 1.0, 1.0),))  # fmt: skip
    found = coverage(sphere(100.0), ball, spacing_um=25.0)
    assert found.most_um >= 95.0 - 0.02
