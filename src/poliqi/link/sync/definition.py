"""What the kernels of synchronisation compute, in numpy: the definition that they are tested against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poliqi.link.sync.clock import Timeline
from poliqi.link.sync.kernels import CELLS, CODES, DOUBLE, LOST, NO_SLOT

__all__ = ["Ingested", "aligned", "bins_of", "ingested", "phasors"]

Times = NDArray[np.int64]


def aligned(times: Times, codes: NDArray[np.uint8], delays: NDArray[np.int64]) -> tuple[Times, NDArray[np.uint8]]:
    """Tags that are some detector's (code below CODES), each earlier by its delay, sorted."""
    kept = codes < CODES
    at, which = (times - delays)[kept], codes[kept]
    order = np.argsort(at, kind="stable")
    return at[order], which[order]


def phasors(times: Times, start: int, rate: float, chunk_ps: float, chunks: int) -> NDArray[np.complex128]:
    """Sum of exp(2 pi i rate (t - start)) over the tags of each chunk."""
    since = (times - start).astype(np.float64)
    chunk = np.floor(since / chunk_ps).astype(np.int64)
    inside = (chunk >= 0) & (chunk < chunks)
    angle = 2.0 * np.pi * ((since * rate) % 1.0)[inside]
    real, imaginary = (np.bincount(chunk[inside], part, chunks) for part in (np.cos(angle), np.sin(angle)))
    return real + 1j * imaginary


def bins_of(times: Times, line: Timeline, bins: int) -> Times:
    """The bin of each tag, `bins` to a slot."""
    segment = np.clip(np.searchsorted(line.at_ps, times, side="right") - 1, 0, line.rate.size - 1)
    turns = line.fraction[segment] + (times - line.at_ps[segment]).astype(np.float64) * line.rate[segment]
    return bins * line.slot[segment] + np.floor(bins * turns).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Ingested:
    """Events (`outcomes` as a mask of the outcomes that fired) and the counters beside them."""

    slots: Times
    masks: NDArray[np.uint8]
    clicks: NDArray[np.int64]
    lost: NDArray[np.int64]
    arrivals: NDArray[np.uint32]


def ingested(
    times: Times, codes: NDArray[np.uint8], line: Timeline, gate: NDArray[np.int8], dead: int, afterpulse_ps: int
) -> Ingested:
    """What `ingest_kernel` makes of all tags of a stream, the last event included.

    Tags fall into groups, one for each slot that has any. With a dead time a group makes an event if its slot lies
    more than `dead` after that of the group before and its first tag is inside the gate; without, if any is. The
    event has every outcome of the group's tags inside the gate (from the first one on).
    """
    segment = np.clip(np.searchsorted(line.at_ps, times, side="right") - 1, 0, line.rate.size - 1)
    turns = line.fraction[segment] + (times - line.at_ps[segment]).astype(np.float64) * line.rate[segment]
    whole = np.floor(turns)
    cells = ((turns - whole) * CELLS).astype(np.int64) & (CELLS - 1)
    slots = np.maximum.accumulate(line.slot[segment] + whole.astype(np.int64))
    outcome = gate[codes, cells].astype(np.int64)
    arrivals = np.zeros((CODES, CELLS), np.uint32)
    np.add.at(arrivals, (codes, cells), 1)

    heads = np.flatnonzero(np.diff(slots, prepend=NO_SLOT))
    group = np.repeat(np.arange(heads.size), np.diff(heads, append=slots.size))
    hit = np.where(outcome >= 0, 1 << np.maximum(outcome, 0), 0)
    masks = np.bitwise_or.reduceat(hit, heads) if heads.size else hit
    rested = (np.diff(slots[heads], prepend=NO_SLOT) > dead) & (outcome[heads] >= 0)
    live = rested if dead > 0 else masks > 0
    lost = np.zeros((CODES, LOST), np.int64)
    since = np.full(times.size, 1 << 62)
    for code in range(CODES):
        own = np.flatnonzero(codes == code)
        since[own[1:]] = np.diff(times[own])
    seen = set[tuple[int, int]]()
    for i in range(times.size):
        where = (int(group[i]), int(outcome[i]))
        if outcome[i] < 0:
            lost[codes[i], 0] += 1
        elif not live[group[i]]:
            lost[codes[i], 2 if since[i] < afterpulse_ps else 1] += 1
        elif where in seen:
            lost[codes[i], 3] += 1
        else:
            seen.add(where)
    kept = masks[live]
    clicks = np.array([np.count_nonzero(kept >> k & 1) for k in range(4)], np.int64)
    single = np.array([0, 0, 1, 0, 2, 0, 0, 0, 3], np.uint8)
    several = (kept & (kept - 1)) > 0
    shown = np.where(several, DOUBLE | kept, single[np.where(several, 0, kept)]).astype(np.uint8)
    return Ingested(slots[heads][live], shown, clicks, lost, arrivals)
