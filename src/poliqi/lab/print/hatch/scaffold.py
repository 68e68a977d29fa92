"""What a shell is made of beside vessel walls: the domain's skin, and a lattice of beams between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from poliqi.lab.print.domain.domain import Domain, Spans

__all__ = ["lattice_spans", "skin_spans"]

_HALVINGS: Final = 12
Lists = tuple["NDArray[np.int64]", "NDArray[np.float64]", "NDArray[np.float64]"]
"""Line, start and end of each interval."""


def skin_spans(
    domain: Domain,
    axis: int,
    across_um: NDArray[np.float64],
    z_um: NDArray[np.float64],
    inside: Spans,
    window_um: NDArray[np.float64],
    skin_um: float,
    step_um: float,
) -> Lists:
    """Where scan lines lie within `skin_um` of the domain's boundary, as line, start, end of each interval.

    The clearance changes by no more than the way along a line, so from a place with clearance c nothing changes
    within |c - skin|: steps are that long, and never below `step_um`. Ends are then halved down to step/4096. What
    is missed is what comes and goes within one step along the line. `inside` are the lines' intervals in the
    domain, of which what lies within `window_um` (lines, 2) is looked at.
    """

    def depth(line: NDArray[np.int64], at: NDArray[np.float64]) -> NDArray[np.float64]:
        points = np.empty((len(at), 3))
        points[:, axis], points[:, 1 - axis], points[:, 2] = at, across_um[line], z_um[line]
        return domain.clearance_um(points) - skin_um

    owners = np.repeat(np.arange(len(across_um)), np.diff(inside.offsets))
    at = np.maximum(inside.start_um, window_um[owners, 0])
    stop = np.minimum(inside.end_um, window_um[owners, 1])
    line, at, stop = owners[at < stop], at[at < stop], stop[at < stop]
    value = depth(line, at) if len(at) else at
    begun = np.where(value < 0, at, np.nan)
    found: list[Lists] = []
    while len(at):
        ahead = np.minimum(at + np.maximum(np.abs(value), step_um), stop)
        reached = depth(line, ahead)
        turned = (reached < 0) != (value < 0)
        if turned.any():
            edge = _edge(depth, line[turned], at[turned], ahead[turned], value[turned] < 0)
            left = value[turned] < 0
            found.append((line[turned][left], begun[turned][left], edge[left]))
            begun[np.flatnonzero(turned)] = np.where(left, np.nan, edge)
        is_done = ahead >= stop
        ends = is_done & (reached < 0)
        found.append((line[ends], begun[ends], stop[ends]))
        go = ~is_done
        line, at, stop, value, begun = line[go], ahead[go], stop[go], reached[go], begun[go]
    if not found:
        return line, at, stop
    joined = tuple(np.concatenate(column) for column in zip(*found, strict=True))
    return joined[0], joined[1], joined[2]


def _edge(
    depth: Callable[[NDArray[np.int64], NDArray[np.float64]], NDArray[np.float64]],
    line: NDArray[np.int64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    was_skin: NDArray[np.bool_],
) -> NDArray[np.float64]:
    low, high = low.copy(), high.copy()
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        same = (depth(line, middle) < 0) == was_skin
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return 0.5 * (low + high)


def lattice_spans(
    axis: int,
    across_um: NDArray[np.float64],
    z_um: NDArray[np.float64],
    bounds_um: NDArray[np.float64],
    period_um: float,
    beam_um: float,
) -> Lists:
    """Where scan lines lie in a cubic lattice, as line, start, end of each interval.

    Square beams of side b run along x, y and z, a period p apart, their lower edges at the lowest corner of
    `bounds_um` (2, 3). With f = b/p a part 3 f^2 - 2 f^3 of the volume is solid.
    """
    low, high = bounds_um[0], bounds_um[1]
    in_across = (across_um - low[1 - axis]) % period_um < beam_um
    in_z = (z_um - low[2]) % period_um < beam_um
    whole = np.flatnonzero(in_across & in_z)
    some = np.flatnonzero(in_across ^ in_z)
    count = int((high[axis] - low[axis]) / period_um) + 1
    begins = low[axis] + period_um * np.arange(count)
    starts = np.concatenate([np.full(len(whole), low[axis]), np.tile(begins, len(some))])
    ends = np.concatenate([np.full(len(whole), high[axis]), np.tile(begins + beam_um, len(some))])
    return np.concatenate([whole, np.repeat(some, count)]), starts, ends
