"""Radii that print as designed: simulate, compare the surface with the design, correct each vessel, and again.

As Lang et al. (Opt. Express 30, 28805, 2022; arXiv 2205.14891) correct a written height map by what its prediction
lacks, each segment's radius is corrected by the mean error of the surface that is its own, from the second loop on
by Gauss-Newton. A loop that does not lower the error of all is tried again with what printed best of each segment;
where that does not help either the work ends: what is left is the shape of the focus, which no radius mends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.print.dose.pointdose import reach_um
from poliqi.lab.print.dose.surface import Rays, errors_um, printed_um, rays_of, rmse_um

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.dose.exposure import Exposure
    from poliqi.lab.print.network import Network

__all__ = ["Compensation", "compensate"]

_TRIES: Final = 6
_SHORT_STEP: Final = 0.3
_SLOPES: Final = (0.3, 4.0)
_LEAST_MOVE_UM: Final = 1e-3
_ROUNDS: Final = 4


@dataclass(frozen=True, slots=True)
class Compensation:
    """What was written and what it prints.

    `rmse_um`: root mean square error of the surface before, and after each loop. `rays` are the design's;
    `first_um` and `last_um` are what is printed along them before and after. `held` counts vessels that were not
    thickened as far as wanted, so that they do not touch others. `is_settled`: the last loop found nothing to gain.
    """

    network: Network
    rmse_um: tuple[float, ...]
    rays: Rays
    first_um: NDArray[np.float64]
    last_um: NDArray[np.float64]
    held: int
    is_settled: bool

    def moved_um(self, design: Network) -> NDArray[np.float64]:
        """Written radius less designed, of each segment."""
        return self.network.radius_um - design.radius_um


def compensate(
    network: Network,
    exposure: Exposure,
    loops: int,
    *,
    least_um: float,
    gap_um: float = 0.0,
    contacts: Callable[[Network, float], NDArray[np.int64]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Compensation:
    """Correct the radii in at most `loops` loops, each lowering the error of the printed surface.

    `least_um`: a written radius below it is refused (DataRefused, naming vessel and place), as the dose or the
    lattice of lines does not resolve it. `contacts` gives pairs (k, 2) of segments whose walls are thinner than a
    gap; pairs that the design has not are held apart by `gap_um`.
    """
    rays, count = rays_of(network), len(network.segments)
    look = _Look(exposure, rays, count, progress)
    first = look.at(network)
    known = _keys(contacts(network, gap_um)) if contacts is not None else set[tuple[int, int]]()
    now, seen, history = network, first, [first.rmse_um]
    held, settled = 0, False
    wanted = now.radius_um - _own_mean(rays, seen.errors_um, count)
    for _ in range(loops):
        best, squares, found = now.radius_um, seen.own_square, None
        for at in range(_TRIES):
            if at == _TRIES - 2:  # a part of the way, where whole steps of neighbours hinder each other
                wanted = now.radius_um + _SHORT_STEP * (wanted - now.radius_um)
            tried, kept = _apart(network, now, wanted if at % 2 == 0 else best, gap_um, contacts, known)
            _check_radii(tried, least_um)
            after = look.at(tried)
            better = after.own_square < squares
            best, squares = np.where(better, tried.radius_um, best), np.where(better, after.own_square, squares)
            if at % 2 == 0:
                wanted = _next_um(rays, now.radius_um, tried.radius_um, seen, after)
            if after.rmse_um < history[-1]:
                found = tried, after, kept
                break
        if found is None:
            settled = True
            break
        now, seen, held = found
        history.append(seen.rmse_um)
    return Compensation(now, tuple(history), rays, first.printed_um, seen.printed_um, held, settled)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A simulation: where rays meet the printed surface, its errors, and the sum of squares of each segment."""

    printed_um: NDArray[np.float64]
    errors_um: NDArray[np.float64]
    own_square: NDArray[np.float64]

    @property
    def rmse_um(self) -> float:
        return rmse_um(self.errors_um)


@dataclass(frozen=True, slots=True)
class _Look:
    """Simulates networks along the rays of the design."""

    exposure: Exposure
    rays: Rays
    count: int
    progress: Callable[[int, int], None] | None

    def at(self, network: Network) -> _Seen:
        printed = printed_um(network, self.exposure, self.rays, self.progress)
        errors = errors_um(self.rays, printed, reach_um(self.exposure))
        squares = np.bincount(self.rays.owner, errors**2, minlength=self.count).astype(np.float64)
        return _Seen(printed, errors, squares)


def _own_mean(rays: Rays, values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Mean over the rays that leave each capsule; 0 where none does."""
    sums = np.bincount(rays.owner, values, minlength=count)
    return sums / np.maximum(np.bincount(rays.owner, minlength=count), 1)


def _next_um(
    rays: Rays, before_um: NDArray[np.float64], after_um: NDArray[np.float64], before: _Seen, after: _Seen
) -> NDArray[np.float64]:
    """Gauss-Newton: the radius at which the sum of squares is least, as each ray followed the last correction.

    Along a ray the error is e + g (r - r_after), g = change of e by change of r, within bounds; the least sum over
    a vessel's own rays lies at r_after - sum(g e)/sum(g^2). Where the radius hardly moved, g is 1.
    """
    moved = (after_um - before_um)[rays.owner]
    large = np.abs(moved) > _LEAST_MOVE_UM
    slope = (after.errors_um - before.errors_um) / np.where(large, moved, 1.0)
    slope = np.clip(np.where(large, slope, 1.0), *_SLOPES)
    count = len(after_um)
    top = np.bincount(rays.owner, slope * after.errors_um, minlength=count)
    return after_um - top / np.maximum(np.bincount(rays.owner, slope**2, minlength=count), 1e-12)


def _check_radii(network: Network, least_um: float) -> None:
    small = np.flatnonzero(network.radius_um < least_um)
    if len(small):
        at = int(small[np.argmin(network.radius_um[small])])
        x, y, z = (network.start_um[at] + network.end_um[at]) / 2
        raise DataRefused(
            f"dose: vessel {at} at ({x:.1f}, {y:.1f}, {z:.1f}) um would be written with a radius of "
            f"{network.radius_um[at]:.3g} um, below {least_um:.3g} um, the least that the dose resolves "
            f"({len(small)} such); design it wider, or use a finer focus, hatch or layer"
        )


def _keys(pairs: NDArray[np.int64]) -> set[tuple[int, int]]:
    return {(int(min(a, b)), int(max(a, b))) for a, b in pairs}


def _apart(
    design: Network,
    now: Network,
    wanted_um: NDArray[np.float64],
    gap_um: float,
    contacts: Callable[[Network, float], NDArray[np.int64]] | None,
    known: set[tuple[int, int]],
) -> tuple[Network, int]:
    """With the radii wanted, but for vessels that would come closer than the gap: those keep what they have.

    First they go back to `now`, then to the design, which has no contact but those known.
    """
    radius = np.maximum(wanted_um, 1e-9)
    held = np.zeros(len(radius), dtype=bool)
    network = replace(now, radius_um=radius)
    if contacts is None:
        return network, 0
    for at in range(_ROUNDS):
        new = _keys(contacts(network, gap_um)) - known
        if not new:
            return network, int(held.sum())
        both = np.unique(np.array(sorted(new), dtype=np.int64))
        safe = np.minimum(now.radius_um, design.radius_um) if at else now.radius_um
        radius = radius.copy()
        radius[both] = np.minimum(radius[both], safe[both])
        held[both] = True
        network = replace(now, radius_um=radius)
    return replace(now, radius_um=np.minimum(radius, design.radius_um)), len(radius)
