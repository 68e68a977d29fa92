"""Drivers of light that are broken on purpose, each in one way: what `poliqi device check` says of them.

poliqi device check examples/devices/broken_light.py --device-options fault.toml   # fault = "slots twice"
"""

import threading
import time
from dataclasses import replace

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.base.ids import Origin
from poliqi.link.device import MAX_SLOT, Condition
from poliqi.link.health import Health
from poliqi.link.simulated import SimulatedReceiver, SimulatedTransmitter

SEED = 7
FAULTS = {
    "slots twice": "bob: slots",
    "slots out of order": "bob: slots",
    "one buffer for all": "bob: slots",
    "outcomes of three bits": "bob: slots",
    "takes any number": "bob: refusals",
    "refusal uses slots up": "bob: refusals",
    "begins at zero": "bob: first slot",
    "readings since the start": "bob: health",
    "readings that are no numbers": "bob: health",
    "condition waits": "bob: condition",
    "close does nothing": "bob: close",
    "close gives half": "bob: close",
    "hangs": "bob: slots",
    "crashes": "bob: slots",
    "dice for states": "alice: same states",
    "states for any slot": "alice: never sent",
    "stuck bit": "alice: choices",
    "bits turned round": "both: agreement",
    "slots off by one": "both: agreement",
}
"""A fault, and the check that finds it."""


class Bob:
    """Simulated light in real time, right but for its fault."""

    origin = Origin.SIMULATED

    def __init__(self, link, fault, first_slot):
        self.fault, self.link = fault, link
        first_slot = 0 if fault == "begins at zero" else first_slot
        self.light = SimulatedReceiver(link, SEED, first_slot)
        self.next_slot, self.buffer = first_slot, np.zeros(1 << 20, np.int64)
        self.closed, self.busy, self.clicks, self.pulses = threading.Event(), threading.Lock(), np.zeros(4, int), 0

    def detect(self, pulses):
        with self.busy:
            return self.gathered(pulses)

    def gathered(self, pulses):
        if self.fault == "hangs":
            time.sleep(1000.0)
        if self.fault == "crashes":
            import os

            os.kill(os.getpid(), 11)
        if pulses > MAX_SLOT - self.next_slot:
            if self.fault == "refusal uses slots up":
                self.light.detect(1000)
                self.next_slot += 1000
            if self.fault == "takes any number":
                pulses = 1000
            else:
                raise DataRefused("more slots than there are")
        wait = pulses / self.link.source.clock_hz
        if self.fault == "close does nothing":
            time.sleep(wait)
        elif self.closed.wait(wait) and self.fault != "close gives half":
            raise DataRefused("closed")
        seen = self.light.detect(min(pulses, 1000) if self.closed.is_set() else pulses)
        self.next_slot = seen.first_slot + seen.pulses
        self.clicks, self.pulses = self.clicks + np.bincount(seen.outcomes, minlength=4), self.pulses + pulses
        return self.spoilt(seen)

    def spoilt(self, seen):
        if self.fault == "slots twice":
            return replace(seen, first_slot=0, slots=seen.slots - seen.first_slot)
        if self.fault == "slots out of order":
            return replace(seen, slots=seen.slots[::-1].copy())
        if self.fault == "outcomes of three bits":
            return replace(seen, outcomes=seen.outcomes | 4)
        if self.fault == "one buffer for all":
            self.buffer[: len(seen.slots)] = seen.slots
            return replace(seen, slots=self.buffer[: len(seen.slots)])
        if self.fault == "bits turned round":
            return replace(seen, outcomes=seen.outcomes ^ 1)
        if self.fault == "slots off by one":
            is_inside = seen.slots + 1 < seen.first_slot + seen.pulses
            return replace(seen, slots=seen.slots[is_inside] + 1, outcomes=seen.outcomes[is_inside])
        return seen

    @property
    def condition(self):
        if self.fault == "condition waits":
            with self.busy:
                pass
        return Condition()

    def health(self):
        clicks, pulses = self.clicks, self.pulses
        if self.fault != "readings since the start":
            self.clicks, self.pulses = np.zeros(4, int), 0
        current = float("nan") if self.fault == "readings that are no numbers" else 1e-9
        return Health(pulses, clicks=tuple(clicks.tolist()), doubles=0, photocurrent_a=current)

    def close(self):
        self.closed.set()


class Alice:
    """Remembers what it prepared, but for its fault."""

    def __init__(self, link, fault, origin):
        self.light, self.fault, self.origin = SimulatedTransmitter(link, SEED), fault, origin

    def states(self, slots):
        if len(slots) and (slots[0] < 0 or slots[-1] > MAX_SLOT // 2):
            if self.fault == "states for any slot":
                return np.zeros(len(slots), np.uint8)
            raise DataRefused("nothing was sent there")
        states = self.light.states(slots)
        if self.fault == "dice for states":
            return np.random.default_rng().integers(0, 8, len(slots), np.uint8)
        return states & 0xFE if self.fault == "stuck bit" else states


def origin(options):  # noqa: ARG001  # all of it is simulated
    return Origin.SIMULATED


def open_receiver(link, options, first_slot):
    return Bob(link, options.get("fault", "slots twice"), first_slot)


def open_transmitter(link, options):
    return Alice(link, options.get("fault", "slots twice"), Origin.SIMULATED)
