"""Compiled kernels of synthetic time tags; `poliqi.optics.tag_definition` says in plain numpy what they compute.

Randomness is counter-based, so tags do not depend on how the slots are cut into calls. Word 4 c of the click stream
places click c (upper half: what kind, lower half: where), word 4 c + 1 says whether a second detector clicked with
it and which, the halves of word 4 c + 2 place that one and the tag inside the dead time, word 4 c + 3 says when in
the dead time and of which detector that is. Speed goal, one core: 1e7 tags in a second.
"""

from __future__ import annotations

import math
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel
from poliqi.optics.counter import GAMMA, MIX_1, MIX_2
from poliqi.optics.tag_plan import ANYWHERE, LEAK, SIGNAL, TAIL, UNIFORM

__all__ = ["extra_kernel", "merge_kernel", "normal_kernel", "place_kernel"]

Int: TypeAlias = int | np.int64
Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bytes: TypeAlias = NDArray[np.uint8]

_GAMMA: Final = np.uint64(GAMMA)
_MIX_1: Final = np.uint64(MIX_1)
_MIX_2: Final = np.uint64(MIX_2)
_S1: Final = np.uint64(1)
_S27: Final = np.uint64(27)
_S30: Final = np.uint64(30)
_S31: Final = np.uint64(31)
_S32: Final = np.uint64(32)
_LOW: Final = np.uint64(0xFFFFFFFF)
_UNIT: Final = 2.0**-32


@kernel
def _word(key: np.uint64, counter: Int) -> np.uint64:
    z = key + (np.uint64(counter) + _S1) * _GAMMA
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@kernel
def _upper(word: np.uint64) -> Int:
    return np.int64(word >> _S32)


@kernel
def _lower(word: np.uint64) -> Int:
    return np.int64(word & _LOW)


@kernel
def _normal(p: float) -> float:
    """The normal law's quantile: algorithm AS 241 (PPND16) of M. J. Wichura, Appl. Stat. 37, 477 (1988)."""
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        top = 2509.0809287301226727
        top = top * r + 33430.575583588128105
        top = top * r + 67265.770927008700853
        top = top * r + 45921.953931549871457
        top = top * r + 13731.693765509461125
        top = top * r + 1971.5909503065514427
        top = top * r + 133.14166789178437745
        top = top * r + 3.387132872796366608
        low = 5226.495278852854561
        low = low * r + 28729.085735721942674
        low = low * r + 39307.89580009271061
        low = low * r + 21213.794301586595867
        low = low * r + 5394.1960214247511077
        low = low * r + 687.1870074920579083
        low = low * r + 42.313330701600911252
        low = low * r + 1.0
        return q * top / low
    r = math.sqrt(-math.log(p if q < 0.0 else 1.0 - p))
    if r <= 5.0:
        r -= 1.6
        top = 7.7454501427834140764e-4
        top = top * r + 0.0227238449892691845833
        top = top * r + 0.24178072517745061177
        top = top * r + 1.27045825245236838258
        top = top * r + 3.64784832476320460504
        top = top * r + 5.7694972214606914055
        top = top * r + 4.6303378461565452959
        top = top * r + 1.42343711074968357734
        low = 1.05075007164441684324e-9
        low = low * r + 5.475938084995344946e-4
        low = low * r + 0.0151986665636164571966
        low = low * r + 0.14810397642748007459
        low = low * r + 0.68976733498510000455
        low = low * r + 1.6763848301838038494
        low = low * r + 2.05319162663775882187
        low = low * r + 1.0
    else:
        r -= 5.0
        top = 2.01033439929228813265e-7
        top = top * r + 2.71155556874348757815e-5
        top = top * r + 0.0012426609473880784386
        top = top * r + 0.026532189526576123093
        top = top * r + 0.29656057182850489123
        top = top * r + 1.7848265399172913358
        top = top * r + 5.4637849111641143699
        top = top * r + 6.6579046435011037772
        low = 2.04426310338993978564e-15
        low = low * r + 1.4215117583164458887e-7
        low = low * r + 1.8463183175100546818e-5
        low = low * r + 7.868691311456132591e-4
        low = low * r + 0.0148753612908506148525
        low = low * r + 0.13692988092273580531
        low = low * r + 0.59983220655588793769
        low = low * r + 1.0
    return -top / low if q < 0.0 else top / low


@kernel
def normal_kernel(p: Floats, out: Floats) -> None:
    """Quantiles of the normal law at `p` (0 to 1, both open)."""
    for i in range(p.size):
        out[i] = _normal(p[i])


@kernel
def _offset(kind: Int, low: Int, coin: Int, shape: Floats, bins: int) -> float:
    """Where a click of this kind falls, against the middle of its bin (ANYWHERE: of the early bin)."""
    u = (np.float64(low) + 0.5) * _UNIT
    sigma = shape[0]
    if kind == SIGNAL:
        return sigma * _normal(shape[1] + u * shape[2])
    if kind == UNIFORM:
        return (2.0 * u - 1.0) * shape[3]
    if kind == LEAK:
        at = max(shape[5] + sigma * _normal(u * shape[4]), -shape[3])
        return at if coin else -at
    if kind == TAIL:
        at = sigma * _normal(shape[6] + u * shape[7])
        return at if coin else -at
    return (u - 0.5 / bins) * shape[8]


@kernel
def _time(slot: Int, offset: float, bits: int, first: int, starts: Ints, curve: Floats, resolution: int) -> Int:
    block = slot >> bits
    k = block - first
    rel = np.float64(slot - (block << bits))
    t = starts[k] + np.int64(math.floor(curve[k, 0] + rel * (curve[k, 1] + rel * curve[k, 2]) + offset))
    return t - t % resolution


