"""What Alice prepares in a slot, as a function of (seed, slot) alone.

State byte: bit 0 the bit value, bit 1 the basis (0 key, 1 test), bits 2 and 3 the intensity (0 brightest).
No array over the pulses exists anywhere: whoever knows the seed recomputes the states of the slots that
were detected. Seed-derived states exist in the simulated device only. Of entangled pairs the state is what
Alice's own detectors saw, intensity 1 where they saw nothing (`poliqi.optics.pairs.prepared`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poliqi.optics.counter import stream_keys, thresholds, words
from poliqi.optics.parameters import Source

__all__ = ["Prepared", "alice_states", "guide_table", "state_probabilities", "state_thresholds"]

AMBIGUOUS: Final = 255


class Prepared(NamedTuple):
    """How often Alice's state has each intensity, and the key basis: of pairs, 0 is a click and 1 is nothing."""

    probabilities: tuple[float, ...]
    key_basis: float


def state_probabilities(source: Source | Prepared) -> NDArray[np.float64]:
    """Probability of each (intensity, basis) pair, in the order key, test, key, test, ... brightest first."""
    bases = np.array([source.key_basis, 1.0 - source.key_basis])
    return np.outer(np.array(source.probabilities), bases).ravel()


def state_thresholds(source: Source | Prepared) -> NDArray[np.int64]:
    """Upper ends of the 32-bit ranges of the (intensity, basis) pairs; the last is 2^32."""
    ends = thresholds(state_probabilities(source))
    ends[-1] = 1 << 32
    return ends


def guide_table(ends: NDArray[np.int64]) -> NDArray[np.uint8]:
    """For each value of the top 8 of 32 bits: how many `ends` lie at or below it, or 255 where that varies."""
    low = np.arange(256, dtype=np.int64) << 24
    first = np.searchsorted(ends, low, side="right")
    last = np.searchsorted(ends, low + ((1 << 24) - 1), side="right")
    return np.where(first == last, first, AMBIGUOUS).astype(np.uint8)


def alice_states(source: Source | Prepared, seed: int, slots: NDArray[np.int64]) -> NDArray[np.uint8]:
    """States of `slots` (int64[n]) as bytes (uint8[n])."""
    from poliqi.optics.kernels import states_kernel

    ends = state_thresholds(source)
    out = np.empty(slots.shape, np.uint8)
    states_kernel(
        np.uint64(stream_keys(seed)[0]), ends, guide_table(ends), np.ascontiguousarray(slots, np.int64), out
    )
    return out


def alice_states_definition(source: Source | Prepared, seed: int, slots: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The same in plain numpy: the upper half of the slot's word chooses intensity and basis, bit 0 the bit."""
    word = words(stream_keys(seed)[0], slots)
    upper = (word >> np.uint64(32)).astype(np.int64)
    pair = np.searchsorted(state_thresholds(source), upper, side="right")
    bit = (word & np.uint64(1)).astype(np.int64)
    return (pair << 1 | bit).astype(np.uint8)
