"""Conformance of Alice's end of a driver of light, and of both ends together."""

from __future__ import annotations

import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.apps.testbench.checking import Check, NotSeen, Wrong
from poliqi.base.errors import DataRefused
from poliqi.base.ids import Origin
from poliqi.link.device import MAX_SLOT
from poliqi.node.drivercheck.lightbench import LightBench

__all__ = ["ALICE_CHECKS", "PAIR_CHECKS"]

_SLOTS: Final = 4096
_LEAST_EVENTS: Final = 100
_WORST_QBER: Final = 0.25
"""An intercepting eavesdropper leaves as much in every pulse; more is a fault of the driver."""
_FARTHEST: Final = 16


def same_states(bench: LightBench) -> str:
    """A slot has one state, however often and in whatever company it is asked for."""
    slots = bench.known_slots(_SLOTS)
    whole = bench.states(slots)
    third = max(1, slots.size // 3)
    later = bench.states(slots[third:])
    first = bench.states(slots[:third])
    single = bench.states(slots[-1:])
    if not np.array_equal(whole, np.concatenate((first, later))) or single[0] != whole[-1]:
        raise Wrong("asked again, some slots have other states: a state is a fact of the slot")
    if bench.states(slots[:0]).size:
        raise Wrong("no slots are asked for, and states are given")
    return f"{slots.size} slots"


def never_sent(bench: LightBench) -> str:
    """Slots of which nothing is known are refused with DataRefused, and harm nothing."""
    slots = bench.known_slots(64)
    before = bench.states(slots)
    unknown = [np.array([-1], np.int64)]
    if bench.transmitter.origin is not Origin.SIMULATED:  # what is computed is known for ever
        unknown.append(np.array([MAX_SLOT - 1], np.int64))
        unknown.append(np.append(slots, MAX_SLOT - 1))
    for asked in unknown:
        try:
            bench.transmitter.states(asked)
        except DataRefused:
            continue
        raise Wrong(f"a state is given for slot {asked[-1]}, in which nothing was sent: raise DataRefused")
    if not np.array_equal(bench.states(slots), before):
        raise Wrong("after a refusal the states are others")
    return "refused"


def choices(bench: LightBench) -> str:
    """Both bits, both bases and all intensities occur."""
    slots = bench.known_slots(_SLOTS)
    states = bench.states(slots)
    if states.size < 256:
        raise NotSeen(f"{states.size} slots are too few to tell")
    share = float((states & 1).mean())
    if not 0.3 < share < 0.7:
        raise Wrong(f"{100.0 * share:.0f} % of the bits are 1: bit 0 of a state is the bit, random in each slot")
    if not 0 < int((states >> 1 & 1).sum()) < states.size:
        raise Wrong("one basis never occurs: bit 1 of a state is the basis, 0 key and 1 test")
    missing = set(range(len(bench.link.source.intensities))) - set((states >> 2).tolist())
    if missing:
        raise Wrong(f"intensities {sorted(missing)} of LINK.toml never occur: bits 2, 3 count from the brightest")
    return f"{100.0 * share:.1f} % ones, {100.0 * float((states >> 1 & 1).mean()):.1f} % in the test basis"


def speed(bench: LightBench) -> str:
    """How fast states are looked up."""
    slots = bench.known_slots(_SLOTS)
    began, rounds = time.perf_counter(), 0
    while rounds < 3 or time.perf_counter() - began < 0.1:
        bench.states(slots)
        rounds += 1
    bench.figures["states_per_s"] = rounds * slots.size / (time.perf_counter() - began)
    return f"{bench.figures['states_per_s']:.3g} states/s"


def agreement(bench: LightBench) -> str:
    """Where the bases agree, so do the bits: both ends count the same slots and mean the same by them."""
    slots, outcomes = bench.seen(65536)
    errors = _qber(bench.states(slots), outcomes)
    if errors is None:
        raise NotSeen(f"{slots.size} events are too few to tell")
    if max(errors) <= _WORST_QBER:
        bench.figures["qber_key"], bench.figures["qber_test"] = errors
        return f"QBER {100.0 * errors[0]:.2f} % key, {100.0 * errors[1]:.2f} % test of {slots.size} events"
    raise Wrong(f"QBER {100.0 * errors[0]:.0f} % key, {100.0 * errors[1]:.0f} % test{_why(bench, slots, outcomes)}")


def _qber(states: NDArray[np.uint8], outcomes: NDArray[np.uint8]) -> tuple[float, float] | None:
    """Errors among the events of equal bases, in the key and the test basis; None where these are few."""
    same = (states ^ outcomes) >> 1 & 1 == 0
    wrong = (states ^ outcomes) & 1
    rates = [wrong[same & (outcomes >> 1 == basis)] for basis in (0, 1)]
    if min(rate.size for rate in rates) < _LEAST_EVENTS:
        return None
    return float(rates[0].mean()), float(rates[1].mean())


def _why(bench: LightBench, slots: NDArray[np.int64], outcomes: NDArray[np.uint8]) -> str:
    """What would make them agree."""
    states = bench.states(slots)
    for text, other in (
        ("the bits of one end are turned round", (1, 0, 3, 2)),
        ("the bases of one end are swapped", (2, 3, 0, 1)),
        ("bit and basis are swapped", (0, 2, 1, 3)),
    ):
        found = _qber(states, np.array(other, np.uint8)[outcomes])
        if found is not None and max(found) < _WORST_QBER:
            return f": {text}"
    for shift in range(-_FARTHEST, _FARTHEST + 1):
        moved = slots + shift
        try:
            found = _qber(bench.states(moved), outcomes) if moved[0] >= 0 else None
        except DataRefused:
            continue
        if found is not None and max(found) < _WORST_QBER:
            return f": Bob's slots are {-shift:+d} off Alice's"
    return ": the ends do not count the same slots, or what is connected is not this link"


ALICE_CHECKS: Final[tuple[Check[LightBench], ...]] = (
    ("alice: same states", same_states),
    ("alice: never sent", never_sent),
    ("alice: choices", choices),
    ("alice: speed", speed),
)
PAIR_CHECKS: Final[tuple[Check[LightBench], ...]] = (("both: agreement", agreement),)
"""In the order in which they are run and shown."""
