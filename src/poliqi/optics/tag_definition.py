"""What the kernels of synthetic tags compute, in numpy: the definition that they are tested against.

One row a tag: the clicks of the sampler, the second detectors of double clicks, the tags inside dead times, and
what clicks beside the sampler. Sorted by time, rows of one time in an order of their own.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from poliqi.optics.counter import words
from poliqi.optics.tag_plan import ANYWHERE, LEAK, SIGNAL, TAIL, UNIFORM, TagPlan

__all__ = ["extra_places", "offsets", "placed"]

_UNIT: Final = 2.0**-32
Ints = NDArray[np.int64]


def halves(key: int, counters: Ints) -> tuple[Ints, Ints]:
    """Upper and lower half of words of a stream."""
    word = words(key, counters)
    return (word >> np.uint64(32)).astype(np.int64), (word & np.uint64(0xFFFFFFFF)).astype(np.int64)


def offsets(plan: TagPlan, kind: Ints, low: Ints, coin: Ints) -> NDArray[np.float64]:
    """Where clicks of these kinds fall against the middle of their bin (ANYWHERE: of the early bin), in ps."""
    sigma, inside, width, half, leaked, apart, beyond, tail, slot = plan.shape
    u = (low + 0.5) * _UNIT
    sign = np.where(coin == 1, 1.0, -1.0)
    signal = sigma * ndtri(inside + u * width)
    uniform = (2.0 * u - 1.0) * half
    with np.errstate(invalid="ignore"):
        leak = sign * np.maximum(apart + sigma * ndtri(u * leaked), -half)
        far = sign * (sigma * ndtri(beyond + u * tail))
    return np.select(
        [kind == SIGNAL, kind == UNIFORM, kind == LEAK, kind == TAIL],
        [signal, uniform, leak, far],
        (u - 0.5 / plan.bins) * slot,
    )


def placed(
    plan: TagPlan, key: int, first_click: int, slots: Ints, outcomes: NDArray[np.uint8], states: NDArray[np.uint8]
) -> tuple[Ints, NDArray[np.float64], Ints, Ints]:
    """(slot, time against its start in ps, outcome whose detector it is, click or -1) of these clicks' tags."""
    number = first_click + np.arange(slots.size)
    found = outcomes.astype(np.int64)
    row = states.astype(np.int64) << 2 | found
    mark, low = halves(key, 4 * number)
    second, share = halves(key, 4 * number + 1)
    kind = np.where(mark < plan.kinds[row, 0], SIGNAL, np.where(mark < plan.kinds[row, 1], LEAK, UNIFORM))
    own = plan.centres[found] + offsets(plan, kind, low, share & 1)
    upper, lower = halves(key, 4 * number + 2)
    partner = np.minimum((plan.partners[row] <= share[:, None]).sum(axis=1), 3)
    double = (second < plan.doubles[row]) & (plan.channels[partner] != plan.channels[found])
    parts = [(slots, own, found, number)]
    signal, heads = np.full(slots.size, SIGNAL), np.zeros(slots.size, np.int64)
    beside = plan.centres[partner] + offsets(plan, signal, lower, heads)
    parts.append((slots[double], beside[double], partner[double], number[double]))
    if plan.dead_slots > 0:
        late, whose = halves(key, 4 * number + 3)
        wait = -np.log((late + 0.5) * _UNIT) / plan.click
        other = np.minimum((plan.others <= whose[:, None]).sum(axis=1), 3)
        hidden = (wait < plan.dead_slots) & (plan.channels[other] != plan.channels[found])
        at = plan.centres[other] + offsets(plan, signal, upper, heads)
        when = slots + 1 + wait.astype(np.int64)
        parts.append((when[hidden], at[hidden], other[hidden], heads[hidden] - 1))
    slot, time, whose, click = (np.concatenate(column) for column in zip(*parts, strict=True))
    return slot, time, whose, click


def extra_places(
    plan: TagPlan, key: int, counter: int, start: float, end: int
) -> tuple[Ints, NDArray[np.float64], Ints]:
    """(slot, time against its start in ps, outcome) of what clicks beside the sampler.

    The first of it, if not thinned out, is at `start` (in slots) and is number `counter` of its stream.
    """
    many = int((end - start) / plan.extra_gap * 1.2) + 100
    number = counter + np.arange(many)
    upper, share = halves(key, 2 * number)
    coin, low = halves(key, 2 * number + 1)
    gaps = -np.log((upper + 0.5) * _UNIT) * plan.extra_gap
    place = start + np.concatenate([[0.0], np.cumsum(gaps)[:-1]])
    row = np.minimum((plan.extra_ends <= share[:, None]).sum(axis=1), plan.extra_ends.size - 1)
    kind, outcome = plan.extra_kinds[row], plan.extra_outcomes[row]
    at = plan.extra_centres[row] + offsets(plan, kind, low, coin & 1)
    gates = plan.gates[outcome]
    inside = np.abs(at[:, None] - gates).min(axis=1) < plan.shape[3]
    kept = (place < end) & ~((kind == ANYWHERE) & inside)
    return np.floor(place).astype(np.int64)[kept], at[kept], outcome[kept]
