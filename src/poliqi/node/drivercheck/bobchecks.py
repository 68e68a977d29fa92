"""Conformance of Bob's end of a driver of light."""

from __future__ import annotations

import math
import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.apps.testbench.checking import Check, NotSeen, Wrong
from poliqi.base.errors import DataRefused
from poliqi.link.device import MAX_SLOT, Condition, Detections, Watched
from poliqi.link.health import Health, SelfMeasuring
from poliqi.node.drivercheck.lightbench import LightBench
from poliqi.node.drivercheck.waiting import Call, in_time

__all__ = ["BOB_CHECKS"]

_LONG_S: Final = 10.0
_ENDS_S: Final = 3.0


def slots(bench: LightBench) -> str:
    """Slots increase, lie inside what was asked, and never come twice; what was given stays as it was."""
    given: list[tuple[Detections, NDArray[np.int64], NDArray[np.uint8]]] = []
    events = gaps = 0
    for share in (0.25, 0.5, 0.01, 0.24):
        stood = bench.next_slot
        seen = bench.detect(bench.pulses(share))
        gaps += seen.first_slot > stood
        events += seen.slots.size
        given.append((seen, seen.slots.copy(), seen.outcomes.copy()))
    for seen, was, outcomes in given:
        if not (np.array_equal(seen.slots, was) and np.array_equal(seen.outcomes, outcomes)):
            raise Wrong("detections that were given changed later: give each call arrays of its own")
    if events == 0:
        raise NotSeen("nothing was detected: is there light?")
    return f"{events} events" + (f", slots were left out before {gaps} of 4 calls" if gaps else "")


def refusals(bench: LightBench) -> str:
    """More than there can be is refused, and then nothing is used up."""
    few = bench.pulses(0.01)
    bench.detect(few)
    stood = bench.next_slot
    is_gapless = bench.detect(few).first_slot == stood
    stood = bench.next_slot
    try:
        bench.receiver.detect(MAX_SLOT + 1)
    except DataRefused:
        pass
    else:
        raise Wrong(f"{MAX_SLOT + 1} slots are given, and slots end at {MAX_SLOT}: raise DataRefused")
    found = bench.detect(few).first_slot
    if is_gapless and found != stood:
        raise Wrong(f"a call that was refused used up {found - stood} slots")
    return "refused, and nothing is used up"


def first_slot(bench: LightBench) -> str:
    """Opened again, it goes on behind the slots of earlier runs."""
    bench.detect(bench.pulses(0.01))
    wanted = bench.next_slot + 1000
    found = bench.reopen(wanted).detect(few := bench.pulses(0.01)).first_slot
    if found < wanted:
        raise Wrong(f"opened with first_slot {wanted} it begins at {found}: slots would be used again")
    bench.next_slot = found + few
    return f"goes on at {found}"


def closing(bench: LightBench) -> str:
    """`close` from another thread ends a `detect` that waits, with DataRefused."""
    receiver = bench.receiver
    if not isinstance(receiver, Watched):
        raise NotSeen("it has no `condition` and `close`: whoever stops waits for a whole block of light")
    call = _long(bench)
    if call.is_over(0.3):
        bench.reopen(bench.next_slot)
        raise NotSeen(f"{_LONG_S:g} s of light came at once: it does not wait for light")
    receiver.close()
    if not call.is_over(_ENDS_S):
        raise Wrong(f"close() did not end a `detect` that waits in another thread within {_ENDS_S:g} s")
    if not isinstance(call.error, DataRefused):
        how = "gave detections" if call.error is None else f"raised {type(call.error).__name__}: {call.error}"
        raise Wrong(f"a `detect` that was closed {how}: raise DataRefused")
    bench.reopen(bench.next_slot + int(2.0 * _LONG_S * bench.link.source.clock_hz))
    return "ends it"


def condition(bench: LightBench) -> str:
    """`condition` and `health` answer at once, also while `detect` waits."""
    receiver = bench.receiver
    if not isinstance(receiver, Watched):
        raise NotSeen("it has no `condition`")
    call = _long(bench)
    changes = 0
    try:
        for _ in range(10):
            found: object = in_time("condition", lambda: receiver.condition)
            if not isinstance(found, Condition):
                raise Wrong(f"condition is a {type(found).__name__}, not a Condition")
            if found.noise is not None and not 0.0 <= found.noise <= 1.0:
                raise Wrong(f"condition.noise is {found.noise}: it is a probability of a click a slot")
            if not found.dark.isprintable() or len(found.dark) > 300:
                raise Wrong(f"condition.dark is {found.dark[:60]!r}...: it is one line for people")
            if found.changes < changes:
                raise Wrong(f"condition.changes fell from {changes} to {found.changes}")
            changes = found.changes
            if isinstance(receiver, SelfMeasuring):
                _check_health(in_time("health", receiver.health))
    finally:
        receiver.close()
        call.is_over(_ENDS_S)
        bench.reopen(bench.next_slot + int(2.0 * _LONG_S * bench.link.source.clock_hz))
    return f"answers at once{'' if call.error is not None else ' (`detect` did not wait meanwhile)'}"


