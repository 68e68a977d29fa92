"""Tags to events: slots, gates, dead time and double clicks, and the counters that a device keeps of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.secret import Entropy
from poliqi.link.sync.clock import Timeline
from poliqi.link.sync.gates import Filters, gate_table
from poliqi.link.sync.kernels import CELLS, CODES, LOST, NO_SLOT, STATE_WORDS, ingest_kernel
from poliqi.link.timetags.tags import Tagging

__all__ = ["Counters", "Events", "Ingest", "settle_doubles"]

_NEVER: Final = -(1 << 62)


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Slots (rising) and outcomes (as in `poliqi.link.device`) of one stretch."""

    slots: NDArray[np.int64] = field(repr=False)
    outcomes: NDArray[np.uint8] = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Counters:
    """What went by since the start.

    `clicks` int64 [4]: slots in which an outcome fired; `doubles`: slots in which several did. `lost` int64 [5, 4]:
    tags of each kind (four outcomes, or the key arm with one detector) that were outside the gate, in the dead
    time, afterpulses in it, repeats of their outcome in its slot. `arrivals` uint32 [5, 1024]: tags by their place
    in the slot (it wraps at 2^32; differences stay right).
    """

    clicks: NDArray[np.int64]
    doubles: int
    lost: NDArray[np.int64]
    arrivals: NDArray[np.uint32] = field(repr=False)


class Ingest:
    """The pass from tags to events; what is under way goes on from call to call.

    Double clicks are settled by `entropy`: the draw is Bob's own and secret, as his choice of basis is.
    """

    def __init__(self, tagging: Tagging, filters: Filters, entropy: Entropy) -> None:
        filters.check(tagging.clock_hz)
        self._gate: Final = gate_table(tagging)
        self._dead: Final = filters.dead_slots(tagging.clock_hz)
        self._afterpulse_ps: Final = round(filters.afterpulse_s * 1e12)
        self._entropy: Final = entropy
        self._clicks: Final = np.zeros(4, np.int64)
        self._lost: Final = np.zeros((CODES, LOST), np.int64)
        self._arrivals: Final = np.zeros((CODES, CELLS), np.uint32)
        self._doubles = 0
        self._last: Final = np.full(CODES, _NEVER, np.int64)
        self._state: Final = np.zeros(STATE_WORDS, np.int64)
        self.forget()

    def forget(self) -> None:
        """Start anew with slots that may begin anywhere; the event under way is dropped, the counters stay."""
        self._state[:] = (NO_SLOT, NO_SLOT, 0, NO_SLOT, 0)

    def take(self, times: NDArray[np.int64], codes: NDArray[np.uint8], line: Timeline) -> Events:
        """Events of these tags (in order, of detectors, delays taken off); the last one waits for the next call."""
        slots, outcomes = np.empty(times.size + 1, np.int64), np.empty(times.size + 1, np.uint8)
        doubles = np.empty(times.size // 2 + 1, np.int64)
        many = ingest_kernel(
            times,
            codes,
            line.bounds(times),
            line.at_ps,
            line.slot,
            line.fraction,
            line.rate,
            self._gate,
            self._dead,
            self._afterpulse_ps,
            self._state,
            self._last,
            self._clicks,
            self._lost,
            self._arrivals,
            slots,
            outcomes,
            doubles,
        )
        n = int(self._state[4])
        return self._settled(slots[:n], outcomes[:n], doubles[: int(many)])

    def finish(self) -> Events:
        """The event under way, at the end of all tags."""
        slot, mask = int(self._state[1]), int(self._state[2])
        if slot == NO_SLOT:
            return Events(np.empty(0, np.int64), np.empty(0, np.uint8))
        self._state[1], self._state[2] = NO_SLOT, 0
        several = mask & (mask - 1) != 0
        outcome = 16 | mask if several else (mask >> 1) - (mask >> 3)
        return self._settled(
            np.array([slot], np.int64), np.array([outcome], np.uint8), np.arange(int(several), dtype=np.int64)
        )

    def under_way(self, otherwise: int) -> int:
        """The slot whose event is not handed out yet; `otherwise` if there is none."""
        slot = int(self._state[1])
        return otherwise if slot == NO_SLOT else slot

    def counters(self) -> Counters:
        """The counters as they are."""
        return Counters(self._clicks.copy(), self._doubles, self._lost.copy(), self._arrivals.copy())

    def _settled(self, slots: NDArray[np.int64], outcomes: NDArray[np.uint8], doubles: NDArray[np.int64]) -> Events:
        if doubles.size:
            self._doubles += doubles.size
            coins = np.frombuffer(self._entropy.draw(doubles.size), np.uint8)
            outcomes[doubles] = settle_doubles(outcomes[doubles], coins)
        return Events(slots, outcomes)


def settle_doubles(masks: NDArray[np.uint8], coins: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One outcome for each double click: a random basis where both fired, a random bit where both in it did.

    `masks`: the low four bits say which outcomes fired; `coins`: a random byte each, of which bit 0 settles the bit
    and bit 1 the basis.
    """
    key, test = masks & 3, masks >> 2 & 3
    basis = np.where(key == 0, 1, np.where(test == 0, 0, coins >> 1 & 1)).astype(np.uint8)
    pair = np.where(basis == 1, test, key)
    bit = np.where(pair == 3, coins & 1, pair >> 1).astype(np.uint8)
    return basis << np.uint8(1) | bit
