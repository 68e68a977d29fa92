"""Which pixel belongs to which bins, taken from pyFAI's own sparse matrix, and sums of frames into bins.

A pixel gives its value to one bin (no splitting) or shares it among neighbouring ones in proportion to the
overlap (bounding box). pyFAI decides both; here its matrix is turned round, from bins that list pixels to pixels in
the order of memory that name bins. `BinMap.project` is the definition in numpy; `add_counts` is its fast twin.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.curve import Axis
from poliqi.lab.xray.kernels import SETS_COUNT, SETS_SPLIT, count_kernel, split_kernel

__all__ = ["BinMap", "Counted", "Splitting", "bin_map"]

Floats = NDArray[np.float64]

_UNITS: Final = {Axis.Q_PER_NM: "q_nm^-1", Axis.Q_PER_ANGSTROM: "q_A^-1", Axis.TWO_THETA_DEG: "2th_deg"}
_WIDTH: Final = 4
_FIRST_LOST: Final = 4096
MOST_BINS: Final = 100_000


class Splitting(StrEnum):
    """How a pixel that lies across bins is shared."""

    NO = "no"
    """Not: it belongs to the bin of its centre. Bins are independent."""
    BBOX = "bbox"
    """By the box around it on the axis, as pyFAI's "bbox". Smoother; neighbouring bins are correlated."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Sums of one frame of counts: `signal` is the sum of c v, `variance` that of c^2 v, with shares c.

    `lost` lists the pixels with a bin whose value was no count.
    """

    signal: Floats
    variance: Floats
    lost: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BinMap:
    """Pixels (flat, in the order of memory) and their bins.

    `x` (bins,) are the centres of the bins. `starts` (pixels,): the first bin of a pixel, `bins` for one without.
    `shares` (pixels, 2 to 4): what it gives to that bin and to the next ones; None without splitting. `more_*`: the
    few shares beyond those. `spans` (n, 2): runs of pixels that have a bin. `most_pixels`: of any bin.
    """

    x: Floats
    starts: NDArray[Any]
    shares: NDArray[np.float32] | None
    more_pixels: NDArray[np.int64]
    more_bins: NDArray[np.int64]
    more_shares: NDArray[np.float32]
    spans: NDArray[np.int64]
    most_pixels: int

    @property
    def bins(self) -> int:
        """How many."""
        return self.x.size

    def project(self, values: NDArray[Any], *, squared: bool = False) -> Floats:
        """Sum over pixels of c times `values` (pixels,), or of c^2 times `values`."""
        return self._sums(np.arange(self.starts.size), values, squared)

    def project_some(self, pixels: NDArray[np.int64], values: NDArray[Any], *, squared: bool = False) -> Floats:
        """The same over some pixels alone: `values[k]` is that of pixel `pixels[k]`."""
        return self._sums(pixels, values, squared)

    def add_counts(self, frame: NDArray[Any], limit: int) -> Counted:
        """Sum a frame (pixels,) of uint16 or uint32 into bins; values of `limit` or more are no counts."""
        lost = np.empty(_FIRST_LOST, np.int64)
        while True:
            signal, variance, count = self._counted(frame, limit, lost)
            if count <= lost.size:
                return Counted(signal, variance, lost[:count])
            lost = np.empty(count, np.int64)

    def _counted(self, frame: NDArray[Any], limit: int, lost: NDArray[np.int64]) -> tuple[Floats, Floats, int]:
        stop = frame.dtype.type(limit)
        if self.shares is None:
            narrow = frame.dtype.type(min(limit, ((1 << 32) - 1) // self.most_pixels + 1))
            fast = np.zeros((SETS_COUNT, self.bins + 1), np.uint32)
            wide = np.zeros(self.bins + 1, np.uint64)
            count = count_kernel(frame, self.starts, self.spans, narrow, stop, fast, wide, lost)
            total = (wide + fast.sum(axis=0, dtype=np.uint64))[: self.bins].astype(np.float64)
            return total, total, count
        sums = np.zeros((SETS_SPLIT, self.bins + self.shares.shape[1], 2))
        count = split_kernel(frame, self.starts, self.shares, self.spans, stop, sums, lost)
        both = sums.sum(axis=0)[: self.bins]
        if self.more_pixels.size:
            values = frame[self.more_pixels].astype(np.float64)
            values[frame[self.more_pixels] >= stop] = 0.0
            part = self.more_shares * values
            both[:, 0] += np.bincount(self.more_bins, part, self.bins)
            both[:, 1] += np.bincount(self.more_bins, part * self.more_shares, self.bins)
        return both[:, 0].copy(), both[:, 1].copy(), count

    def _sums(self, pixels: NDArray[np.int64], values: NDArray[Any], squared: bool) -> Floats:
        starts = self.starts[pixels].astype(np.int64)
        taken = np.where(starts < self.bins, values, 0).astype(np.float64)
        if self.shares is None:
            return np.bincount(starts, taken, self.bins + 1)[: self.bins].astype(np.float64)
        total = np.zeros(self.bins + self.shares.shape[1])
        shares = self.shares[pixels].astype(np.float64) ** (2 if squared else 1)
        for k in range(self.shares.shape[1]):
            total += np.bincount(starts + k, shares[:, k] * taken, self.bins + self.shares.shape[1])
        if self.more_pixels.size:
            dense = np.zeros(self.starts.size)
            dense[pixels] = taken
            more = self.more_shares.astype(np.float64) ** (2 if squared else 1)
            total[: self.bins] += np.bincount(self.more_bins, more * dense[self.more_pixels], self.bins)
        return total[: self.bins]


def bin_map(
    integrator: Any,
    shape: tuple[int, int],
    bins: int,
    axis: Axis,
    splitting: Splitting,
    mask: NDArray[np.bool_],
    x_range: tuple[float, float] | None = None,
) -> BinMap:
    """Ask pyFAI's `integrator` for its matrix and turn it round. Raises DataRefused where no pixel is left."""
    if not 1 <= bins <= MOST_BINS:
        raise DataRefused(f"bins: {bins}; 1 to {MOST_BINS:,} are made")
    if bool(mask.all()):
        raise DataRefused("the mask covers every pixel; look at its polarity: other than 0 is left out")
    engine: Any = integrator.setup_sparse_integrator(
        shape,
        bins,
        mask=mask.astype(np.int8),
        pos0_range=x_range,
        unit=_UNITS[axis],
        split=splitting.value,
        algo="CSR",
    )
    pixels: NDArray[np.int64] = np.asarray(engine.indices, np.int64)
    owners = np.repeat(np.arange(bins), np.diff(np.asarray(engine.indptr, np.int64)))
    shares: NDArray[np.float32] = np.asarray(engine.data, np.float32)
    kept = shares > 0
    pixels, owners, shares = pixels[kept], owners[kept], shares[kept]
    if not pixels.size:
        raise DataRefused("no pixel falls into the range; give a wider one, or look at the geometry")
    centres = np.asarray(engine.bin_centers, np.float64) * _scale(axis)
    return _turned(centres, shape[0] * shape[1], pixels, owners, shares, splitting)