@kernel
def _insert(times: Ints, channels: Bytes, click: Ints, n: Int) -> None:
    """Move entry `n` to its place among the sorted ones before it: never far."""
    t, c, k = times[n], channels[n], click[n]
    at = n
    while at > 0 and times[at - 1] > t:
        times[at], channels[at], click[at] = times[at - 1], channels[at - 1], click[at - 1]
        at -= 1
    times[at], channels[at], click[at] = t, c, k


@kernel
def place_kernel(
    key: np.uint64,
    first_click: int,
    slots: Ints,
    outcomes: Bytes,
    states: Bytes,
    shape: Floats,
    bins: int,
    centres: Floats,
    delays: Floats,
    numbers: Bytes,
    kinds: Ints,
    doubles: Ints,
    partners: Ints,
    others: Ints,
    dead_slots: int,
    slots_per_deviate: float,
    bits: int,
    first: int,
    starts: Ints,
    curve: Floats,
    resolution: int,
    times: Ints,
    channels: Bytes,
    click: Ints,
) -> Int:
    """Tags of clicks `first_click`, `first_click + 1`, ...: at most three each, in order of time."""
    n = 0
    for i in range(slots.size):
        number = first_click + i
        slot, found = slots[i], np.int64(outcomes[i])
        row = np.int64(states[i]) << 2 | found
        word = _word(key, 4 * number)
        second = _word(key, 4 * number + 1)
        mark = _upper(word)
        kind = SIGNAL if mark < kinds[row, 0] else LEAK if mark < kinds[row, 1] else UNIFORM
        at = centres[found] + delays[found] + _offset(kind, _lower(word), np.int64(second & _S1), shape, bins)
        times[n] = _time(slot, at, bits, first, starts, curve, resolution)
        channels[n], click[n] = numbers[found], number
        _insert(times, channels, click, n)
        n += 1
        if _upper(second) < doubles[row]:
            other = np.int64(0)
            while other < 3 and partners[row, other] <= _lower(second):
                other += 1
            if numbers[other] != numbers[found]:
                low = _lower(_word(key, 4 * number + 2))
                at = centres[other] + delays[other] + _offset(SIGNAL, low, 0, shape, bins)
                times[n] = _time(slot, at, bits, first, starts, curve, resolution)
                channels[n], click[n] = numbers[other], number
                _insert(times, channels, click, n)
                n += 1
        if dead_slots > 0:
            word = _word(key, 4 * number + 3)
            wait = -math.log((np.float64(_upper(word)) + 0.5) * _UNIT) * slots_per_deviate
            if wait < dead_slots:
                other = np.int64(0)
                while other < 3 and others[other] <= _lower(word):
                    other += 1
                if numbers[other] != numbers[found]:
                    low = _upper(_word(key, 4 * number + 2))
                    at = centres[other] + delays[other] + _offset(SIGNAL, low, 0, shape, bins)
                    times[n] = _time(slot + 1 + np.int64(wait), at, bits, first, starts, curve, resolution)
                    channels[n], click[n] = numbers[other], -1
                    _insert(times, channels, click, n)
                    n += 1
    return n


@kernel
def extra_kernel(
    key: np.uint64,
    going: Floats,
    end: int,
    gap: float,
    ends: Ints,
    row_kinds: Ints,
    row_outcomes: Ints,
    row_centres: Floats,
    gates: Floats,
    thinned: bool,
    shape: Floats,
    bins: int,
    delays: Floats,
    numbers: Bytes,
    bits: int,
    first: int,
    starts: Ints,
    curve: Floats,
    resolution: int,
    times: Ints,
    channels: Bytes,
    click: Ints,
) -> Int:
    """Tags that do not count, before slot `end`, as many as fit; `going` is the place and number of the next.

    With `thinned`, what falls anywhere is left out inside the gates: the sampler has those.
    """
    place, counter = going[0], np.int64(going[1])
    n = 0
    while n < times.size and place < end:
        word, second = _word(key, 2 * counter), _word(key, 2 * counter + 1)
        counter += 1
        row = np.int64(0)
        while row < ends.size - 1 and ends[row] <= _lower(word):
            row += 1
        kind, outcome = row_kinds[row], row_outcomes[row]
        at = row_centres[row] + _offset(kind, _lower(second), _upper(second) & 1, shape, bins)
        slot = np.int64(math.floor(place))
        place += -math.log((np.float64(_upper(word)) + 0.5) * _UNIT) * gap
        nearest = min(abs(at - gates[outcome, 0]), abs(at - gates[outcome, 1]))
        if kind == ANYWHERE and thinned and nearest < shape[3]:
            continue
        times[n] = _time(slot, at + delays[outcome], bits, first, starts, curve, resolution)
        channels[n], click[n] = numbers[outcome], -1
        _insert(times, channels, click, n)
        n += 1
    going[0], going[1] = place, counter
    return n


@kernel
def merge_kernel(
    times_a: Ints,
    channels_a: Bytes,
    click_a: Ints,
    times_b: Ints,
    channels_b: Bytes,
    click_b: Ints,
    times: Ints,
    channels: Bytes,
    click: Ints,
) -> None:
    """Two streams in order of time into one; of tags of one time, the first stream's come first."""
    i, j = 0, 0
    for n in range(times.size):
        if j >= times_b.size or (i < times_a.size and times_a[i] <= times_b[j]):
            times[n], channels[n], click[n] = times_a[i], channels_a[i], click_a[i]
            i += 1
        else:
            times[n], channels[n], click[n] = times_b[j], channels_b[j], click_b[j]
            j += 1
