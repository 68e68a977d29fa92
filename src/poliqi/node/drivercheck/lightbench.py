"""The desk on which a driver of light is looked at: opens its ends, keeps where Bob's slots stand."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.apps.testbench.checking import NotSeen, Wrong
from poliqi.base.errors import DataRefused
from poliqi.edge.driverfile import LightDriver
from poliqi.link.device import Detections, Receiver, Transmitter, Watched, check_detections
from poliqi.optics.parameters import LinkParameters

__all__ = ["LightBench"]

_FEW_SLOTS: Final = 4096


class LightBench:
    """Both ends of one driver, or the one that is here. `figures` gets what is measured on the way."""

    def __init__(
        self, driver: LightDriver, link: LinkParameters, seconds: float, first_slot: int, *, alice: bool, bob: bool
    ) -> None:
        self._driver: Final = driver
        self.link: Final = link
        self._seconds: Final = seconds
        self.first_slot: Final = first_slot
        self.has_alice: Final = alice and driver.alice is not None
        self.has_bob: Final = bob and driver.bob is not None
        self.next_slot = first_slot
        self.figures: Final[dict[str, float]] = {}
        self._transmitter: Transmitter | None = None
        self._receiver: Receiver | None = None

    @property
    def transmitter(self) -> Transmitter:
        """Alice's end, opened when it is first wanted."""
        if self._transmitter is None:
            self._transmitter = self._driver.transmitter(self.link)
        return self._transmitter

    @property
    def receiver(self) -> Receiver:
        """Bob's end, opened when it is first wanted."""
        if self._receiver is None:
            self._receiver = self._driver.receiver(self.link, self.next_slot)
        return self._receiver

    def reopen(self, first_slot: int) -> Receiver:
        """Let Bob's end go, and open it anew from a slot on."""
        if isinstance(self._receiver, Watched):
            with suppress(Exception):  # it may be closed already
                self._receiver.close()
        self.next_slot = first_slot
        self._receiver = self._driver.receiver(self.link, first_slot)
        return self._receiver

    def pulses(self, share: float = 1.0) -> int:
        """Slots of so much of a look's light."""
        return max(_FEW_SLOTS, int(share * self._seconds * self.link.source.clock_hz))

    def detect(self, pulses: int) -> Detections:
        """Bob's next slots, held to what `Detections` promises. Raises Wrong."""
        given = self.receiver.detect(pulses)
        if not _is(given, Detections):
            raise Wrong(f"detect gives a {type(given).__name__}, not Detections")
        if given.pulses != pulses:
            raise Wrong(f"{pulses} slots were asked for, and Detections tell of {given.pulses}")
        try:
            check_detections(given)
        except DataRefused as error:
            raise Wrong(str(error)) from None
        if given.first_slot < self.next_slot:
            raise Wrong(
                f"slots from {given.first_slot} on are given, and those below {self.next_slot} went by before: "
                "a slot must never come twice"
            )
        self.next_slot = given.first_slot + pulses
        return given

    def known_slots(self, most: int) -> NDArray[np.int64]:
        """Slots whose states Alice must know: detected ones, or the first that there are."""
        if not self.has_bob:
            return self.first_slot + np.arange(most, dtype=np.int64)
        return self.seen(most)[0]

    def seen(self, most: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Some detected slots and their outcomes. Raises NotSeen where nothing is detected."""
        slots, outcomes, count = [np.empty(0, np.int64)], [np.empty(0, np.uint8)], 0
        for _ in range(8):
            seen = self.detect(self.pulses())
            slots.append(seen.slots)
            outcomes.append(seen.outcomes)
            count += seen.slots.size
            if count >= most:
                break
        if count == 0:
            raise NotSeen("nothing was detected: is there light?")
        return np.concatenate(slots)[:most], np.concatenate(outcomes)[:most]

    def states(self, slots: NDArray[np.int64]) -> NDArray[np.uint8]:
        """What Alice prepared there, held to what `states` promises. Raises Wrong."""
        asked = slots.copy()
        asked.flags.writeable = False
        found = self.transmitter.states(asked)
        if not _is(found, np.ndarray):
            raise Wrong(f"states gives a {type(found).__name__}, not an array")
        if found.dtype != np.uint8 or found.shape != slots.shape:
            raise Wrong(f"states gives {found.shape} of {found.dtype} for {slots.size} slots; need uint8, one each")
        levels = len(self.link.source.intensities)
        if found.size and int(found.max()) >= 4 * levels:
            raise Wrong(f"a state is {int(found.max())}, and {levels} intensities allow {4 * levels - 1} at most")
        return found.copy()


def _is(given: object, kind: type) -> bool:
    """Whether it is what its type says: it comes of code of others."""
    return isinstance(given, kind)
