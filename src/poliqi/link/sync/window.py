"""Synchronisation windows: slots whose states Alice makes public, and which never become key.

Both ends agree on them beforehand. Bob finds the number of a slot in the first, and checks his count in each that
follows; Alice publishes a window's states once it has gone by and refuses them to any session, and Bob's device
leaves its slots out of what it detects, so that no block can hold one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.base.ids import Origin
from poliqi.link.device import MAX_SLOT, Transmitter

__all__ = ["Published", "SyncWindows", "WindowedTransmitter"]


@dataclass(frozen=True, slots=True)
class SyncWindows:
    """Windows of `length` slots, from slot 0 and then from every multiple of `every` on (None: the first alone)."""

    length: int
    every: int | None = None

    def __post_init__(self) -> None:
        if not 1 << 10 <= self.length <= 1 << 30:
            raise DataRefused(f"synchronisation window: {self.length} slots; must be 2^10 to 2^30")
        if self.every is not None and not 2 * self.length <= self.every < MAX_SLOT:
            raise DataRefused(
                f"synchronisation window: {self.length} slots in every {self.every}; at most half may be public"
            )

    def held(self, slots: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of `slots` lie in a window."""
        place = slots if self.every is None else slots % self.every
        return (place >= 0) & (place < self.length)

    def first_from(self, slot: int) -> int | None:
        """Where the first window begins that begins at `slot` or later; None if there is none."""
        if slot <= 0:
            return 0
        return None if self.every is None else -(-slot // self.every) * self.every

    def touch(self, first: int, end: int) -> bool:
        """Whether any of slots `first` to `end - 1` lies in a window."""
        if self.every is None:
            return first < self.length and end > 0
        return first % self.every < self.length or first // self.every != (end - 1) // self.every


class Published(Protocol):
    """How Bob's end comes by what Alice published."""

    def __call__(self, first_slot: int, count: int) -> NDArray[np.uint8]:
        """The states of `count` slots of a window from `first_slot` on, as `Transmitter.states` gives them.

        Raises DataRefused where they are not known.
        """
        ...


class WindowedTransmitter:
    """Alice's device with windows: satisfies `poliqi.link.device.Transmitter`, and publishes."""

    __slots__ = ("_inner", "windows")

    def __init__(self, inner: Transmitter, windows: SyncWindows) -> None:
        self._inner = inner
        self.windows = windows

    @property
    def origin(self) -> Origin:
        return self._inner.origin

    def states(self, slots: NDArray[np.int64]) -> NDArray[np.uint8]:
        """What was prepared in `slots`; DataRefused for a public one: a peer that asks for it has lost count."""
        public = self.windows.held(slots)
        if public.any():
            raise DataRefused(
                f"slot {slots[int(public.argmax())]} lies in a synchronisation window, whose states are public; "
                f"{np.count_nonzero(public)} such slots were asked for. See that both ends agree on the windows"
            )
        return self._inner.states(slots)

    def published(self, first_slot: int, count: int) -> NDArray[np.uint8]:
        """The states of `count` slots of a window; DataRefused for a slot outside all windows."""
        slots = np.arange(first_slot, first_slot + count, dtype=np.int64)
        if not self.windows.held(slots).all():
            raise DataRefused(
                f"slots {first_slot} to {first_slot + count - 1} are not all in a synchronisation window"
            )
        return self._inner.states(slots)
