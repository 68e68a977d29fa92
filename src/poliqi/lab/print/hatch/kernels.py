"""Scan lines of several layers met with capsules, and their intervals combined; `capsules` says it in plain numpy.

Lines of layer j, 0 <= i < n each, are numbered j n + i. Intervals of a line stand in a part of two arrays that is
counted first (`count_kernel`), filled (`meet_kernel`), then sorted and joined in place (`join_kernel`).
`combine_kernel` takes them from the domain's intervals or keeps them; `vectors_kernel` turns lines to and fro.

Speed goal: 1 mm3 with 10,000 segments, layers of 1 um and lines of .5 um apart in 2 s on two cores
(`python -m bench print`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import inlined, kernel

__all__ = ["combine_kernel", "count_kernel", "join_kernel", "measure_kernel", "meet_kernel", "vectors_kernel"]

_SLACK = 1e-9


@inlined
def _lines(
    row: NDArray[np.float64], radius: float, z: float, first: float, pitch: float, n: int
) -> tuple[int, int]:
    """First line and last line but one that a capsule can meet in the plane z; (0, 0) for none.

    Only the part of the axis within `radius` of the plane counts, and it reaches sqrt(radius^2 - its least
    distance^2) to the sides.
    """
    low, high = 0.0, row[6]
    rise = z - row[2]
    slope = row[5]
    if slope != 0.0:
        one = (rise - radius) / slope
        two = (rise + radius) / slope
        low = max(low, min(one, two))
        high = min(high, max(one, two))
    elif abs(rise) > radius:
        return 0, 0
    if low > high:
        return 0, 0
    near = min(max(rise / slope, low), high) if slope != 0.0 else low
    off = rise - near * slope
    side = math.sqrt(max(radius * radius - off * off, 0.0))
    one = row[1] + low * row[4]
    two = row[1] + high * row[4]
    begin = math.ceil((min(one, two) - side - first) / pitch - _SLACK)
    end = math.floor((max(one, two) + side - first) / pitch + _SLACK) + 1
    begin = min(max(begin, 0.0), float(n))
    end = min(max(end, begin), float(n))
    return int(begin), int(end)


@kernel
def count_kernel(
    rows: NDArray[np.float64],
    chosen: NDArray[np.int64],
    wide: float,
    z: NDArray[np.float64],
    first: float,
    pitch: float,
    n: int,
    counts: NDArray[np.int64],
) -> int:
    """Add to `counts` (layers n,) how many capsules a line may meet, each `wide` thicker. Returns the sum.

    `rows` (m, 8) are capsules, `chosen` those to look at; line i lies at first + i pitch.
    """
    total = 0
    for j in range(z.size):
        for at in range(chosen.size):
            row = rows[chosen[at]]
            begin, end = _lines(row, row[7] + wide, z[j], first, pitch, n)
            for i in range(begin, end):
                counts[j * n + i] += 1
            total += end - begin
    return total


@kernel
def meet_kernel(
    rows: NDArray[np.float64],
    chosen: NDArray[np.int64],
    wide: float,
    z: NDArray[np.float64],
    first: float,
    pitch: float,
    n: int,
    window: tuple[float, float],
    offsets: NDArray[np.int64],
    filled: NDArray[np.int64],
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
) -> None:
    """Put the interval of line and capsule at offsets[line] + filled[line]; those beside the `window` are left out.

    With e the line's distance from the first point, across and upwards, and the axis (u, v, w), the line enters
    and leaves the endless cylinder at (c u +- sqrt(a r^2 - k^2))/a, a = v^2 + w^2, c = e.(v, w), k = e x (v, w):
    nothing cancels. Where that lies before or behind the axis, the sphere about that end takes its place.
    """
    for j in range(z.size):
        for at in range(chosen.size):
            row = rows[chosen[at]]
            radius = row[7] + wide
            begin, end = _lines(row, radius, z[j], first, pitch, n)
            if begin == end:
                continue
            u, v, w, length = row[3], row[4], row[5], row[6]
            a = v * v + w * w
            square = radius * radius
            e_z = z[j] - row[2]
            far_z = e_z - length * w
            for i in range(begin, end):
                e_y = first + i * pitch - row[1]
                far_y = e_y - length * v
                in_first = square - e_y * e_y - e_z * e_z
                in_last = square - far_y * far_y - far_z * far_z
                c = e_y * v + e_z * w
                if a > 0.0:
                    k = e_y * w - e_z * v
                    root = a * square - k * k
                    if root < 0.0:
                        continue
                    root = math.sqrt(root)
                    low = (c * u - root) / a
                    high = (c * u + root) / a
                else:
                    if in_first < 0.0:
                        continue
                    low = -math.inf
                    high = math.inf
                s_low = low * u + c if u != 0.0 else c
                s_high = high * u + c if u != 0.0 else c
                if (s_low < 0.0 and s_high < 0.0) or (s_low > length and s_high > length):
                    inside = in_first if s_low < 0.0 else in_last
                    if inside < 0.0:
                        continue
                    middle = 0.0 if s_low < 0.0 else length * u
                    low = middle - math.sqrt(inside)
                    high = middle + math.sqrt(inside)
                else:
                    if s_low < 0.0:
                        low = -math.sqrt(max(in_first, 0.0))
                    elif s_low > length:
                        low = length * u - math.sqrt(max(in_last, 0.0))
                    if s_high < 0.0:
                        high = math.sqrt(max(in_first, 0.0))
                    elif s_high > length:
                        high = length * u + math.sqrt(max(in_last, 0.0))
                low += row[0]
                high += row[0]
                if low < high and high > window[0] and low < window[1]:
                    line = j * n + i
                    place = offsets[line] + filled[line]
                    starts[place] = low
                    ends[place] = high
                    filled[line] += 1


@kernel
def join_kernel(
    offsets: NDArray[np.int64],
    filled: NDArray[np.int64],
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
) -> int:
    """Sort each line's intervals and join those that touch, in place. Returns how many `filled` says there are."""
    total = 0
    for line in range(filled.size):
        begin, count = offsets[line], filled[line]
        step = 1
        while 3 * step + 1 < count:
            step = 3 * step + 1
        while step > 0:
            for at in range(begin + step, begin + count):
                low, high = starts[at], ends[at]
                place = at
                while place - step >= begin and starts[place - step] > low:
                    starts[place] = starts[place - step]
                    ends[place] = ends[place - step]
                    place -= step
                starts[place] = low
                ends[place] = high
            step //= 3
        kept = 0
        for at in range(begin, begin + count):
            if kept > 0 and starts[at] <= ends[begin + kept - 1]:
                ends[begin + kept - 1] = max(ends[begin + kept - 1], ends[at])
            else:
                starts[begin + kept] = starts[at]
                ends[begin + kept] = ends[at]
                kept += 1
        filled[line] = kept
        total += kept
    return total


