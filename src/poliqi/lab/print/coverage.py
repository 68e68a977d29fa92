"""How far tissue is from a vessel: every voxel inside the domain and outside the lumens, exactly to the capsules.

A voxel stands for its centre; between centres no place is further than `Coverage.most_um`. What is further than
`reach_um` is put together into places by neighbourhood (26), each told by its worst voxel. Slabs of voxels are
worked on one after the other, so memory is bounded by the uncovered voxels and one slab.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.closure.capsules import capsules_of, distances

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.network import Network

__all__ = ["REACH_UM", "Coverage", "Place", "coverage", "percent_within"]

REACH_UM: Final = 200.0
"""Usual limit of oxygen's reach in tissue, capillary to cell."""
_MOST_VOXELS: Final = 100_000_000
_DEFAULT_VOXELS: Final = 200_000
_SLAB: Final = 500_000
_MOST_UNCOVERED: Final = 10_000_000


def percent_within(fraction: float) -> str:
    """In words, to four digits; 100 only where it is all."""
    return "100 %" if fraction >= 1.0 else f"{min(100.0 * fraction, 99.99):.4g} %"


@dataclass(frozen=True, slots=True)
class Place:
    """Uncovered voxels that touch: worst point, its distance to the nearest vessel, volume of all."""

    point_um: tuple[float, float, float]
    distance_um: float
    volume_um3: float


@dataclass(frozen=True, slots=True)
class Coverage:
    """`fraction` of the tissue's voxels within `reach_um` of a vessel's surface; the worst one of all; uncovered
    places, largest first, at most as many as asked for, `places` being how many there are. `spacing_um`: edge of
    a cube as large as a voxel. No tissue is further than `most_um`: the worst of all voxels that touch the
    domain, and half a voxel's diagonal.
    """

    reach_um: float
    spacing_um: float
    voxels: int
    fraction: float
    mean_um: float
    worst_um: float
    worst_point_um: tuple[float, float, float]
    places: int
    largest: tuple[Place, ...]
    most_um: float

    @property
    def is_full(self) -> bool:
        """Whether no place at all is out of reach, those between the voxels' centres included."""
        return self.most_um <= self.reach_um


