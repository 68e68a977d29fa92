"""Regions of intervals against a slow definition, and against labels of voxels by scipy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from poliqi.lab.print.export.scanlines import Runs
from poliqi.lab.print.printability.islands import grid_over
from poliqi.lab.print.printability.regions import regions, regions_plain


def runs_of(solid: NDArray[np.bool_]) -> Runs:
    """Intervals of voxels (z, y, x), each a unit long."""
    starts: list[float] = []
    ends: list[float] = []
    offsets = [0]
    for row in solid.reshape(-1, solid.shape[2]):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
        starts += edges[::2].astype(float).tolist()
        ends += edges[1::2].astype(float).tolist()
        offsets.append(len(starts))
    return Runs(np.array(offsets), np.array(starts), np.array(ends))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("share", [0.25, 0.5, 0.7])
def test_regions_are_those_of_voxels(seed: int, share: float) -> None:
    solid = np.random.default_rng(seed).random((5, 6, 7)) < share
    runs = runs_of(solid)
    label = regions(runs, 6)
    assert np.array_equal(label, regions_plain(runs, 6))
    wanted: NDArray[np.int32] = ndimage.label(solid)[0]  # pyright: ignore[reportAssignmentType]
    lines = np.repeat(np.arange(30), np.diff(runs.offsets))
    at = wanted.reshape(30, 7)[lines, runs.start_um.astype(int)]
    pairs = set(zip(label.tolist(), at.tolist(), strict=True))
    assert len(pairs) == len(set(label.tolist())) == int(wanted.max())


def test_the_end_of_a_row_is_no_neighbour_of_the_next_rows_beginning() -> None:
    solid = np.zeros((2, 3, 4), dtype=bool)
    solid[0, 2], solid[1, 0] = True, True
    assert regions(runs_of(solid), 3).tolist() == [0, 1]


def test_intervals_that_only_touch_are_apart() -> None:
    runs = Runs(np.array([0, 1, 2]), np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    assert regions(runs, 2).tolist() == [0, 1]
    overlapping = Runs(runs.offsets, runs.start_um, runs.end_um + np.array([1e-9, 0.0]))
    assert regions(overlapping, 2).tolist() == [0, 0]


def test_a_long_snake_is_one_region() -> None:
    solid = np.zeros((40, 40, 5), dtype=bool)
    for k in range(0, 40, 2):
        solid[k, :, 2] = True
        if k:
            solid[k - 1, 0 if k % 4 else 39, 2] = True
    assert set(regions(runs_of(solid), 40).tolist()) == {0}


def test_lines_lie_in_the_middle_of_cells() -> None:
    grid = grid_over(np.array([[0.0, 10, 20], [5, 30, 50]]), 10.0)
    assert grid.ys_um.tolist() == [15.0, 25.0] and grid.zs_um.tolist() == [25.0, 35.0, 45.0]
    wider = grid_over(np.array([[0.0, 10, 20], [5, 30, 50]]), 10.0, margin=1)
    assert wider.ys_um.tolist() == [5.0, 15.0, 25.0, 35.0] and (wider.low_um, wider.high_um) == (-10.0, 15.0)
    assert 30_000 < len(grid_over(np.array([[0.0] * 3, [1000.0] * 3]), None).ys_um) ** 2 < 50_000