@kernel
def combine_kernel(
    domain: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]],
    window: NDArray[np.float64],
    keep: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]],
    has_keep: bool,
    cut: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]],
    out_offsets: NDArray[np.int64],
    out_starts: NDArray[np.float64],
    out_ends: NDArray[np.float64],
) -> None:
    """Of each line: its domain within `window` (lines, 2) and, where `has_keep`, within `keep`, but for `cut`.

    `domain` is offsets, starts, ends; the other two are offsets, counts, starts, ends. `out_*` have room for all.
    """
    d_offsets, d_starts, d_ends = domain
    k_offsets, k_counts, k_starts, k_ends = keep
    c_offsets, c_counts, c_starts, c_ends = cut
    place = 0
    for line in range(window.shape[0]):
        out_offsets[line] = place
        k_at = k_offsets[line] if has_keep else 0
        k_stop = k_at + k_counts[line] if has_keep else 1
        c_begin = c_offsets[line]
        c_stop = c_begin + c_counts[line]
        for d in range(d_offsets[line], d_offsets[line + 1]):
            d_low = max(d_starts[d], window[line, 0])
            d_high = min(d_ends[d], window[line, 1])
            if d_low >= d_high:
                continue
            for k in range(k_at, k_stop):
                low, high = d_low, d_high
                if has_keep:
                    if k_ends[k] <= low:
                        k_at = k + 1
                        continue
                    if k_starts[k] >= high:
                        break
                    low = max(low, k_starts[k])
                    high = min(high, k_ends[k])
                while c_begin < c_stop and c_ends[c_begin] <= low:
                    c_begin += 1
                for c in range(c_begin, c_stop):
                    if c_starts[c] >= high:
                        break
                    if c_starts[c] > low:
                        out_starts[place] = low
                        out_ends[place] = c_starts[c]
                        place += 1
                    low = max(low, c_ends[c])
                if low < high:
                    out_starts[place] = low
                    out_ends[place] = high
                    place += 1
    out_offsets[window.shape[0]] = place