def coverage(
    domain: Domain,
    network: Network,
    reach_um: float = REACH_UM,
    spacing_um: float | None = None,
    *,
    most_places: int = 10,
    progress: Callable[[int, int], None] | None = None,
) -> Coverage:
    """Distances on a grid of `spacing_um` (None: about 200,000 voxels in the domain's bounds).

    Raises ConfigError for a reach or spacing that cannot be, DataRefused for too many voxels or no tissue.
    """
    axes, steps = _grid(domain, reach_um, spacing_um)
    spacing, half = float(np.prod(steps)) ** (1 / 3), float(np.linalg.norm(steps)) / 2.0
    nx, ny, nz = (len(axis) for axis in axes)
    capsules = capsules_of(network)
    step = max(1, _SLAB // (ny * nz))
    count, covered, total = 0, 0, 0.0
    worst, worst_point, most = -np.inf, np.zeros(3), 0.0
    far_index: list[NDArray[np.int64]] = []
    far_um: list[NDArray[np.float64]] = []
    held = 0
    for first in range(0, nx, step):
        if progress is not None:
            progress(first, nx)
        mesh = np.meshgrid(axes[0][first : first + step], axes[1], axes[2], indexing="ij")
        points = np.stack([one.ravel() for one in mesh], axis=1)
        clearance = domain.clearance_um(points)
        index = np.flatnonzero(clearance > -half)
        away = distances(capsules, points[index])
        most = max(most, float(away.max(initial=-half)) + half)
        tissue = (away > 0.0) & (clearance[index] > 0.0)
        index, away = index[tissue], away[tissue]
        count += len(away)
        total += float(away.sum())
        far = away > reach_um
        covered += len(away) - int(far.sum())
        held += int(far.sum())
        if held > _MOST_UNCOVERED:
            raise DataRefused(
                f"coverage: above {_MOST_UNCOVERED} voxels are out of reach of {reach_um:g} um; "
                f"widen spacing_um = {spacing:g}"
            )
        far_index.append(index[far] + first * ny * nz)
        far_um.append(away[far])
        if len(away) and away.max() > worst:
            worst = float(away.max())
            worst_point = points[index[np.argmax(away)]]
    if progress is not None:
        progress(nx, nx)
    if not count:
        raise DataRefused(
            f"coverage: no tissue on a grid of {spacing:g} um; narrow spacing_um, or enlarge the domain"
        )
    places = _places(np.concatenate(far_index), np.concatenate(far_um), axes, spacing)
    x, y, z = worst_point.tolist()
    return Coverage(
        reach_um,
        spacing,
        count,
        covered / count,
        total / count,
        worst,
        (x, y, z),
        len(places),
        tuple(places[:most_places]),
        most,
    )


def _grid(
    domain: Domain, reach_um: float, spacing_um: float | None
) -> tuple[tuple[NDArray[np.float64], ...], NDArray[np.float64]]:
    """Centres of the voxels along each axis, and their spacing (3,): they fill the bounds."""
    if not 0.0 < reach_um < np.inf:
        raise ConfigError(f"coverage: reach_um = {reach_um}; give a distance above 0, mostly {REACH_UM:g}")
    low, high = np.asarray(domain.bounds_um, np.float64)
    size: NDArray[np.float64] = high - low
    spacing = float(np.prod(size) / _DEFAULT_VOXELS) ** (1 / 3) if spacing_um is None else spacing_um
    if not 0.0 < spacing <= float(size.max()):
        raise ConfigError(f"coverage: spacing_um = {spacing}; give a number above 0, at most {float(size.max()):g}")
    counts = np.ceil(size / spacing - 1e-9)
    if float(np.prod(counts)) > _MOST_VOXELS:
        raise DataRefused(
            f"coverage: spacing_um = {spacing:g} makes {float(np.prod(counts)):.3g} voxels, above {_MOST_VOXELS}; "
            f"{float(np.prod(size) / _MOST_VOXELS) ** (1 / 3):.3g} um would do"
        )
    steps = size / counts
    axes = tuple(
        start + step * (np.arange(int(n)) + 0.5) for start, step, n in zip(low, steps, counts.tolist(), strict=True)
    )
    return axes, steps


def _places(
    index: NDArray[np.int64], away: NDArray[np.float64], axes: tuple[NDArray[np.float64], ...], spacing: float
) -> list[Place]:
    """Clusters of the voxels `index`, largest first."""
    if not len(index):
        return []
    from poliqi.lab.print.flow.kirchhoff import pieces

    shape = (len(axes[0]), len(axes[1]), len(axes[2]))
    at: NDArray[np.int64] = np.stack(np.unravel_index(index, shape), axis=1)
    pairs: list[NDArray[np.int64]] = [np.zeros((0, 2), np.int64)]
    for step in _HALF:
        other = at + step
        inside = ((other >= 0) & (other < shape)).all(axis=1)
        i, j, k = other[inside].T
        wanted = (i * shape[1] + j) * shape[2] + k
        place: NDArray[np.int64] = np.asarray(np.searchsorted(index, wanted), np.int64)
        place[place == len(index)] = 0
        there = index[place] == wanted
        pairs.append(np.stack([np.flatnonzero(inside)[there], place[there]], axis=1))
    _, piece = pieces(np.concatenate(pairs), len(index))
    size = np.bincount(piece)
    order = np.lexsort((away, piece))
    worst = order[np.append(piece[order][1:] != piece[order][:-1], True)]  # the last of each piece is its worst
    found = [
        Place(
            (float(axes[0][at[k, 0]]), float(axes[1][at[k, 1]]), float(axes[2][at[k, 2]])),
            float(away[k]),
            float(size[piece[k]]) * spacing**3,
        )
        for k in worst.tolist()
    ]
    return sorted(found, key=lambda one: (-one.volume_um3, one.point_um))


_HALF: Final = np.array(
    [
        (i, j, k)
        for i in (0, 1)
        for j in (-1, 0, 1)
        for k in (-1, 0, 1)
        if (i, j, k) > (0, 0, 0)
    ],
    np.int64,
)  # fmt: skip
"""Half of a voxel's 26 neighbours: each pair once."""
