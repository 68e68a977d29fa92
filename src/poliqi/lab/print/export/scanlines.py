"""Where lines parallel to x run through vessels: exact, one capsule after another, without a mesh.

A capsule is convex, so a line meets it in one interval; `capsule_interval_plain` says in numpy which.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from poliqi.base.jit import inlined, kernel
from poliqi.lab.print.dose.capsulelines import capsule_table, line_in_capsule

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.network import Network

__all__ = ["Runs", "capsule_interval_plain", "combine", "lumen_runs"]


class Runs(NamedTuple):
    """Disjoint ascending intervals of many lines: those of line i are from offsets[i] to offsets[i + 1]."""

    offsets: NDArray[np.int64]
    start_um: NDArray[np.float64]
    end_um: NDArray[np.float64]


@inlined
def _first(values: NDArray[np.float64], least: float) -> int:
    """Place of the first of ascending values that is not below `least`."""
    low, high = 0, values.size
    while low < high:
        middle = (low + high) // 2
        if values[middle] < least:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _meet(
    table: NDArray[np.float64],
    ys: NDArray[np.float64],
    zs: NDArray[np.float64],
    line: NDArray[np.int64],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
) -> int:
    """Interval of every line (k * len(ys) + j) with every capsule; how many, also where arrays are short."""
    count = 0
    for i in range(table.shape[0]):
        row = table[i]
        r = row[7]
        y, z = row[1] + row[6] * row[4], row[2] + row[6] * row[5]
        j0, j1 = _first(ys, min(row[1], y) - r), _first(ys, max(row[1], y) + r)
        k0, k1 = _first(zs, min(row[2], z) - r), _first(zs, max(row[2], z) + r)
        for k in range(k0, k1):
            for j in range(j0, j1):
                first, last = line_in_capsule(row, r, row[0], ys[j], zs[k], 1.0, 0.0, 0.0)
                if first < last:
                    if count < line.size:
                        line[count] = k * ys.size + j
                        start[count] = row[0] + first
                        end[count] = row[0] + last
                    count += 1
    return count


@kernel
def _merge(
    row: NDArray[np.int64],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    offsets: NDArray[np.int64],
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
) -> int:
    """Unite intervals, which come by row and start."""
    count = 0
    last_row = -1
    for i in range(row.size):
        if row[i] == last_row and start[i] <= ends[count - 1]:
            ends[count - 1] = max(ends[count - 1], end[i])
            continue
        last_row = row[i]
        offsets[last_row + 1] += 1
        starts[count] = start[i]
        ends[count] = end[i]
        count += 1
    for i in range(offsets.size - 1):
        offsets[i + 1] += offsets[i]
    return count


@kernel
def _combine(
    a_offsets: NDArray[np.int64],
    a_start: NDArray[np.float64],
    a_end: NDArray[np.float64],
    b_offsets: NDArray[np.int64],
    b_start: NDArray[np.float64],
    b_end: NDArray[np.float64],
    is_within: bool,
    offsets: NDArray[np.int64],
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
) -> int:
    """Of a what lies within b, or outside of it."""
    count = 0
    for line in range(a_offsets.size - 1):
        for i in range(a_offsets[line], a_offsets[line + 1]):
            at = a_start[i]
            for j in range(b_offsets[line], b_offsets[line + 1]):
                if b_end[j] <= a_start[i] or b_start[j] >= a_end[i]:
                    continue
                if is_within:
                    starts[count] = max(a_start[i], b_start[j])
                    ends[count] = min(a_end[i], b_end[j])
                    count += 1
                else:
                    if b_start[j] > at:
                        starts[count] = at
                        ends[count] = b_start[j]
                        count += 1
                    at = b_end[j]
            if not is_within and at < a_end[i]:
                starts[count] = at
                ends[count] = a_end[i]
                count += 1
        offsets[line + 1] = count
    return count


def lumen_runs(network: Network, ys_um: NDArray[np.float64], zs_um: NDArray[np.float64]) -> Runs:
    """The lumen on the lines parallel to x at every y of `ys_um` and z of `zs_um`, both ascending.

    Line k * len(ys_um) + j is at (ys_um[j], zs_um[k]). Call with few z at a time: a call is not interrupted.
    """
    start, end, radius = network.start_um[:, 2], network.end_um[:, 2], network.radius_um
    near = (np.maximum(start, end) + radius > zs_um[0]) & (np.minimum(start, end) - radius < zs_um[-1])
    table = capsule_table(network)[near]
    room = 16 * len(table) + 1024
    while True:
        row, first, last = np.empty(room, dtype=np.int64), np.empty(room), np.empty(room)
        count = _meet(table, ys_um, zs_um, row, first, last)
        if count <= room:
            break
        room = count
    order = np.lexsort((first[:count], row[:count]))
    offsets = np.zeros(len(ys_um) * len(zs_um) + 1, dtype=np.int64)
    starts, ends = np.empty(count), np.empty(count)
    kept = _merge(row[order], first[order], last[order], offsets, starts, ends)
    return Runs(offsets, starts[:kept], ends[:kept])


def combine(of: Runs, other: Runs, *, is_within: bool) -> Runs:
    """Of `of` what lies within `other` (the intersection), or what lies outside of it (the difference)."""
    if len(of.offsets) != len(other.offsets):
        raise ValueError(f"runs of {len(of.offsets) - 1} and {len(other.offsets) - 1} lines cannot be combined")
    room = len(of.start_um) + len(other.start_um) + 1
    offsets, starts, ends = np.zeros(len(of.offsets), dtype=np.int64), np.empty(room), np.empty(room)
    count = _combine(*of, *other, is_within, offsets, starts, ends)
    return Runs(offsets, starts[:count], ends[:count])


def capsule_interval_plain(
    start: NDArray[np.float64], end: NDArray[np.float64], radius: float, y: float, z: float
) -> tuple[float, float]:
    """First and last x of the line at (y, z) within a capsule, by bisection on the distance to its axis; inf,
    -inf.
    """
    run = end - start

    def distance(x: float) -> float:
        point = np.array([x, y, z])
        share = float(np.clip((point - start) @ run / (run @ run), 0.0, 1.0))
        return float(np.linalg.norm(point - start - share * run))

    low, high = min(start[0], end[0]) - radius, max(start[0], end[0]) + radius
    left, right = low, high
    for _ in range(200):  # the distance is a convex function of x
        one, two = left + (right - left) / 3, right - (right - left) / 3
        left, right = (left, two) if distance(one) < distance(two) else (one, right)
    inner = 0.5 * (left + right)
    if distance(inner) >= radius:
        return math.inf, -math.inf

    def edge(outside: float) -> float:
        inside = inner
        for _ in range(100):
            middle = 0.5 * (inside + outside)
            inside, outside = (middle, outside) if distance(middle) < radius else (inside, middle)
        return inside

    return edge(low - 1.0), edge(high + 1.0)
