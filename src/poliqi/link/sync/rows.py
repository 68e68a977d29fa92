"""Alice's states and Bob's clicks as rows of points that can be set against each other, bin by bin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from poliqi.link.sync.clock import Timeline
from poliqi.link.sync.kernels import bins_kernel
from poliqi.link.timetags.tags import KEY_BY_BIN

__all__ = ["Agreement", "Row", "agreement", "alice_row", "bins_of_tags", "click_values", "folded", "weights"]

Row: TypeAlias = NDArray[np.complex64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Matching clicks and wrong ones among them, (key, test), in slots whose states are known."""

    matched: tuple[int, int]
    wrong: tuple[int, int]

    @property
    def score(self) -> float:
        """Right less wrong, in standard deviations of coin tosses."""
        total = sum(self.matched)
        return (total - 2 * sum(self.wrong)) / math.sqrt(total) if total else 0.0

    @property
    def false_alarm(self) -> float:
        """Bound on the chance of such a score at one wrong offset."""
        return math.exp(-min(self.score**2 / 2.0, 700.0)) if self.score > 0 else 1.0

    def qber(self, basis: int) -> float | None:
        """Share of wrong ones in a basis (0 key, 1 test), None without clicks."""
        return self.wrong[basis] / self.matched[basis] if self.matched[basis] else None


def bins_of_tags(times: NDArray[np.int64], line: Timeline, bins: int) -> NDArray[np.int64]:
    """The bin of each tag by Bob's own count, `bins` to a slot: int64 of the same length."""
    out = np.empty(times.size, np.int64)
    bins_kernel(times, line.bounds(times), line.at_ps, line.slot, line.fraction, line.rate, bins, out)
    return out


def alice_row(states: NDArray[np.uint8], bins: int, *, by_bin: bool) -> Row:
    """z of these states: complex64 [bins * n]. `by_bin`: key bits are bins, not detectors."""
    sign = 1.0 - 2.0 * (states & 1).astype(np.float32)
    is_test = (states & 2) > 0
    row = np.zeros((states.size, bins), np.complex64)
    row[is_test, bins - 1] = 1j * sign[is_test]
    is_key = ~is_test
    if by_bin:
        row[is_key, 0], row[is_key, 1] = sign[is_key], -sign[is_key]
    else:
        row[is_key] = sign[is_key, None]
    return row.ravel()


def click_values(codes: NDArray[np.uint8], *, by_bin: bool) -> Row:
    """y's part for each click: its sign, real for the key arm and imaginary for the test arm."""
    values = np.array([1.0, -1.0, 1j, -1j, 1.0 if by_bin else 0.0], np.complex64)
    return values[codes]


def agreement(
    at_bin: NDArray[np.int64], codes: NDArray[np.uint8], states: NDArray[np.uint8], bins: int, offset: int
) -> Agreement:
    """How Bob's clicks fit `states` (of slots 0 on) if slot 0 begins `offset` bins after his bin 0."""
    first, end = np.searchsorted(at_bin, [offset, offset + bins * states.size])
    slot, place = np.divmod(at_bin[first:end] - offset, bins)
    code = codes[first:end]
    state = states[slot]
    by_bin = code == KEY_BY_BIN
    is_test = code >> 1 == 1
    bit = np.where(by_bin, place, code & 1)
    counts = ~is_test | (place == bins - 1)
    fits = counts & (((state >> 1) & 1) == is_test)
    wrong = fits & (bit != (state & 1))
    return Agreement(
        (int(np.count_nonzero(fits & ~is_test)), int(np.count_nonzero(fits & is_test))),
        (int(np.count_nonzero(wrong & ~is_test)), int(np.count_nonzero(wrong & is_test))),
    )


def folded(row: Row, size: int) -> Row:
    """A row of points wrapped round a circle of `size` places: what falls on one place is added."""
    if row.size % size or row.size == 0:
        row = np.concatenate([row, np.zeros(-row.size % size, np.complex64)])
    return row if row.size == size else row.reshape(-1, size).sum(axis=0, dtype=np.complex64)


def weights(row: Row, bins: int, *, by_bin: bool) -> float:
    """Sum of the squares by which Alice's bits are weighted where her row meets this one of Bob's, an upper bound.

    A key bit meets the real parts of its bins, added where its sign is the same in both, subtracted where its bin
    tells it; a test bit the imaginary part of its own bin. With two bins a slot, of the two ways to pair them the
    heavier counts.
    """
    real, imaginary = row.real.astype(np.float64), row.imag.astype(np.float64)
    if bins == 1:
        return float((real * real).sum() + (imaginary * imaginary).sum())
    late = np.roll(real, -1)
    pairs = (real - late if by_bin else real + late) ** 2 + np.roll(imaginary, -1) ** 2
    return max(float(pairs[::2].sum()), float(pairs[1::2].sum()))
