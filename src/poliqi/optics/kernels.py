"""Compiled kernels of the sampler; `poliqi.optics.definition` says in plain Python what they compute.

Cost follows candidate clicks: nothing here runs over pulses. Loop variables are int64 and words uint64;
candidates are drawn in batches that stay in the first-level cache. Speed goals, one core: 100 Mclick/s
without dead time, 40 with a dead time of 20 slots (`python -m bench sample`).
"""

from __future__ import annotations

import math
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel
from poliqi.optics.counter import GAMMA, LN2, LN_2_32, LN_SQRT2, LONGEST_GAP, MIX_1, MIX_2, SQRT2

__all__ = ["BATCH", "NEVER", "STATE_WORDS", "dead_time_kernel", "free_kernel", "states_kernel"]

BATCH: Final = 2048
NEVER: Final = (1 << 63) - 1
STATE_WORDS: Final = 7
"""What goes on from take to take: next candidate, first slot it may fall on, end of a paralysable dead time, slot
of the next afterpulse, the outcome it would have, clicks so far, double clicks so far."""

Int: TypeAlias = int | np.int64

_GAMMA: Final = np.uint64(GAMMA)
_MIX_1: Final = np.uint64(MIX_1)
_MIX_2: Final = np.uint64(MIX_2)
_S1: Final = np.uint64(1)
_S27: Final = np.uint64(27)
_S30: Final = np.uint64(30)
_S31: Final = np.uint64(31)
_S32: Final = np.uint64(32)
_LOW: Final = np.uint64(0xFFFFFFFF)
_MANTISSA: Final = (1 << 52) - 1
_ONE: Final = 1023 << 52
_AMBIGUOUS: Final = 255
_REJECTED: Final = 8


@kernel
def _word(key: np.uint64, counter: Int) -> np.uint64:
    z = key + (np.uint64(counter) + _S1) * _GAMMA
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@kernel
def _exponential(e: Int, m: float) -> float:
    """-ln(m 2^(e - 32)) for m in [1, 2), as `counter.exponential`."""
    s = np.divide(m - SQRT2, m + SQRT2)  # plain division: no test for zero, so the loop over it is vectorised
    t = s * s
    series = 1.0 / 15.0
    series = series * t + 1.0 / 13.0
    series = series * t + 1.0 / 11.0
    series = series * t + 1.0 / 9.0
    series = series * t + 1.0 / 7.0
    series = series * t + 1.0 / 5.0
    series = series * t + 1.0 / 3.0
    series = series * t + 1.0
    return LN_2_32 - (np.float64(e) * LN2 + (LN_SQRT2 + 2.0 * s * series))


@kernel
def _slots(deviate: float, slots_per_deviate: float) -> Int:
    length = deviate * slots_per_deviate
    length = length if length < LONGEST_GAP else LONGEST_GAP
    return np.int64(length if length > 0.0 else 0.0)


@kernel
def _draw_batch(
    key: np.uint64, counter: Int, slots_per_deviate: float, gaps: NDArray[np.int64], marks: NDArray[np.int64]
) -> None:
    """Geometric gaps and 32-bit marks of candidates counter, counter + 1, ...: arithmetic only."""
    deviates = np.empty(BATCH, np.float64)
    for i in range(BATCH):
        word = _word(key, counter + i)
        marks[i] = np.int64(word & _LOW)
        deviates[i] = np.float64(np.int64(word >> _S32)) + 0.5
    bits = deviates.view(np.int64)
    for i in range(BATCH):
        gaps[i] = (bits[i] >> 52) - 1023
        bits[i] = (bits[i] & _MANTISSA) | _ONE
    for i in range(BATCH):
        gaps[i] = _slots(_exponential(gaps[i], deviates[i]), slots_per_deviate)


@kernel
def _state(key: np.uint64, slot: Int, ends: NDArray[np.int64], guide: NDArray[np.uint8]) -> Int:
    word = _word(key, slot)
    upper = np.int64(word >> _S32)
    pair = np.int64(guide[upper >> 24])
    if pair == _AMBIGUOUS:
        pair = np.int64(0)
        while ends[pair] <= upper:
            pair += 1
    return pair << 1 | np.int64(word & _S1)


@kernel
def _outcome(state: Int, mark: Int, ends: NDArray[np.int64], guide: NDArray[np.uint8]) -> Int:
    """0 to 7, bit 2 telling a double click, or 8: the candidate is no click for this state."""
    found = np.int64(guide[state << 8 | mark >> 24])
    if found == _AMBIGUOUS:
        found = np.int64(0)
        while found < _REJECTED and ends[state << 3 | found] <= mark:
            found += 1
    return found