def _long(bench: LightBench) -> Call:
    """A `detect` of so much light that it still waits when it is looked at."""
    receiver = bench.receiver
    pulses = int(_LONG_S * bench.link.source.clock_hz)
    return Call(lambda: receiver.detect(pulses))


def health(bench: LightBench) -> str:
    """Readings are possible ones, and tell of the slots since the reading before."""
    receiver = bench.receiver
    if not isinstance(receiver, SelfMeasuring):
        raise NotSeen("it measures nothing of itself: attacks are then looked for in the counts alone")
    _check_health(receiver.health())
    seen = bench.detect(bench.pulses())
    reading = _check_health(receiver.health())
    again = _check_health(receiver.health())
    if reading.pulses == 0:
        raise Wrong(f"{seen.pulses} slots went by, and the reading tells of none")
    if again.pulses > reading.pulses // 2:
        raise Wrong(
            f"a second reading at once tells of {again.pulses} slots, the one before of {reading.pulses}: each "
            "tells of the slots since the call before, not since the start"
        )
    if reading.clicks is not None and reading.pulses == seen.pulses and sum(reading.clicks) < seen.slots.size:
        raise Wrong(f"{sum(reading.clicks)} clicks were counted in slots that gave {seen.slots.size} events")
    told = [name for name in ("clicks", "photocurrent_a", "arrival_s", "pilot_loss_db") if _tells(reading, name)]
    return "tells " + (", ".join(told) or "nothing")


def _tells(reading: Health, name: str) -> bool:
    return getattr(reading, name) is not None


def _check_health(found: object) -> Health:
    """A reading that can be. Raises Wrong."""
    if not isinstance(found, Health):
        raise Wrong(f"health gives a {type(found).__name__}, not a Health")
    if found.pulses < 0:
        raise Wrong(f"health tells of {found.pulses} slots")
    clicks, doubles = found.clicks, found.doubles
    if clicks is not None and (len(clicks) != 4 or not all(0 <= n <= found.pulses for n in clicks)):
        raise Wrong(f"health.clicks is {clicks} in {found.pulses} slots: four counts of slots")
    if doubles is not None and not 0 <= doubles <= (found.pulses if clicks is None else sum(clicks) // 2):
        raise Wrong(f"health.doubles is {doubles}, with {clicks} clicks in {found.pulses} slots")
    numbers = [found.photocurrent_a, found.arrival_spread_s, found.pilot_loss_db, found.back_light_w]
    for number in [*numbers, *(found.arrival_s or ())]:
        if number is not None and not math.isfinite(number):
            raise Wrong(f"health has a reading of {number}: None where nothing was measured")
    if found.arrival_spread_s is not None and found.arrival_spread_s < 0.0:
        raise Wrong(f"health.arrival_spread_s is {found.arrival_spread_s}: a standard deviation")
    return found


def speed(bench: LightBench) -> str:
    """How fast light comes, against its own clock."""
    pulses = bench.pulses()
    bench.detect(bench.pulses(0.05))
    began = time.perf_counter()
    events = bench.detect(pulses).slots.size
    took_s = time.perf_counter() - began
    clock_hz = bench.link.source.clock_hz
    bench.figures["slots_per_s"] = pulses / took_s
    bench.figures["events_per_s"] = events / took_s
    behind = took_s * clock_hz / pulses
    note = "" if behind < 1.1 else f"; {behind:.1f} times slower than its clock of {clock_hz:.3g} Hz"
    return f"{pulses / took_s:.3g} slots/s, {events / took_s:.3g} events/s{note}"


BOB_CHECKS: Final[tuple[Check[LightBench], ...]] = (
    ("bob: slots", slots),
    ("bob: refusals", refusals),
    ("bob: first slot", first_slot),
    ("bob: health", health),
    ("bob: condition", condition),
    ("bob: close", closing),
    ("bob: speed", speed),
)
"""In the order in which they are run and shown."""
