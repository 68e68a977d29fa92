"""Intervals along scan lines: their type, and unions and differences of two sets of them, line by line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel

__all__ = ["Spans", "less", "of_counts", "together"]


@dataclass(frozen=True, slots=True)
class Spans:
    """Disjoint ascending intervals on n lines: those of line i stand at `offsets[i]` to `offsets[i + 1]`, in um."""

    offsets: NDArray[np.int64]
    start_um: NDArray[np.float64]
    end_um: NDArray[np.float64]

    @property
    def length_um(self) -> float:
        """Sum of all lengths."""
        return float((self.end_um - self.start_um).sum())


def of_counts(count: NDArray[np.int64], ends: NDArray[np.float64]) -> Spans:
    """Spans from `count` (n,) intervals a line, whose starts and ends alternate in `ends` (n, 2 m)."""
    offsets = np.zeros(count.size + 1, dtype=np.int64)
    np.cumsum(count, out=offsets[1:])
    there = np.stack([count > k for k in range(ends.shape[1] // 2)], axis=1)
    return Spans(offsets, ends[:, 0::2][there], ends[:, 1::2][there])


@kernel
def _union(
    a_at: NDArray[np.int64], a_start: NDArray[np.float64], a_end: NDArray[np.float64],
    b_at: NDArray[np.int64], b_start: NDArray[np.float64], b_end: NDArray[np.float64],
    offsets: NDArray[np.int64], start: NDArray[np.float64], end: NDArray[np.float64],
) -> int:  # fmt: skip
    n = 0
    for line in range(a_at.size - 1):
        first = n
        i, j = a_at[line], b_at[line]
        while i < a_at[line + 1] or j < b_at[line + 1]:
            if j >= b_at[line + 1] or (i < a_at[line + 1] and a_start[i] <= b_start[j]):
                s, e = a_start[i], a_end[i]
                i += 1
            else:
                s, e = b_start[j], b_end[j]
                j += 1
            if n > first and s <= end[n - 1]:
                end[n - 1] = max(end[n - 1], e)
            else:
                start[n], end[n] = s, e
                n += 1
        offsets[line + 1] = n
    return n


@kernel
def _difference(
    a_at: NDArray[np.int64], a_start: NDArray[np.float64], a_end: NDArray[np.float64],
    b_at: NDArray[np.int64], b_start: NDArray[np.float64], b_end: NDArray[np.float64],
    offsets: NDArray[np.int64], start: NDArray[np.float64], end: NDArray[np.float64],
) -> int:  # fmt: skip
    n = 0
    for line in range(a_at.size - 1):
        j = b_at[line]
        last = b_at[line + 1]
        for i in range(a_at[line], a_at[line + 1]):
            s, e = a_start[i], a_end[i]
            while j < last and b_end[j] <= s:
                j += 1
            k = j
            while k < last and b_start[k] < e:
                if b_start[k] > s:
                    start[n], end[n] = s, b_start[k]
                    n += 1
                s = max(s, b_end[k])
                k += 1
            if s < e:
                start[n], end[n] = s, e
                n += 1
        offsets[line + 1] = n
    return n


def _combined(compiled: Any, a: Spans, b: Spans) -> Spans:
    most = a.start_um.size + b.start_um.size
    offsets = np.zeros(a.offsets.size, dtype=np.int64)
    start, end = np.empty(most), np.empty(most)
    n = compiled(a.offsets, a.start_um, a.end_um, b.offsets, b.start_um, b.end_um, offsets, start, end)
    return Spans(offsets, start[:n].copy(), end[:n].copy())


def together(a: Spans, b: Spans) -> Spans:
    """What lies in either; intervals that touch become one."""
    return _combined(_union, a, b)


def less(a: Spans, b: Spans) -> Spans:
    """What lies in `a` and not in `b`."""
    return _combined(_difference, a, b)