@kernel
def states_kernel(
    key: np.uint64,
    ends: NDArray[np.int64],
    guide: NDArray[np.uint8],
    slots: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> None:
    """Alice's state bytes at `slots`; `ends` and `guide` as `state_thresholds` and `guide_table` make them."""
    for i in range(slots.size):
        out[i] = np.uint8(_state(key, slots[i], ends, guide))


@kernel
def free_kernel(
    keys: NDArray[np.uint64],
    going: NDArray[np.int64],
    end: int,
    slots_per_deviate: float,
    state_ends: NDArray[np.int64],
    outcome_ends: NDArray[np.int64],
    outcome_guide: NDArray[np.uint8],
    slots: NDArray[np.int64],
    outcomes: NDArray[np.uint8],
) -> Int:
    """Clicks before slot `end` of detectors without memory, as many as fit; returns how many were written.

    Where less than a batch of room is left over, call again with more room.
    """
    counter, base = going[0], going[1]
    at = np.empty(BATCH, np.int64)
    marks = np.empty(BATCH, np.int64)
    upper = np.empty(BATCH, np.int64)
    cell = np.empty(BATCH, np.int64)
    n = 0
    doubles = 0
    running = True
    while running and n + BATCH <= slots.size:
        _draw_batch(keys[1], counter, slots_per_deviate, at, marks)
        slot = base
        for i in range(BATCH):
            slot += at[i]
            at[i] = slot
            slot += 1
        inside = BATCH
        if slot > end:
            running = False
            inside = np.int64(np.searchsorted(at, end))
        # the state byte of each slot, left of the mark's top 8 bits: the cell of the outcome's guide table
        for i in range(BATCH):
            word = _word(keys[0], at[i])
            upper[i] = np.int64(word >> _S32)
            cell[i] = np.int64(word & _S1) << 8 | marks[i] >> 24
        for k in range(state_ends.size - 1):
            for i in range(BATCH):
                cell[i] += np.int64(upper[i] >= state_ends[k]) << 9
        for i in range(inside):
            found = np.int64(outcome_guide[cell[i]])
            if found == _AMBIGUOUS:
                found = _outcome(cell[i] >> 8, marks[i], outcome_ends, outcome_guide)
            slots[n] = at[i]
            outcomes[n] = np.uint8(found & 3)
            n += np.int64(found < _REJECTED)
            doubles += np.int64(found < _REJECTED) & found >> 2
        if inside > 0:
            counter += inside
            base = at[inside - 1] + 1
    going[0], going[1] = counter, base
    going[5] += n
    going[6] += doubles
    return n


@kernel
def _merge(key: np.uint64, clicks: Int, found: Int, trapped: Int, active_mark: Int) -> Int:
    """One outcome of light's (8: none) and of an afterpulse in the same slot."""
    word = _word(key, 2 * clicks + 1)
    if found == _REJECTED:
        return trapped if active_mark < 0 else trapped & 1 | np.int64(np.int64(word >> _S32) >= active_mark) << 1
    chosen = found & 3 if word & _S1 else trapped
    if active_mark >= 0:
        chosen = found & 2 | chosen & 1
    return chosen | 4


@kernel
def dead_time_kernel(
    keys: NDArray[np.uint64],
    going: NDArray[np.int64],
    end: int,
    slots_per_deviate: float,
    dead: int,
    prolongs: int,
    trap_mark: int,
    slots_per_release: float,
    active_mark: int,
    state_ends: NDArray[np.int64],
    state_guide: NDArray[np.uint8],
    outcome_ends: NDArray[np.int64],
    outcome_guide: NDArray[np.uint8],
    slots: NDArray[np.int64],
    outcomes: NDArray[np.uint8],
) -> Int:
    """The same for detectors that remember: `dead` slots after a click, afterpulses where `trap_mark` > 0.

    `prolongs` is 1 where light prolongs the dead time; `active_mark` is the 32-bit threshold of Bob's key basis
    where he chooses actively, -1 where an afterpulse keeps the basis of its detector.
    """
    counter, base, blind, release, trapped, clicks, doubles = going
    gaps = np.empty(BATCH, np.int64)
    marks = np.empty(BATCH, np.int64)
    n = 0
    running = True
    while running and n + BATCH <= slots.size:
        _draw_batch(keys[1], counter, slots_per_deviate, gaps, marks)
        for i in range(BATCH):
            slot = base + gaps[i]
            if min(slot, release) >= end:
                running = False
                break
            counter += 1
            if release < slot:  # an afterpulse comes first; the candidate's gap is drawn anew after it
                slot, found = release, trapped
                if active_mark >= 0:
                    drawn = np.int64(_word(keys[2], 2 * clicks + 1) >> _S32)
                    found = trapped & 1 | np.int64(drawn >= active_mark) << 1
            else:
                state = _state(keys[0], slot, state_ends, state_guide)
                found = _outcome(state, marks[i], outcome_ends, outcome_guide)
                if slot == release:
                    found = _merge(keys[2], clicks, found, trapped, active_mark)
                base = slot + 1
                if found == _REJECTED:
                    continue
                if slot < blind:
                    blind = slot + 1 + dead
                    continue
            slots[n] = slot
            outcomes[n] = np.uint8(found & 3)
            n += 1
            doubles += found >> 2
            base = slot + 1
            if prolongs > 0:
                blind = base + dead
            else:
                base += dead
            if trap_mark > 0:
                release, trapped = NEVER, found & 3
                word = _word(keys[2], 2 * clicks)
                if np.int64(word >> _S32) < trap_mark:
                    m, e = math.frexp(np.float64(np.int64(word & _LOW)) + 0.5)
                    release = base + _slots(_exponential(np.int64(e) - 1, 2.0 * m), slots_per_release)
            clicks += 1
    going[0], going[1], going[2], going[3], going[4], going[5], going[6] = (
        counter,
        base,
        blind,
        release,
        trapped,
        clicks,
        doubles,
    )
    return n