def _scale(axis: Axis) -> float:
    from pyFAI.units import to_unit  # pyright: ignore[reportUnknownVariableType]  # untyped

    unit: Any = to_unit(_UNITS[axis])  # pyright: ignore[reportUnknownVariableType]  # untyped
    return float(unit.scale)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]  # untyped


def _turned(
    x: Floats,
    size: int,
    pixels: NDArray[np.int64],
    owners: NDArray[np.int64],
    shares: NDArray[np.float32],
    splitting: Splitting,
) -> BinMap:
    bins = x.size
    order = np.argsort(pixels * bins + owners)
    pixels, owners, shares = pixels[order], owners[order], shares[order]
    kind = np.uint16 if bins < np.iinfo(np.uint16).max else np.int32
    starts = np.full(size, bins, kind)
    used, first = np.unique(pixels, return_index=True)
    starts[used] = owners[first]
    spans = _spans(used)
    if splitting is Splitting.NO:
        none = np.empty(0, np.int64)
        most = int(np.bincount(owners, minlength=bins).max())
        return BinMap(x, starts, None, none, none, np.empty(0, np.float32), spans, most)
    place = owners - starts[pixels].astype(np.int64)
    width = min(_WIDTH, int(place.max()) + 1)
    near = place < width
    dense = np.zeros((size, width), np.float32)
    dense[pixels[near], place[near]] = shares[near]
    far = ~near
    return BinMap(x, starts, dense, pixels[far], owners[far], shares[far], spans, 0)


def _spans(used: NDArray[np.int64]) -> NDArray[np.int64]:
    """Runs of neighbouring numbers in a sorted list, as (first, one after the last)."""
    breaks = np.flatnonzero(np.diff(used) > 1)
    firsts = np.concatenate([used[:1], used[breaks + 1]])
    lasts = np.concatenate([used[breaks], used[-1:]])
    return np.ascontiguousarray(np.stack([firsts, lasts + 1], axis=1))
