"""Compiled kernels of synchronisation; `poliqi.link.sync.definition` says in numpy what they compute.

Each is one pass over tags. A clock model is a row of nodes: at time `at[j]` the light stood at slot `slot[j]` plus
`fraction[j]`, and from there to the next node it goes `rate[j]` slots a picosecond. Tags before the first node and
beyond the last one go by the line of the nearest segment. Speed goal, one core: 50 million tags a second from tags
to sifted bits (`python -m bench sync`).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel

__all__ = [
    "CELLS",
    "CODES",
    "DOUBLE",
    "LOST",
    "NO_SLOT",
    "PHASES",
    "REFUSED_CHANNEL",
    "REFUSED_ORDER",
    "STATE_WORDS",
    "align_kernel",
    "bins_kernel",
    "ingest_kernel",
    "phasor_kernel",
]

CODES: Final = 5
"""What a tag can be: one of four outcomes, or the one detector of a time-bin key arm."""
CELLS: Final = 1024
"""Cells of a slot: gates have edges at them, and arrival times are counted in them."""
PHASES: Final = 4096
"""Entries of the table of the unit circle."""
DOUBLE: Final = 16
"""Set in an outcome of which several fired; the four low bits then say which."""
STATE_WORDS: Final = 5
"""What goes on from call to call: last blind slot, slot under way, its outcomes as a mask, the slot of the tag
before, events written."""
NO_SLOT: Final = -(1 << 62)
"""Before all slots: no event is under way, none is blind."""
LOST: Final = 4
"""Columns of the tally of tags that made no event: outside the gate, in the dead time, afterpulses in it, repeats
of an outcome in its slot."""
REFUSED_ORDER: Final = -1
REFUSED_CHANNEL: Final = -2


@kernel
def align_kernel(
    times: NDArray[np.int64],
    channels: NDArray[np.uint8],
    after: int,
    code_of: NDArray[np.uint8],
    delay_of: NDArray[np.int64],
    out_times: NDArray[np.int64],
    out_codes: NDArray[np.uint8],
    found: NDArray[np.int64],
) -> int:
    """Tags of detectors, their delays taken off, in order again; how many, or below 0 what is refused.

    `found` gets the position of a refused tag and, from 1 on, the tags of each channel (int64 [257]). Delays
    disturb the order a little: each tag is moved down past the few that it now precedes.
    """
    before, n = np.int64(after), 0
    for i in range(times.size):
        time, channel = times[i], channels[i]
        if time < before:
            found[0] = i
            return REFUSED_ORDER
        before = time
        code = code_of[channel]
        if code == 255:
            found[0] = i
            return REFUSED_CHANNEL
        found[1 + channel] += 1
        if code < CODES:
            time -= delay_of[channel]
            at = n
            while at > 0 and out_times[at - 1] > time:
                out_times[at], out_codes[at] = out_times[at - 1], out_codes[at - 1]
                at -= 1
            out_times[at], out_codes[at] = time, code
            n += 1
    return n


@kernel
def phasor_kernel(
    times: NDArray[np.int64],
    start: int,
    rate: float,
    per_chunk: float,
    circle: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """Add exp(2 pi i rate (t - start)) of each tag to the sum of its chunk: float64 [chunks, 3], the third counts.

    `per_chunk` is one over the length of a chunk; tags outside the chunks are passed over.
    """
    for i in range(times.size):
        since = np.float64(times[i] - start)
        chunk = math.floor(since * per_chunk)
        if 0 <= chunk < sums.shape[0]:
            turns = since * rate
            entry = np.int64((turns - math.floor(turns)) * PHASES)
            sums[chunk, 0] += circle[entry & (PHASES - 1), 0]
            sums[chunk, 1] += circle[entry & (PHASES - 1), 1]
            sums[chunk, 2] += 1.0


@kernel
def bins_kernel(
    times: NDArray[np.int64],
    bounds: NDArray[np.int64],
    at: NDArray[np.int64],
    slot: NDArray[np.int64],
    fraction: NDArray[np.float64],
    rate: NDArray[np.float64],
    bins: int,
    out: NDArray[np.int64],
) -> None:
    """The bin of each tag, `bins` to a slot, counted from bin 0 of slot 0; segment j holds tags bounds[j] on."""
    for j in range(rate.size):
        for i in range(bounds[j], bounds[j + 1]):
            out[i] = bins * slot[j] + math.floor(bins * (fraction[j] + np.float64(times[i] - at[j]) * rate[j]))


@kernel
def ingest_kernel(
    times: NDArray[np.int64],
    codes: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    at: NDArray[np.int64],
    slot_at: NDArray[np.int64],
    fraction: NDArray[np.float64],
    rate: NDArray[np.float64],
    gate: NDArray[np.int8],
    dead: int,
    afterpulse: int,
    state: NDArray[np.int64],
    last: NDArray[np.int64],
    clicks: NDArray[np.int64],
    lost: NDArray[np.int64],
    arrivals: NDArray[np.uint32],
    slots: NDArray[np.int64],
    outcomes: NDArray[np.uint8],
    doubles: NDArray[np.int64],
) -> int:
    """Tags to events, from slot to slot; returns how many of them are double clicks, whose places `doubles` gets.

    `gate` int8 [CODES, CELLS] is the outcome of a click there, -1 outside the gates. `last` int64 [CODES] is the
    time of each detector's last tag. The event under way stays in `state` until a tag of another slot comes;
    `state[4]` counts the events written by this call.
    """
    blind, under_way, mask, before = state[0], state[1], state[2], state[3]
    n, many = 0, 0
    for j in range(rate.size):
        start, base, part, speed = at[j], slot_at[j], fraction[j], rate[j]
        for i in range(bounds[j], bounds[j + 1]):
            time, code = times[i], codes[i]
            turns = part + np.float64(time - start) * speed
            whole = np.int64(math.floor(turns))
            cell = np.int64((turns - np.float64(whole)) * CELLS) & (CELLS - 1)
            slot = base + whole
            slot = slot if slot > before else before
            before = slot
            arrivals[code, cell] += np.uint32(1)
            outcome = np.int64(gate[code, cell])
            since = time - last[code]
            last[code] = time
            if slot == under_way:
                if outcome < 0:
                    lost[code, 0] += 1
                elif mask >> outcome & 1:
                    lost[code, 3] += 1
                else:
                    mask |= np.int64(1) << outcome
                    clicks[outcome] += 1
            elif outcome < 0:
                lost[code, 0] += 1
            elif slot <= blind:
                lost[code, 2 if since < afterpulse else 1] += 1
            else:
                if under_way != NO_SLOT:
                    slots[n] = under_way
                    if mask & (mask - 1):
                        outcomes[n] = np.uint8(DOUBLE | mask)
                        doubles[many] = n
                        many += 1
                    else:
                        outcomes[n] = np.uint8((mask >> 1) - (mask >> 3))
                    n += 1
                under_way, mask = slot, np.int64(1) << outcome
                clicks[outcome] += 1
            if dead > 0:
                blind = slot + dead
    state[0], state[1], state[2], state[3], state[4] = blind, under_way, mask, before, n
    return many