@kernel
def vectors_kernel(
    offsets: NDArray[np.int64],
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
    across_nm: NDArray[np.int64],
    axis: int,
    core: tuple[float, float],
    is_core: NDArray[np.bool_],
    merge_gap_um: float,
    min_length_um: float,
    jump_nm: float,
    vectors: NDArray[np.int32],
    sums: NDArray[np.int64],
) -> int:
    """Vectors (x0, y0, x1, y1) in nm of one layer's lines, every other line with something backwards.

    `sums` gets: length, lines with something, gaps within lines that are scanned dark (their length), gaps longer
    than `jump_nm` (their length, their number), vectors left out as too short (their number, their length), and the
    length of what lies in the tile's `core`, from and to in nm on lines that are `is_core`, without overlap.
    Returns how many vectors.
    """
    place = 0
    for line in range(across_nm.size):
        begin, stop = offsets[line], offsets[line + 1]
        first = place
        at = begin
        while at < stop:
            low, high = starts[at], ends[at]
            at += 1
            while at < stop and starts[at] - high < merge_gap_um:
                high = ends[at]
                at += 1
            low_nm = np.int64(np.rint(1000.0 * low))
            high_nm = np.int64(np.rint(1000.0 * high))
            if high_nm <= low_nm:
                continue
            if high - low < min_length_um:
                sums[5] += 1
                sums[6] += high_nm - low_nm
                continue
            vectors[place, axis] = low_nm
            vectors[place, 2 + axis] = high_nm
            vectors[place, 1 - axis] = across_nm[line]
            vectors[place, 3 - axis] = across_nm[line]
            sums[0] += high_nm - low_nm
            if is_core[line]:
                sums[7] += np.int64(max(min(float(high_nm), core[1]) - max(float(low_nm), core[0]), 0.0))
            if place > first:
                gap = low_nm - vectors[place - 1, 2 + axis]
                if gap > jump_nm:
                    sums[3] += gap
                    sums[4] += 1
                else:
                    sums[2] += gap
            place += 1
        if place == first:
            continue
        if sums[1] % 2 == 1:
            count = place - first
            for k in range((count + 1) // 2):
                other = place - 1 - k
                one = first + k
                low_x, high_x = vectors[one, axis], vectors[one, 2 + axis]
                vectors[one, axis] = vectors[other, 2 + axis]
                vectors[one, 2 + axis] = vectors[other, axis]
                vectors[other, axis] = high_x
                vectors[other, 2 + axis] = low_x
        sums[1] += 1
    return place


@kernel
def measure_kernel(vectors: NDArray[np.int32], found: NDArray[np.int64]) -> int:
    """Into `found`: least x and y, greatest x and y of all ends, and the summed length of vectors (n, 4), n > 0.

    Returns the first vector that is oblique or has no length, or -1.
    """
    wrong = -1
    low_x, low_y, high_x, high_y = vectors[0, 0], vectors[0, 1], vectors[0, 0], vectors[0, 1]
    length = np.int64(0)
    for i in range(vectors.shape[0]):
        x0, y0, x1, y1 = vectors[i, 0], vectors[i, 1], vectors[i, 2], vectors[i, 3]
        low_x, high_x = min(low_x, x0, x1), max(high_x, x0, x1)
        low_y, high_y = min(low_y, y0, y1), max(high_y, y0, y1)
        length += abs(np.int64(x1) - np.int64(x0)) + abs(np.int64(y1) - np.int64(y0))
        if (x0 == x1) == (y0 == y1) and wrong < 0:
            wrong = i
    found[0], found[1], found[2], found[3], found[4] = low_x, low_y, high_x, high_y, length
    return wrong
